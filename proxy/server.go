// Package proxy is the clients' side of Leat: it accepts them, keeps a session for each, and sends their
// requests to the servers that the router chooses.
//
// One goroutine runs a session, from log-in to goodbye; one more, the watcher, looks after all that wait.
// The package knows no protocol: bytes are the codecs' business (wire/mysqlwire), servers the backend's.
package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
	"leat/shard"
)

// Deps are what a Server works with.
type Deps struct {
	Backend   *backend.Backend
	Router    *router.Router
	Map       *shard.Map
	Acceptors map[shard.Dialect]wire.Acceptor
	Log       *slog.Logger
}

// Server serves clients. Make it with New, run Run beside any number of Serve.
type Server struct {
	// set by New, then read-only
	backend   *backend.Backend
	acceptors map[shard.Dialect]wire.Acceptor
	log       *slog.Logger
	digests   *digestTable
	counters  counters
	cancels   chan struct{} // a place for each cancel under way

	world     atomic.Pointer[world]
	nextID    atomic.Uint32
	draining  atomic.Bool
	drainHard atomic.Bool // sessions between transactions end, however busy

	mu        sync.Mutex // guards what follows
	sessions  map[uint32]*session
	arriving  int // clients that haven't logged in yet
	listeners map[net.Listener]bool
	empty     chan struct{} // closed when draining and no session is left
}

// world is one config with all that was made of it. It is immutable: a request loads it once.
type world struct {
	cfg    Config
	users  map[string]*User
	router *router.Router
	shards *shard.Map
}

func newWorld(cfg Config, r *router.Router, m *shard.Map) (*world, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	w := &world{cfg: cfg.withDefaults(), users: make(map[string]*User), router: r, shards: m}
	for i := range w.cfg.Users {
		w.users[w.cfg.Users[i].Name] = &w.cfg.Users[i]
	}
	return w, nil
}

// New makes a Server. The error lists all that is wrong with the config.
func New(cfg Config, deps Deps) (*Server, error) {
	w, err := newWorld(cfg, deps.Router, deps.Map)
	if err != nil {
		return nil, err
	}
	s := &Server{
		backend: deps.Backend, acceptors: deps.Acceptors, log: deps.Log,
		sessions: make(map[uint32]*session), listeners: make(map[net.Listener]bool), empty: make(chan struct{}),
		digests: newDigestTable(w.cfg.Digests), cancels: make(chan struct{}, maxCancels),
	}
	s.counters.init()
	s.world.Store(w)
	return s, nil
}

// Reload swaps config, router and map, whole. When the config isn't valid nothing changes. Sessions that
// run go on; a user who is no longer there can't log in any more, and its sessions end when idle.
func (s *Server) Reload(cfg Config, r *router.Router, m *shard.Map) error {
	w, err := newWorld(cfg, r, m)
	if err != nil {
		return err
	}
	s.world.Store(w)
	for _, ss := range s.all() {
		if u := w.users[ss.userName()]; u == nil {
			ss.end(wire.Errorf(wire.CodeShutdown, "the user was removed from Leat's config"))
		}
	}
	return nil
}

// Serve accepts clients of one dialect until the listener is closed, by Drain or by the caller.
func (s *Server) Serve(ctx context.Context, l net.Listener, d shard.Dialect) error {
	s.mu.Lock()
	s.listeners[l] = true
	s.mu.Unlock()
	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			go s.serve(ctx, nc, d)
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			return nil
		default: // out of descriptors, most likely: it will pass
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.LogAttrs(ctx, slog.LevelError, "can't accept a client", slog.Any("error", err), slog.Duration("again in", pause))
			time.Sleep(pause)
		}
	}
}

// serve runs one client from its first byte to its last.
func (s *Server) serve(ctx context.Context, nc net.Conn, d shard.Dialect) {
	defer nc.Close()
	w := s.world.Load()
	acceptor := s.acceptors[d]
	if refused := s.enter(w); refused != nil {
		s.counters.refused.Add(1)
		nc.SetDeadline(time.Now().Add(time.Second))
		acceptor.TurnAway(nc, refused)
		return
	}
	id := s.nextID.Add(1)
	ss := &session{server: s, id: id, dialect: d, acceptor: acceptor, world: w}
	ss.ctx, ss.cancel = context.WithCancel(ctx)
	defer ss.cancel()
	ss.wait.Context = ss.ctx
	rand.Read(ss.key[:])
	defer ss.survive()
	err := s.arrive(ss, nc)
	var cancel *wire.CancelRequest
	if errors.As(err, &cancel) {
		s.cancelFor(cancel)
		return
	}
	if err == nil {
		defer s.remove(ss)
		err = ss.admit(nc)
	}
	if err != nil {
		s.counters.refused.Add(1)
		s.log.LogAttrs(ctx, slog.LevelInfo, "client refused", slog.String("from", nc.RemoteAddr().String()), slog.Any("error", err))
		return
	}
	s.counters.clients.Add(1)
	ss.run()
}

// arrive logs a client in. From then on it can be found by KILL.
func (s *Server) arrive(ss *session, nc net.Conn) error {
	var admitted *session
	defer func() { s.leave(admitted) }() // also when a bug ended it
	err := ss.login(nc)
	if err == nil {
		admitted = ss
	}
	return err
}

// enter counts a client in, or says why there is no room for it.
func (s *Server) enter(w *world) *wire.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining.Load():
		return errShutdown
	case len(s.sessions)+s.arriving >= w.cfg.MaxClients:
		return wire.Errorf(wire.CodeTooManyClients, "Too many connections: Leat takes %d clients, raise limits.clients", w.cfg.MaxClients)
	}
	s.arriving++
	return nil
}

// leave ends a client's arrival: it has a session now, or none if it was refused.
func (s *Server) leave(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arriving--
	if ss != nil {
		s.sessions[ss.id] = ss
	}
	s.checkEmpty()
}

func (s *Server) remove(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ss.id)
	s.checkEmpty()
}

// checkEmpty tells Drain when nobody is left. It is called with mu held.
func (s *Server) checkEmpty() {
	if !s.draining.Load() || len(s.sessions)+s.arriving > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// all are the sessions of now.
func (s *Server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.sessions))
	for _, ss := range s.sessions {
		all = append(all, ss)
	}
	return all
}

func (s *Server) session(id uint32) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// Draining goes in three steps: first sessions that have been idle for idleGrace leave, then all that are
// between transactions, and at the end whoever is left.
const (
	idleGrace = 300 * time.Millisecond
	softDrain = 2 * time.Second
	drainPace = 50 * time.Millisecond
)

// Drain stops accepting, ends sessions that are between transactions, lets the others finish theirs
// until ctx ends, and then cuts them. The error is ctx's if any had to be cut.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	for l := range s.listeners {
		l.Close()
	}
	s.checkEmpty()
	s.mu.Unlock()
	began := time.Now()
	ticker := time.NewTicker(drainPace)
	defer ticker.Stop()
	for {
		s.drainHard.Store(time.Since(began) > softDrain)
		for _, ss := range s.all() {
			if ss.mayLeave() {
				ss.client.Interrupt()
			}
		}
		select {
		case <-s.empty:
			return nil
		case <-ticker.C:
			continue
		case <-ctx.Done():
		}
		left := s.all()
		for _, ss := range left {
			ss.end(errShutdown)
			ss.cut()
		}
		if len(left) == 0 {
			return nil
		}
		return ctx.Err()
	}
}

// mayLeave reports whether a session may be ended by a drain where it stands, as far as can be seen from
// outside: it is between requests, and has been for a while.
func (s *session) mayLeave() bool {
	if s.busy.Load() {
		return false
	}
	idle := time.Since(time.Unix(0, s.active.Load()))
	return s.server.drainHard.Load() || idle >= idleGrace
}

// Draining reports whether the server stopped taking clients.
func (s *Server) Draining() bool { return s.draining.Load() }

var errShutdown = wire.Errorf(wire.CodeShutdown, "Server shutdown in progress")

// lookup finds the credential of a user who may come from an address.
func (w *world) lookup(name string, from netip.Addr) (wire.Credential, bool) {
	u := w.users[name]
	if u == nil {
		return wire.Credential{}, false
	}
	cred := wire.Credential{Password: u.Password, Verifier: u.Verifier}
	return cred, u.mayComeFrom(from)
}

// mayComeFrom reports whether the user may log in from an address. A unix socket has none, and is local.
func (u *User) mayComeFrom(from netip.Addr) bool {
	if len(u.From) == 0 || !from.IsValid() {
		return true
	}
	for _, p := range u.From {
		if p.Contains(from.Unmap()) {
			return true
		}
	}
	return false
}
