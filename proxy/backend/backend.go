// Package backend is the servers' side of the proxy: pools of conns, the choice among a shard's
// servers, and what is known of their health, lag and positions.
//
// A session asks for a conn by what it needs (Acquire) and gives it back (Release). Which server is
// the primary is never configured for good: it is the one that is writable, by its own word.
//
// The package reads no SQL of clients and knows nothing of sessions; a dialect appears in it only
// as a wire.Dialer and a Prober.
package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

// Backend holds all servers. Make it with New and keep Run running.
type Backend struct {
	// set by New, then read-only
	dialers map[shard.Dialect]wire.Dialer
	log     *slog.Logger
	start   time.Time
	life    context.Context // ends when Run does: dials belong to no request
	end     context.CancelFunc
	changed chan struct{} // a reload changed the set of servers
	tick    atomic.Uint64 // orders probes and doubts: see health

	catalogVersion atomic.Uint64 // of the last catalog whose content was new

	reloading sync.Mutex
	topology  atomic.Pointer[topology]

	mu     sync.Mutex // guards what follows; no other lock is taken while it is held
	closed bool
	dials  sync.WaitGroup // what spawn started
	news   chan struct{}  // closed and replaced when a server's health changed
}

// topology is one config with its shards. It is immutable; the shards' and servers' states live
// through reloads.
type topology struct {
	cfg    Config
	shards map[shard.ID]*shardState
	order  []*shardState
}

// New makes a Backend. The dialers must cover the dialects of all shards. The error lists
// everything that is wrong with the config. Nothing is connected to before Run.
func New(cfg Config, dialers map[shard.Dialect]wire.Dialer, log *slog.Logger) (*Backend, error) {
	b := &Backend{
		dialers: dialers, log: log, start: time.Now(),
		changed: make(chan struct{}, 1), news: make(chan struct{}),
	}
	b.life, b.end = context.WithCancel(context.Background())
	b.topology.Store(&topology{})
	if err := b.Reload(cfg); err != nil {
		return nil, err
	}
	return b, nil
}

// now is the time since the backend was made, by the monotonic clock.
func (b *Backend) now() time.Duration { return time.Since(b.start) }

// Reload replaces the config, whole: when it isn't valid the running one stays and the error lists
// what is wrong. Servers that stay keep their conns and their health. The conns of a server that
// goes are closed: idle ones now, lent ones when they are released.
func (b *Backend) Reload(cfg Config) error {
	if err := b.check(&cfg); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	b.reloading.Lock()
	defer b.reloading.Unlock()
	last, before := b.topology.Load(), b.servers()
	next := &topology{cfg: cfg, shards: map[shard.ID]*shardState{}}
	for i := range cfg.Shards {
		sc := &cfg.Shards[i]
		s := last.shards[sc.ID]
		if s == nil || s.dialect != sc.Dialect {
			s = newShardState(b, sc.ID, sc.Dialect)
		}
		s.configure(&cfg, sc)
		next.shards[sc.ID] = s
		next.order = append(next.order, s)
	}
	b.topology.Store(next)
	stays := map[*Server]bool{}
	for _, srv := range b.servers() {
		stays[srv] = true
	}
	for _, srv := range before {
		if !stays[srv] {
			srv.pool.shut()
		}
	}
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return nil
}

func (b *Backend) check(cfg *Config) error {
	var p problems
	if err := cfg.Validate(); err != nil {
		p = append(p, err)
	}
	for i := range cfg.Shards {
		s := &cfg.Shards[i]
		p.add(b.dialers[s.Dialect] == nil, "shard %q: dialect %s is not served", s.ID, s.Dialect)
		p.add(cfg.Monitor.NewProber == nil && probers[s.Dialect] == nil, "shard %q: dialect %s can't be probed", s.ID, s.Dialect)
	}
	return errors.Join(p...)
}

// Run probes the servers, keeps the pools in shape and looks names up again, until ctx ends. Then
// it closes all idle conns, and returns when everything that it started has ended.
func (b *Backend) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { b.keepPools(ctx) })
	tasks.Go(func() { b.keepResolved(ctx) })
	running := map[*Server]context.CancelFunc{}
	for ctx.Err() == nil {
		wanted := map[*Server]bool{}
		for _, srv := range b.servers() {
			wanted[srv] = true
			if running[srv] == nil {
				mctx, cancel := context.WithCancel(ctx)
				running[srv] = cancel
				tasks.Go(func() { srv.monitor(mctx) })
			}
		}
		for srv, cancel := range running {
			if !wanted[srv] {
				cancel()
				delete(running, srv)
			}
		}
		select {
		case <-b.changed:
		case <-ctx.Done():
		}
	}
	for _, cancel := range running {
		cancel()
	}
	tasks.Wait()
	b.shut()
	return nil
}

func (b *Backend) shut() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.end()
	for _, srv := range b.servers() {
		srv.pool.shut()
	}
	b.dials.Wait()
}

// spawn runs a short task that outlives the request that asked for it. False: the backend ended.
func (b *Backend) spawn(task func(context.Context)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.dials.Go(func() { task(b.life) })
	return true
}

func (b *Backend) servers() []*Server {
	var all []*Server
	for _, s := range b.topology.Load().order {
		all = append(all, s.all()...)
	}
	return all
}

// keepPools closes conns that are idle for long, and has servers probed whose replies stall. It keeps the
// databases' catalogs, too.
func (b *Backend) keepPools(ctx context.Context) {
	const pace = 100 * time.Millisecond
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, s := range b.topology.Load().order {
			s.keepCatalogs()
		}
		for _, srv := range b.servers() {
			srv.checkStall()
			if n%10 == 0 {
				srv.pool.trim()
			}
		}
	}
}

// Ready returns nil once every server has been probed, and each shard has one that answers and no
// more than one that is writable. When ctx ends first the error says what is missing; with a ctx
// that ended already it is a mere check.
func (b *Backend) Ready(ctx context.Context) error {
	for {
		news := b.listen()
		err := b.missing()
		if err == nil {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return err
		}
	}
}

func (b *Backend) missing() error {
	var p problems
	for _, s := range b.topology.Load().order {
		why := s.missing()
		if why == "" {
			why = s.view.Load().split
		}
		if why != "" {
			p = append(p, fmt.Errorf("shard %s: %s", s.id, why))
		}
	}
	return errors.Join(p...)
}

func (b *Backend) listen() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news
}

// tell wakes those who wait for news of the servers' health.
func (b *Backend) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.news)
	b.news = make(chan struct{})
}

// Greeting is what a listener of the dialect says of itself: the greeting of the server with the
// lowest version, as the servers' own conns show it. False: none has been seen yet.
func (b *Backend) Greeting(d shard.Dialect) (wire.Greeting, bool) {
	var lowest *wire.Greeting
	for _, s := range b.topology.Load().order {
		if s.dialect != d {
			continue
		}
		for _, srv := range s.all() {
			if g := srv.greeting.Load(); g != nil && (lowest == nil || olderVersion(g.Version, lowest.Version)) {
				lowest = g
			}
		}
	}
	if lowest == nil {
		return wire.Greeting{}, false
	}
	return *lowest, true
}

// KeepLogins closes the conns of logins that keep refuses: idle ones now, lent ones when they are
// released. It is for a reload that changed users or passwords.
func (b *Backend) KeepLogins(keep func(user, password string) bool) {
	for _, srv := range b.servers() {
		srv.pool.retire("login was changed", func(c *Conn) bool {
			return !keep(c.login.key.user, c.login.key.password)
		})
	}
}

// Drain takes a server out: no new requests, idle conns closed, lent ones closed when they are
// released. It is probed on. The error says that no shard has that address.
func (b *Backend) Drain(address string) error { return b.drain(address, true) }

// Undrain puts a drained server back.
func (b *Backend) Undrain(address string) error { return b.drain(address, false) }

func (b *Backend) drain(address string, out bool) error {
	found := false
	for _, srv := range b.servers() {
		if srv.address != address {
			continue
		}
		found = true
		srv.shard.drain(srv, out)
		if out {
			srv.pool.retire("server drained", func(*Conn) bool { return true })
		}
	}
	if !found {
		return fmt.Errorf("no server has the address %q", address)
	}
	return nil
}
