package backend

// Scripted servers, and a backend that runs on a clock of its own.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

// world is the scripted servers of a test: the dialer and the probers of a Backend.
type world struct {
	mu      sync.Mutex
	servers map[string]*fakeServer
	conns   uint64
	cancels []string
	log     bytes.Buffer // of the backend, to be read when it rests
}

// fakeServer is what the world shows of one address. Change it with world.set.
type fakeServer struct {
	down     bool // connections are refused
	stalled  bool // connections are accepted and never answered
	refuses  *wire.ServerError
	dialTime time.Duration
	version  string
	o        Observation
	probeErr error

	functions   map[wire.Function]wire.Volatility
	catalogErr  error
	catalogTime time.Duration

	dials, dialing, mostDialing, open, mostOpen, probes, asked, samples, catalogs int
}

func primary() *fakeServer { return &fakeServer{version: "8.4.6"} }

func replica() *fakeServer {
	return &fakeServer{version: "8.4.6", o: Observation{ReadOnly: true, Replicates: true, LagKnown: true}}
}

func (w *world) set(address string, change func(*fakeServer)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w.servers[address])
}

func (w *world) get(address string) fakeServer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *w.servers[address]
}

// answer waits until the server would answer, and says what comes of it.
func (w *world) answer(ctx context.Context, address string) (fakeServer, error) {
	w.mu.Lock()
	s := w.servers[address]
	if s == nil {
		w.mu.Unlock()
		return fakeServer{}, errors.New("no route to host")
	}
	now := *s
	w.mu.Unlock()
	switch {
	case now.down:
		return now, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	case now.stalled:
		<-ctx.Done()
		return now, ctx.Err()
	}
	return now, nil
}

func (w *world) Dial(ctx context.Context, address string, login wire.Login) (wire.Conn, error) {
	w.set(address, func(s *fakeServer) {
		s.dials++
		s.dialing++
		s.mostDialing = max(s.mostDialing, s.dialing)
	})
	defer w.set(address, func(s *fakeServer) { s.dialing-- })
	s, err := w.answer(ctx, address)
	if err != nil {
		return nil, err
	}
	time.Sleep(s.dialTime)
	if s.refuses != nil {
		return nil, s.refuses
	}
	w.set(address, func(s *fakeServer) {
		s.open++
		s.mostOpen = max(s.mostOpen, s.open)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns++
	return &fakeConn{world: w, address: address, login: login, id: w.conns, version: s.version, state: wire.NewState(login.Database)}, nil
}

func (w *world) Cancel(_ context.Context, address string, _ wire.Login, id wire.ConnID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancels = append(w.cancels, fmt.Sprintf("%s/%d", address, id.ID))
	return nil
}

// fakeProber probes a world.
type fakeProber struct {
	world  *world
	target ProbeTarget
}

func (p fakeProber) Probe(ctx context.Context) (Observation, error) {
	p.world.set(p.target.Address, func(s *fakeServer) { s.probes++ })
	s, err := p.world.answer(ctx, p.target.Address)
	if err == nil {
		err = s.probeErr
	}
	return s.o, err
}

func (p fakeProber) Applied(ctx context.Context) (shard.Position, error) {
	p.world.set(p.target.Address, func(s *fakeServer) { s.asked++ })
	s, err := p.world.answer(ctx, p.target.Address)
	return s.o.Applied, err
}

func (p fakeProber) Close() error { return nil }

// fakeConn is a conn of a world. Tests change its fields while it is lent to them.
type fakeConn struct {
	wire.Conn // nil: what the backend never calls
	world     *world
	address   string
	login     wire.Login
	id        uint64
	version   string
	state     *wire.State
	tx        wire.TxState
	broken    bool

	idleTimeout time.Duration
	closed      atomic.Bool
	cut         atomic.Bool // its deadline has passed
}

func (c *fakeConn) ID() wire.ConnID { return wire.ConnID{ID: c.id} }
func (c *fakeConn) Greeting() wire.Greeting {
	return wire.Greeting{Version: c.version, Flavor: wire.FlavorMySQL, Charset: 255}
}
func (c *fakeConn) State() *wire.State    { return c.state }
func (c *fakeConn) Tx() wire.TxState      { return c.tx }
func (c *fakeConn) Idle() bool            { return !c.broken }
func (c *fakeConn) Reset(time.Time) error { return nil }

func (c *fakeConn) IdleTimeout() time.Duration { return c.idleTimeout }
func (c *fakeConn) SetDeadline(t time.Time) error {
	c.cut.Store(!t.IsZero())
	return nil
}

func (c *fakeConn) Close() error {
	if !c.closed.Swap(true) {
		c.world.set(c.address, func(s *fakeServer) { s.open-- })
	}
	return nil
}

const (
	addrP  = "10.0.0.1:3306"
	addrR1 = "10.0.0.2:3306"
	addrR2 = "10.0.0.3:3306"
)

// one is a shard of a primary and two replicas.
func one() (*world, Config) {
	w := &world{servers: map[string]*fakeServer{addrP: primary(), addrR1: replica(), addrR2: replica()}}
	return w, Config{
		Shards: []ShardConfig{{
			ID: "main", Dialect: shard.MySQL, Primary: addrP,
			Replicas: []ServerConfig{{Address: addrR1, Weight: 1}, {Address: addrR2, Weight: 1}},
		}},
		Monitor: Monitor{User: "monitor", NewProber: func(t ProbeTarget) Prober { return fakeProber{w, t} }},
	}
}

// run tests with a running backend, on a clock of its own.
func run(t *testing.T, w *world, cfg Config, test func(t *testing.T, b *Backend)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, err := New(cfg, map[shard.Dialect]wire.Dialer{shard.MySQL: w}, slog.New(slog.NewTextHandler(&w.log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		synctest.Wait()
		test(t, b)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func write() *Need { return &Need{Shard: "main", User: "app", State: wire.NewState("")} }
func read() *Need {
	return &Need{Shard: "main", Role: wire.Replica, User: "app", State: wire.NewState("")}
}

func acquire(t *testing.T, b *Backend, n *Need) *Conn {
	t.Helper()
	c, err := b.Acquire(t.Context(), n)
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return c
}

func fake(c *Conn) *fakeConn { return c.Conn.(*fakeConn) }

// wantCode checks that an error is a wire error of that code.
func wantCode(t *testing.T, err error, code wire.Code) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got error %v, want code %d", err, code)
	}
}

// status is one server's.
func status(t *testing.T, b *Backend, address string) ServerStatus {
	t.Helper()
	for _, s := range b.Status() {
		if s.Address == address {
			return s
		}
	}
	t.Fatalf("no server %s", address)
	return ServerStatus{}
}
