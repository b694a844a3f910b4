package proxy

// A session before scripted servers, on a clock of its own.

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/proxy/wire/mysqlwire"
	"leat/router"
	"leat/shard"
)

const (
	fakePrimary = "10.0.0.1:3306"
	fakeReplica = "10.0.0.2:3306"
)

// fakeShard is a primary and a replica, each with a script. It is the dialer and the probers of a backend.
type fakeShard struct {
	mu      sync.Mutex
	servers map[string]*fakeServer
}

// fakeServer is what a server shows. Change it with fakeShard.set.
type fakeServer struct {
	seen     backend.Observation
	probeErr error
	// do is what comes of a statement; nil: an OK, of a conn that is in the state that BEGIN and COMMIT left.
	do  func(c *fakeConn, sql string) (wire.Outcome, error)
	ran []string // statements, in order; Leat's own in parentheses
}

// fakeConn is a conn of a fakeServer.
type fakeConn struct {
	wire.CommandConn // nil: what isn't called
	shard            *fakeShard
	address          string
	state            *wire.State
	tx               wire.TxState
	insertID         string
	cleared          int   // how often its counts were made nobody's
	gone             error // what Leat's own questions end in, once it is set
}

// fakeClient keeps what it is answered.
type fakeClient struct {
	wire.CommandClient // nil: what isn't called
	answers            []error
	done               int // successes that Leat answered itself
}

// fakeSession is a session of a fakeClient on a fakeShard.
type fakeSession struct {
	*session
	t      *testing.T
	shard  *fakeShard
	client *fakeClient
}

// withSession tests a session whose servers have been probed.
func withSession(t *testing.T, test func(f *fakeSession)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		replica := backend.Observation{ReadOnly: true, Replicates: true, LagKnown: true}
		sh := &fakeShard{servers: map[string]*fakeServer{fakePrimary: {}, fakeReplica: {seen: replica}}}
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		b, err := backend.New(backend.Config{
			Shards: []backend.ShardConfig{{
				ID: "main", Dialect: shard.MySQL, Primary: fakePrimary, Replicas: []backend.ServerConfig{{Address: fakeReplica, Weight: 1}},
			}},
			Monitor: backend.Monitor{User: "monitor", NewProber: func(p backend.ProbeTarget) backend.Prober { return fakeProber{sh, p.Address} }},
		}, map[shard.Dialect]wire.Dialer{shard.MySQL: sh}, log)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		synctest.Wait()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		f := newFakeSession(ctx, t, b, sh, log)
		defer f.finish()
		test(f)
	})
}

// another is one more session of the same program.
func (f *fakeSession) another() *fakeSession {
	f.t.Helper()
	other := &fakeSession{t: f.t, shard: f.shard, client: &fakeClient{}}
	other.session = &session{
		server: f.server, world: f.world, dialect: f.dialect, acceptor: f.acceptor, user: f.user, client: other.client, commands: other.client,
	}
	other.ctx, other.cancel = context.WithCancel(f.ctx)
	other.session.wait.Context = other.ctx
	other.defaults = f.defaults
	if err := other.begin(&wire.Arrival{User: "app", State: wire.NewState("")}); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(other.cancel)
	return other
}

func newFakeSession(ctx context.Context, t *testing.T, b *backend.Backend, sh *fakeShard, log *slog.Logger) *fakeSession {
	t.Helper()
	r, err := router.New(router.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := shard.NewMap(1, map[shard.ID]shard.Dialect{"main": shard.MySQL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	user := &User{Name: "app"}
	w := &world{cfg: Config{}.withDefaults(), users: map[string]*User{"app": user}, router: r, shards: m}
	server := &Server{backend: b, log: log, cancels: make(chan struct{}, maxCancels), digests: newDigestTable(10)}
	server.counters.init()
	server.world.Store(w)
	f := &fakeSession{t: t, shard: sh, client: &fakeClient{}}
	f.session = &session{server: server, world: w, dialect: shard.MySQL, acceptor: &mysqlwire.Acceptor{}, user: user, client: f.client, commands: f.client}
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.session.wait.Context = f.ctx
	f.defaults = wire.NewState("")
	if err := f.begin(&wire.Arrival{User: "app", State: wire.NewState("")}); err != nil {
		t.Fatal(err)
	}
	return f
}

// query runs a statement, and returns the error that the client got; ended says that its session did.
func (f *fakeSession) query(sql string) (answer error, ended bool) {
	f.t.Helper()
	f.client.answers = nil
	err := f.handle(&wire.Request{Kind: wire.Query, SQL: []byte(sql)})
	if len(f.client.answers) > 0 {
		answer = f.client.answers[0]
	}
	return answer, err != nil
}

// ok runs statements that must succeed.
func (f *fakeSession) ok(list ...string) {
	f.t.Helper()
	for _, sql := range list {
		if answer, ended := f.query(sql); answer != nil || ended {
			f.t.Fatalf("%s: got %v, ended %v", sql, answer, ended)
		}
	}
}

func (s *fakeShard) set(address string, change func(*fakeServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.servers[address])
}

func (s *fakeShard) get(address string) fakeServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.servers[address]
}

// ran lists what was run on a server since it was asked last.
func (s *fakeShard) ran(address string) (list []string) {
	s.set(address, func(v *fakeServer) { list, v.ran = v.ran, nil })
	return list
}

// promote makes the replica the primary. The old one isn't seen any more.
func (s *fakeShard) promote() {
	s.set(fakePrimary, func(v *fakeServer) { v.probeErr = io.ErrUnexpectedEOF })
	s.set(fakeReplica, func(v *fakeServer) { v.seen = backend.Observation{} })
	time.Sleep(time.Minute)
}

func (s *fakeShard) Dial(_ context.Context, address string, l wire.Login) (wire.Conn, error) {
	return &fakeConn{shard: s, address: address, state: wire.NewState(l.Database)}, nil
}

func (s *fakeShard) Cancel(context.Context, string, wire.Login, wire.ConnID) error { return nil }

type fakeProber struct {
	shard   *fakeShard
	address string
}

func (p fakeProber) Probe(context.Context) (backend.Observation, error) {
	v := p.shard.get(p.address)
	return v.seen, v.probeErr
}

func (p fakeProber) Applied(context.Context) (shard.Position, error) { return shard.Position{}, nil }
func (p fakeProber) Close() error                                    { return nil }

func (c *fakeConn) note(sql string) {
	c.shard.set(c.address, func(v *fakeServer) { v.ran = append(v.ran, sql) })
}

// own is a question of Leat's own.
func (c *fakeConn) own(what string) error {
	if c.gone == nil {
		c.note("(" + what + ")")
	}
	return c.gone
}

func (c *fakeConn) Do(r *wire.Request, _ wire.Client, _ *wire.Options) (wire.Outcome, error) {
	sql := string(r.SQL)
	c.note(sql)
	if do := c.shard.get(c.address).do; do != nil {
		out, err := do(c, sql)
		if out.Err != nil {
			out.Tx = wire.TxUnknown
		}
		return out, err
	}
	return c.served(sql), nil
}

// served is the outcome of a statement that succeeds.
func (c *fakeConn) served(sql string) wire.Outcome {
	switch sql {
	case "BEGIN":
		c.tx = wire.TxOpen
	case "START TRANSACTION READ ONLY":
		c.tx = wire.TxReadOnly
	case "COMMIT", "ROLLBACK":
		c.tx = wire.TxIdle
	}
	return wire.Outcome{Tx: c.tx}
}

func (c *fakeConn) ID() wire.ConnID { return wire.ConnID{} }
func (c *fakeConn) Greeting() wire.Greeting {
	return wire.Greeting{Version: "8.4.6", Flavor: wire.FlavorMySQL}
}
func (c *fakeConn) State() *wire.State         { return c.state }
func (c *fakeConn) Tx() wire.TxState           { return c.tx }
func (c *fakeConn) Idle() bool                 { return c.gone == nil }
func (c *fakeConn) IdleTimeout() time.Duration { return 0 }
func (c *fakeConn) Close() error               { return nil }
func (c *fakeConn) Ping() error                { return c.own("ping") }
func (c *fakeConn) Learn(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return c.own(fmt.Sprint("learn ", names))
}
func (c *fakeConn) SetDeadline(time.Time) error   { return nil }
func (c *fakeConn) KnownInsertID() string         { return cmp.Or(c.insertID, "0") }
func (c *fakeConn) HasInsertID(v string) bool     { return c.KnownInsertID() == v }
func (c *fakeConn) LastInsertID() (string, error) { return c.KnownInsertID(), c.gone }

func (c *fakeConn) ClearCounts() error {
	c.cleared++
	return c.gone
}

func (c *fakeConn) SetLastInsertID(v string) error {
	c.insertID = v
	return c.own("set last_insert_id " + v)
}

func (c *fakeConn) Exec(sql string) error {
	c.served(sql)
	return c.own(sql)
}

func (c *fakeConn) Adopt(want *wire.State) error {
	if c.state == want || c.state.Equal(want) {
		return nil
	}
	c.state = want
	return c.own("adopt")
}

func (c *fakeConn) Reset(time.Time) error {
	c.tx = wire.TxIdle
	return c.own("reset")
}

func (c *fakeClient) SendError(e *wire.Error)             { c.answers = append(c.answers, e) }
func (c *fakeClient) SendServerError(e *wire.ServerError) { c.answers = append(c.answers, e) }
func (c *fakeClient) SendOK(*wire.Request, wire.Done)     { c.done++ }
func (c *fakeClient) Finish(*wire.Request) error          { return nil }
func (c *fakeClient) Batch() bool                         { return false }
func (c *fakeClient) Torn() bool                          { return false }
func (c *fakeClient) Close() error                        { return nil }
