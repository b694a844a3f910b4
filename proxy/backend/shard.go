package backend

// One shard: who is its primary, who takes reads, and what to do when two are writable.

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

// shardState is one shard's servers and who does what among them.
type shardState struct {
	// set when made, then read-only
	b       *Backend
	id      shard.ID
	dialect shard.Dialect

	// view is what requests look at. It is replaced, whole, when something changed.
	view atomic.Pointer[view]
	turn atomic.Uint64 // counts choices, for the policies that take turns

	writes, reads hold // requests that wait for a primary, or for any server

	positions positions
	samples   samples
	catalogs  catalogs
	noReplica atomic.Uint64 // reads that went to the primary since no replica was usable

	mu       sync.Mutex // guards what follows, and the servers' health
	cfg      ShardConfig
	rise     int
	fall     int
	window   time.Duration // how long a request waits for a server
	holdMax  int
	servers  []*Server
	primary  *Server // the last one known
	logged   *Server // the primary that the log named last
	lacking  bool    // the log said that there is none
	conflict conflict
	trail    trail
}

// view is the state of a shard as requests see it. It is immutable.
type view struct {
	primary *Server // takes writes now; nil: none, see why
	// history is the primary's position in a probe that began when it was asked.
	history shard.Position
	asked   time.Time
	// fallback serves reads when no replica can: the primary, or the last one known while two
	// servers are writable.
	fallback *Server
	// why says, when there is no primary, what is the matter with each server.
	why string
	// split says which servers are writable when there is more than one; writes are refused.
	split string

	online, batch []*Server // replicas that are fresh enough, by class
	stale         []*Server // servers that answer, but lag or don't replicate: when nothing else is left

	reserve bool          // reads on the primary are guests: replicas are meant to take them
	window  time.Duration // how long a request waits for a server
	holdMax int
	balance string
}

// conflict is the suspicion that two servers are writable. It is confirmed when both say so to a
// probe that began after the suspicion did.
type conflict struct {
	since     uint64 // tick; 0: none
	confirmed bool
}

func newShardState(b *Backend, id shard.ID, d shard.Dialect) *shardState {
	s := &shardState{b: b, id: id, dialect: d}
	s.view.Store(&view{why: "no server has been probed yet"})
	return s
}

// configure takes a new or reloaded config; servers that stay are kept.
func (s *shardState) configure(cfg *Config, sc *ShardConfig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg, s.rise, s.fall = *sc, cfg.Monitor.Rise, cfg.Monitor.Fall
	s.window, s.holdMax = cfg.HoldWindow, cfg.HoldMax
	last := s.servers
	s.servers = nil
	for i, r := range append([]ServerConfig{{Address: sc.Primary, Weight: 1}}, sc.Replicas...) {
		k := slices.IndexFunc(last, func(o *Server) bool { return o.address == r.Address })
		var srv *Server
		if k >= 0 {
			srv = last[k]
		} else {
			srv = newServer(s, r.Address, s.b.dialers[s.dialect])
		}
		srv.configure(cfg, sc, r)
		s.servers = append(s.servers, srv)
		if i == 0 && s.primary == nil {
			s.primary = srv
		}
	}
	if !slices.Contains(s.servers, s.primary) {
		s.primary = s.servers[0]
	}
	s.refresh()
}

func (s *shardState) all() []*Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.servers)
}

// update changes a server's health and draws the conclusions.
func (s *shardState) update(change func()) {
	s.mu.Lock()
	change()
	s.refresh()
	s.mu.Unlock()
	s.b.tell()
}

// refresh makes the view anew. It is called with mu held.
func (s *shardState) refresh() {
	last := s.view.Load()
	v := &view{reserve: len(s.servers) > 1 && s.cfg.MaxLag > 0, window: s.window, holdMax: s.holdMax, balance: s.cfg.Balance}
	writable := s.writable()
	switch {
	case len(writable) > 1:
		s.suspect(v, writable)
	case len(writable) == 1 && (s.allProbed() || writable[0] == last.primary):
		v.primary = writable[0]
		v.history, v.asked = v.primary.health.seen.history(), v.primary.health.beganAt
		s.primary = v.primary
		s.conflict = conflict{}
	default:
		s.conflict = conflict{}
	}
	v.fallback = v.primary
	if v.split != "" && s.primary.usable() {
		v.fallback = s.primary
	}
	for _, srv := range s.servers {
		s.place(v, srv, slices.Contains(writable, srv))
	}
	if v.primary == nil && v.why == "" {
		v.why = s.complaints()
	}
	s.view.Store(v)
	s.logChange(last, v)
	s.wake(v)
}

// writable are the servers that may be the primary. A server that didn't answer its last probe
// counts only when no other does: its last word may be from before it lost its role. Once two are
// known to be writable, neither a missed probe nor a doubt makes the other one safe.
func (s *shardState) writable() []*Server {
	var sure, perhaps []*Server
	for _, srv := range s.servers {
		h := &srv.health
		switch {
		case !srv.usable() || !h.seen.writable():
		case s.conflict.confirmed || h.fails == 0 && h.began > h.doubted:
			sure = append(sure, srv)
		case h.began > h.doubted:
			perhaps = append(perhaps, srv)
		}
	}
	if len(sure) == 0 && len(perhaps) == 1 {
		return perhaps
	}
	return sure
}

func (s *shardState) allProbed() bool {
	return !slices.ContainsFunc(s.servers, func(srv *Server) bool { return !srv.health.probed })
}

// suspect deals with more than one writable server: it asks them again, and refuses writes when
// both stand by it.
func (s *shardState) suspect(v *view, writable []*Server) {
	if s.conflict.since == 0 {
		s.conflict = conflict{since: s.b.tick.Add(1)}
		for _, srv := range writable {
			srv.poke()
		}
	}
	confirmed := true
	names := make([]string, len(writable))
	for i, srv := range writable {
		names[i] = srv.address
		confirmed = confirmed && srv.health.began > s.conflict.since
	}
	sign := "read_only is off and they don't replicate"
	if s.dialect == shard.Postgres {
		sign = "they are not in recovery"
	}
	v.why = "both " + strings.Join(names, " and ") + " are writable (" + sign + ")"
	if s.conflict.confirmed = s.conflict.confirmed || confirmed; s.conflict.confirmed {
		v.split = v.why
	}
}

// place puts a server that isn't the primary into the list of reads that it may take.
func (s *shardState) place(v *view, srv *Server, writable bool) {
	set, h := srv.settings.Load(), &srv.health
	if srv == v.primary || writable || !srv.usable() || set.weight == 0 {
		return
	}
	switch {
	case !h.fresh || s.cfg.MaxLag < 0:
		v.stale = append(v.stale, srv)
	case set.class == Batch:
		v.batch = append(v.batch, srv)
	default:
		v.online = append(v.online, srv)
	}
}

// complaints says why each server isn't the primary.
func (s *shardState) complaints() string {
	all := make([]string, len(s.servers))
	for i, srv := range s.servers {
		all[i] = srv.address + " " + srv.whyNotPrimary()
	}
	return strings.Join(all, ", ")
}

// logChange logs when the primary changed. Losing it for a moment, to ask it again, is no news.
func (s *shardState) logChange(last, v *view) {
	log := s.b.log.With(slog.String("shard", string(s.id)))
	switch {
	case v.split != "" && v.split != last.split:
		log.Error("two servers are writable: writes are refused until one of them is read only", slog.String("why", v.split),
			slog.String("do", "find out which of them is the primary; on the other, SET GLOBAL read_only = ON and have it replicate again"))
	case v.split == "" && last.split != "":
		log.Info("no more than one server is writable: writes go on")
	}
	h := &s.primary.health
	asked := h.began <= h.doubted && h.fails == 0
	switch {
	case v.primary != nil:
		if v.primary != s.logged {
			log.Info("primary found", slog.String("server", v.primary.address))
		}
		s.logged, s.lacking = v.primary, false
	case !s.lacking && !asked && v.split == "" && s.allProbed():
		log.Warn("no primary: writes wait", slog.String("why", v.why))
		s.logged, s.lacking = nil, true
	}
}

// wake lets those go on who waited for what the view now has.
func (s *shardState) wake(v *view) {
	switch {
	case v.split != "":
		s.writes.openAll()
		s.reads.openAll()
	case v.primary != nil:
		s.writes.open()
		s.reads.open()
	case v.readable():
		s.reads.open()
	}
}

func (v *view) readable() bool {
	return v.fallback != nil || len(v.online)+len(v.batch)+len(v.stale) > 0
}

// doubt withdraws the server's role until a probe that begins from now on confirms it.
func (s *shardState) doubt(srv *Server, why string) {
	s.update(func() {
		srv.health.doubted = s.b.tick.Add(1)
		srv.health.doubt = why
	})
	s.pokeAll()
}

func (s *shardState) pokeAll() {
	for _, srv := range s.all() {
		srv.poke()
	}
}

func (s *shardState) drain(srv *Server, out bool) {
	s.update(func() {
		srv.drained.Store(out)
		if !out { // it may have lost its role meanwhile
			srv.health.doubted, srv.health.doubt = s.b.tick.Add(1), "it was put back"
		}
	})
	s.pokeAll()
	s.b.log.LogAttrs(context.Background(), slog.LevelInfo, "server drained or put back",
		slog.String("shard", string(s.id)), slog.String("server", srv.address), slog.Bool("drained", out))
}

// missing says why the shard isn't ready; empty: it is.
func (s *shardState) missing() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.allProbed() {
		return "not all servers have been probed yet"
	}
	for _, srv := range s.servers {
		if srv.usable() {
			return ""
		}
	}
	return "no server answers: " + s.complaints()
}

func (s *shardState) unavailable(role wire.Role, waited time.Duration) *wire.Error {
	v := s.view.Load()
	what := "primary"
	if role == wire.Replica {
		what = "server"
	}
	if v.split != "" {
		return wire.Errorf(wire.CodeUnavailable, "shard %s takes no writes: %s", s.id, v.split)
	}
	text := fmt.Sprintf("shard %s has had no usable %s for %v", s.id, what, waited.Round(time.Millisecond))
	if v.why != "" {
		text += ": " + v.why
	}
	return wire.Errorf(wire.CodeUnavailable, "%s", text)
}
