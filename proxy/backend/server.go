package backend

// One database server, and the settings that a reload may change.

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

// Server is one database server of a shard.
type Server struct {
	// set when made, then read-only
	b       *Backend
	shard   *shardState
	address string // as configured
	host    string
	port    string
	dialer  wire.Dialer

	settings atomic.Pointer[settings] // replaced at a reload
	resolved atomic.Pointer[[]string] // ip:port; nil before the first look-up
	greeting atomic.Pointer[wire.Greeting]
	applied  atomic.Pointer[shard.Position] // what it is known to have applied
	warm     atomic.Int64                   // when slow start ends, on the backend's clock; 0: it is over
	mute     atomic.Int64                   // since when it is down and answers no probe, on the backend's clock; 0: it isn't
	drained  atomic.Bool

	// what traffic says of it
	speed     speed
	requests  atomic.Uint64
	errors    atomic.Uint64
	lastReply atomic.Int64 // on the backend's clock

	pool pool

	// wakes the monitor
	probeNow   chan struct{}
	readersNow chan struct{} // a read waits for a position
	sampleNow  chan struct{} // a session wants to know how far the primary has written

	sampled time.Time // when it was asked so last; owned by the monitor

	health health // guarded by shard.mu
}

// settings are what a reload may change.
type settings struct {
	weight         int
	class          string
	tls            *tls.Config
	poolSize       int
	maxWaiters     int
	connectTimeout time.Duration
	acquireTimeout time.Duration
	idleTimeout    time.Duration
	maxLifetime    time.Duration
	slowStart      time.Duration
	monitor        Monitor
}

func newServer(s *shardState, address string, dialer wire.Dialer) *Server {
	srv := &Server{
		b: s.b, shard: s, address: address, dialer: dialer,
		probeNow: make(chan struct{}, 1), readersNow: make(chan struct{}, 1), sampleNow: make(chan struct{}, 1),
	}
	srv.host, srv.port, _ = net.SplitHostPort(address)
	srv.applied.Store(&shard.Position{Shard: s.id})
	srv.pool.server = srv
	srv.pool.logins = map[loginKey]*login{}
	srv.pool.conns = map[*Conn]struct{}{}
	return srv
}

// configure takes the settings of a new or reloaded config.
func (s *Server) configure(cfg *Config, sh *ShardConfig, r ServerConfig) {
	next := &settings{
		weight: r.Weight, class: r.Class, tls: serverTLS(sh.TLS, s.host), poolSize: sh.PoolSize, maxWaiters: cfg.MaxWaiters,
		connectTimeout: cfg.ConnectTimeout, acquireTimeout: cfg.AcquireTimeout,
		idleTimeout: cfg.IdleTimeout, maxLifetime: cfg.MaxLifetime,
		slowStart: cfg.Monitor.SlowStart, monitor: cfg.Monitor,
	}
	if next.class == "" {
		next.class = Online
	}
	last := s.settings.Swap(next)
	if last != nil && (last.tls == nil) != (next.tls == nil) {
		s.pool.retire("TLS was switched on or off", func(*Conn) bool { return true })
	}
}

// serverTLS expects the configured host in the certificate: conns are dialled by address.
func serverTLS(c *tls.Config, host string) *tls.Config {
	if c == nil || c.ServerName != "" {
		return c
	}
	c = c.Clone()
	c.ServerName = host
	return c
}

// Address is the server's address as configured.
func (s *Server) Address() string { return s.address }

// Shard is the shard that the server belongs to.
func (s *Server) Shard() shard.ID { return s.shard.id }

// poke has the server probed at once.
func (s *Server) poke() {
	select {
	case s.probeNow <- struct{}{}:
	default:
	}
}

// close closes a conn that is in no pool any more.
func (s *Server) close(c *Conn, why string) {
	s.b.log.LogAttrs(context.Background(), slog.LevelDebug, "conn closed",
		slog.String("shard", string(s.shard.id)), slog.String("server", s.address), slog.String("why", why))
	c.Conn.Close()
}

// learn keeps what the server says of itself.
func (s *Server) learn(g wire.Greeting) {
	last := s.greeting.Load()
	if last != nil && last.Version == g.Version && last.Charset == g.Charset && sameState(last.Defaults, g.Defaults) {
		return
	}
	s.greeting.Store(&g)
}

func sameState(a, b *wire.State) bool {
	return a == b || a != nil && b != nil && a.Equal(b)
}
