package backend

// What operators and metrics see of servers and shards.

import (
	"math"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

// ServerStatus is one server as an operator sees it. Counters are since the server was added.
type ServerStatus struct {
	Shard   shard.ID
	Address string
	Role    string // primary, replica, or unknown
	// State is up, warming (slow start), lagging, draining, down or unprobed. Reason says why when
	// it isn't up.
	State, Reason string
	Class         string
	Weight        int
	Version       string
	Since         time.Duration // how long it has been up or down
	Availability  float64       // percent of the time since the first probe that it was up
	Lag           time.Duration // of a replica; -1: unknown
	Applied       string        // its position at the last probe
	Behind        int64         // bytes of log that the primary had made durable and it had not applied; -1: unknown

	// what its last successful probe saw; LagUnknown says why a replica's lag isn't known
	ReadOnly, Replicates bool
	LagUnknown           string

	Idle, Lent, Dialing, Waiting, PoolSize int

	Opened, Closed, DialErrors uint64
	Waits, Timeouts            uint64        // requests that queued for a conn, and that got none
	Waited                     time.Duration // sum of the waits
	Requests, Errors           uint64        // replies that ended, and conns that broke
	Latency                    time.Duration // moving average of the replies
}

// ShardStatus is one shard as an operator sees it. Counters are since the shard was added.
type ShardStatus struct {
	Shard   shard.ID
	Dialect shard.Dialect
	Primary string // address; empty: none, and Reason says why
	// Split is set when two servers are writable and writes are refused.
	Split  bool
	Reason string
	// HeldWrites and HeldReads wait for a server now.
	HeldWrites, HeldReads int
	// MissedReads went to the primary since no replica had applied the session's writes yet;
	// NoReplicaReads since no replica was usable at all.
	MissedReads, NoReplicaReads uint64
	// ExpiredPositions counts reads that asked for what the primary's history no longer holds.
	ExpiredPositions uint64
}

// Status lists all servers, shard by shard, the configured primary first.
func (b *Backend) Status() []ServerStatus {
	var all []ServerStatus
	for _, s := range b.topology.Load().order {
		v := s.view.Load()
		s.mu.Lock()
		for _, srv := range s.servers {
			all = append(all, srv.status(v))
		}
		s.mu.Unlock()
	}
	return all
}

// Shards lists all shards in the order of the config.
func (b *Backend) Shards() []ShardStatus {
	var all []ShardStatus
	for _, s := range b.topology.Load().order {
		v := s.view.Load()
		st := ShardStatus{
			Shard: s.id, Dialect: s.dialect, Split: v.split != "", Reason: v.why,
			HeldWrites: int(s.writes.queued.Load()), HeldReads: int(s.reads.queued.Load()),
			MissedReads: s.positions.missed.Load(), ExpiredPositions: s.positions.expired.Load(),
			NoReplicaReads: s.noReplica.Load(),
		}
		if v.primary != nil {
			st.Primary = v.primary.address
		}
		all = append(all, st)
	}
	return all
}

// status is called with the shard's mu held.
func (s *Server) status(v *view) ServerStatus {
	h, set, now := &s.health, s.settings.Load(), s.b.now()
	st := ServerStatus{
		Shard: s.shard.id, Address: s.address, Class: set.class, Weight: set.weight, PoolSize: set.poolSize,
		Since: now - h.since, Availability: math.Round(1000*h.availability(now)) / 1000,
		Lag: h.seen.Lag, Applied: s.applied.Load().String(),
		Requests: s.requests.Load(), Errors: s.errors.Load(), Latency: time.Duration(s.speed.at(now)),
	}
	if g := s.greeting.Load(); g != nil {
		st.Version = g.Version
	}
	st.ReadOnly, st.Replicates = h.seen.ReadOnly, h.seen.Replicates
	if h.seen.Replicates && !h.seen.LagKnown {
		st.Lag, st.LagUnknown = -1, h.seen.Trouble
	}
	st.Behind = -1
	if v.primary != nil {
		if bytes, known := s.applied.Load().Behind(v.primary.health.seen.Applied); known {
			st.Behind = int64(bytes)
		}
	}
	st.Role = s.role(v)
	st.State, st.Reason = s.state(st.Role)
	s.pool.status(&st)
	return st
}

func (s *Server) role(v *view) string {
	switch h := &s.health; {
	case s == v.primary:
		return wire.Primary.String()
	case h.up && h.seen.Replicates:
		return wire.Replica.String()
	}
	return "unknown"
}

func (s *Server) state(role string) (state, reason string) {
	h := &s.health
	switch {
	case !h.probed:
		return "unprobed", ""
	case s.drained.Load():
		return "draining", "taken out by an operator"
	case !h.up && h.err != nil:
		return "down", h.err.Error()
	case !h.up:
		return "down", "coming back"
	case role == wire.Replica.String() && !h.fresh:
		return "lagging", "lag " + h.lag()
	case role == "unknown":
		return "up", s.whyNotPrimary()
	case s.warm.Load() != 0:
		return "warming", ""
	}
	return "up", ""
}

func (p *pool) status(st *ServerStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st.Lent, st.Dialing, st.Waiting = p.lent, p.dialing, p.waiters.Len()
	st.Idle = len(p.conns) - p.lent
	st.Opened, st.Closed, st.DialErrors = p.stats.opened, p.stats.closed, p.stats.dialErrors
	st.Waits, st.Timeouts, st.Waited = p.stats.waits, p.stats.timeouts, p.stats.waited
}
