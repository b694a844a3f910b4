package backend

// What a session asks for, and the way to a conn: choose a server, borrow from its pool, or wait.

import (
	"context"
	"errors"
	"slices"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

// Need is what a session asks of a conn.
type Need struct {
	Shard shard.ID
	Role  wire.Role
	// Class is which replicas take the read: Online (also when empty) or Batch.
	Class string
	// Position must have been applied by the replica that takes the read, else the primary does.
	Position shard.Position
	// PositionSince is when the session got Position. It lets one expire that the shard's history
	// no longer holds; zero: it never expires.
	PositionSince time.Time
	// User, Password and Flags are how to log in to the server.
	User, Password string
	Flags          uint64
	// Database is the one that the conn must be open to, where a conn is bound to one (PostgreSQL); else empty.
	Database string
	// State is what the session needs on the conn. One that is in it already is preferred; the
	// caller restores it on any other. Nil: any will do.
	State *wire.State
	// Avoid is a server to use only if there is no other: the one that a retry comes from.
	Avoid *Server
}

// attempts is how many servers a read tries before it waits for one that can be reached.
const attempts = 4

// Acquire lends a conn. A read gets the best of the replicas that have applied its position, else
// the primary; everything else gets the primary. When there is no server for it, it waits for one
// to appear, and when all the server's conns are lent it waits for one of them, first come first
// served; both waits are bounded in time and number by the config.
//
// The error is a *wire.Error that says what was missing (CodeUnavailable, CodePoolTimeout,
// CodeCancelled when ctx ended), or a *wire.ServerError when a server refused the log-in. With an
// idle conn at hand nothing is allocated.
func (b *Backend) Acquire(ctx context.Context, n *Need) (*Conn, error) {
	s := b.topology.Load().shards[n.Shard]
	if s == nil {
		return nil, wire.Errorf(wire.CodeUnavailable, "shard %s is not in the config", n.Shard)
	}
	if !s.queue(n.Role).busy() {
		c, err := s.try(ctx, n)
		if c != nil || final(err) {
			return c, err
		}
	}
	return s.acquireLater(ctx, n)
}

// final: another try would not change the error.
func final(err error) bool {
	var other *unreachableError
	return err != nil && !errors.As(err, &other)
}

func (s *shardState) queue(r wire.Role) *hold {
	if r == wire.Replica {
		return &s.reads
	}
	return &s.writes
}

// try lends a conn of what the shard has now. Without any server for it both results are nil.
func (s *shardState) try(ctx context.Context, n *Need) (*Conn, error) {
	if n.Role == wire.Replica {
		return s.tryRead(ctx, n)
	}
	v := s.view.Load()
	if v.split != "" {
		return nil, s.unavailable(n.Role, 0)
	}
	if v.primary == nil {
		return nil, nil
	}
	return s.borrow(ctx, v, v.primary, n)
}

// tryRead goes from one server that can't be reached to the next.
func (s *shardState) tryRead(ctx context.Context, n *Need) (*Conn, error) {
	var buf [attempts + 1]*Server
	tried := buf[:0]
	if n.Avoid != nil {
		tried = append(tried, n.Avoid)
	}
	var err error
	for range attempts {
		v := s.view.Load()
		srv := s.choose(v, n, tried)
		if srv == nil && n.Avoid != nil && len(tried) == 1 {
			srv = s.choose(v, n, nil)
		}
		if srv == nil {
			return nil, err
		}
		var c *Conn
		if c, err = s.borrow(ctx, v, srv, n); c != nil || final(err) {
			return c, err
		}
		tried = append(tried, srv)
	}
	return nil, err
}

// borrow lends a conn of the server. One that can't be reached is probed at once; if it is the
// primary, it has lost its role until a probe confirms it.
func (s *shardState) borrow(ctx context.Context, v *view, srv *Server, n *Need) (*Conn, error) {
	role := wire.Replica
	if srv == v.fallback {
		role = wire.Primary
	}
	c, err := srv.pool.get(ctx, n, terms{
		readOnly: role == wire.Replica, patient: role == wire.Primary,
		guest: role != n.Role && v.reserve,
	})
	if err == nil {
		c.role = role
		return c, nil
	}
	if !final(err) {
		if role == wire.Primary && srv == v.primary {
			s.doubt(srv, err.Error())
		}
		srv.poke()
	}
	return nil, err
}

// choose picks the server for a read: nil if there is none.
func (s *shardState) choose(v *view, n *Need, tried []*Server) *Server {
	position := n.Position
	if srv := s.fresh(v, n.Class, position, tried); srv != nil {
		return srv
	}
	if cut, ok := s.unexpired(v, n); ok {
		position = cut
		if srv := s.fresh(v, n.Class, position, tried); srv != nil {
			return srv
		}
	}
	if position.IsZero() {
		s.noReplica.Add(1)
	} else {
		s.miss(v, position)
	}
	return s.leftOver(v, position, tried)
}

// leftOver picks a server for a read that no fresh replica can take: the primary, else one that may be far behind.
func (s *shardState) leftOver(v *view, position shard.Position, tried []*Server) *Server {
	if v.fallback != nil && !slices.Contains(tried, v.fallback) {
		return v.fallback
	}
	for _, list := range [...][]*Server{v.online, v.batch, v.stale} {
		if srv := s.pick(v, list, position, tried); srv != nil {
			return srv
		}
	}
	return nil
}

// fresh picks a replica of the class that isn't too far behind and has applied the position. Batch
// reads go to online replicas when there is no other.
func (s *shardState) fresh(v *view, class string, position shard.Position, tried []*Server) *Server {
	if class == Batch {
		if srv := s.pick(v, v.batch, position, tried); srv != nil {
			return srv
		}
	}
	return s.pick(v, v.online, position, tried)
}

func (s *shardState) pick(v *view, from []*Server, position shard.Position, tried []*Server) *Server {
	var buf [maxServers]*Server
	among := s.eligible(buf[:0], from, position, tried)
	if len(among) == 0 {
		return nil
	}
	return choose(v.balance, among, s.turn.Add(1))
}

// eligible appends the servers that have applied the position and weren't tried. Those in slow
// start are left out most of the time, unless there is no other.
func (s *shardState) eligible(to, from []*Server, position shard.Position, tried []*Server) []*Server {
	now := time.Duration(-1)
	resting := false
	for pass := range 2 {
		for _, srv := range from {
			if !srv.applied.Load().Contains(position) || slices.Contains(tried, srv) {
				continue
			}
			if pass == 0 && srv.warm.Load() != 0 {
				if now < 0 {
					now = s.b.now()
				}
				if !srv.takesItsShare(now) {
					resting = true
					continue
				}
			}
			to = append(to, srv)
		}
		if len(to) > 0 || !resting {
			break
		}
	}
	return to
}

// acquireLater waits until the shard has a server for the request.
func (s *shardState) acquireLater(ctx context.Context, n *Need) (*Conn, error) {
	v, q := s.view.Load(), s.queue(n.Role)
	began := time.Now()
	t, ok := q.join(v.holdMax)
	if !ok {
		return nil, wire.Errorf(wire.CodeUnavailable, "shard %s has no usable server and %d requests wait for one already: %s",
			s.id, v.holdMax, v.why)
	}
	defer func() {
		if q.leave(t) {
			s.wake(s.view.Load()) // the next may go
		}
	}()
	timer := time.NewTimer(v.window)
	defer timer.Stop()
	s.wake(s.view.Load()) // it may have changed before the request was in the queue
	if q.queued.Load() == 1 {
		s.pokeAll() // from now on servers are probed often, as long as somebody waits
	}
	var last error
	for {
		select {
		case <-t.goOn:
		case <-timer.C:
			return nil, s.waitedInVain(n, began, last)
		case <-ctx.Done():
			return nil, wire.Errorf(wire.CodeCancelled, "the request was cancelled while it waited for a server of shard %s", s.id)
		case <-s.b.life.Done():
			return nil, wire.Errorf(wire.CodeShutdown, "Leat is shutting down")
		}
		c, err := s.try(ctx, n)
		if c != nil || final(err) {
			return c, err
		}
		last = err
		q.again(t)
	}
}

func (s *shardState) waitedInVain(n *Need, began time.Time, last error) error {
	err := s.unavailable(n.Role, time.Since(began))
	if last != nil {
		err.Message += "; last tried: " + last.Error()
	}
	return err
}
