package proxy

// Tests of a session's end while its request is about to go to a server, or there.

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
	"leat/shard"
)

// stubServer dials conns that keep their deadline, and answers every probe as a primary does.
type stubServer struct{}

func (stubServer) Dial(context.Context, string, wire.Login) (wire.Conn, error) {
	return &stubConn{state: wire.NewState("")}, nil
}

func (stubServer) Cancel(context.Context, string, wire.Login, wire.ConnID) error { return nil }

func (stubServer) Probe(context.Context) (backend.Observation, error) {
	return backend.Observation{}, nil
}
func (stubServer) Applied(context.Context) (shard.Position, error) { return shard.Position{}, nil }
func (stubServer) Close() error                                    { return nil }

type stubConn struct {
	wire.Conn // nil: what isn't called
	state     *wire.State
	mu        sync.Mutex
	deadline  time.Time
}

func (c *stubConn) ID() wire.ConnID            { return wire.ConnID{} }
func (c *stubConn) Greeting() wire.Greeting    { return wire.Greeting{Version: "8.4.6"} }
func (c *stubConn) State() *wire.State         { return c.state }
func (c *stubConn) Tx() wire.TxState           { return wire.TxIdle }
func (c *stubConn) Idle() bool                 { return true }
func (c *stubConn) IdleTimeout() time.Duration { return 0 }
func (c *stubConn) Close() error               { return nil }

func (c *stubConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return nil
}

func (c *stubConn) until() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline
}

// stubClient is a client that can be closed.
type stubClient struct{ wire.Client }

func (stubClient) Close() error { return nil }

// inFlight tests a session that has borrowed a conn.
func inFlight(t *testing.T, test func(t *testing.T, s *session, conn *backend.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := backend.Config{
			Shards:  []backend.ShardConfig{{ID: "main", Dialect: shard.MySQL, Primary: "10.0.0.1:3306"}},
			Monitor: backend.Monitor{User: "monitor", NewProber: func(backend.ProbeTarget) backend.Prober { return stubServer{} }},
		}
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		b, err := backend.New(cfg, map[shard.Dialect]wire.Dialer{shard.MySQL: stubServer{}}, log)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		conn, err := b.Acquire(ctx, &backend.Need{Shard: "main", User: "app"})
		if err != nil {
			t.Fatal(err)
		}
		s := &session{server: &Server{backend: b, log: log, cancels: make(chan struct{}, maxCancels)}, client: stubClient{}}
		s.ctx, s.cancel = context.WithCancel(ctx)
		test(t, s, conn)
		conn.Release()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

var aRead = &router.Plan{Class: router.ClassRead}

func TestCutBreaksOffTheRequest(t *testing.T) {
	inFlight(t, func(t *testing.T, s *session, conn *backend.Conn) {
		if err := s.takeOff(conn, aRead, false); err != nil {
			t.Fatal(err)
		}
		s.cancelFlight(anyFlight, cancelGone)
		s.cut()
		synctest.Wait() // the cancel has put a later deadline, or not
		if got := conn.Conn.(*stubConn).until(); got.IsZero() || got.After(time.Now()) {
			t.Errorf("the conn has until %v, want it to be over", got)
		}
		if s.land(); !conn.Conn.(*stubConn).until().IsZero() {
			t.Error("a deadline was left on the conn")
		}
	})
}

func TestNothingTakesOffAfterACut(t *testing.T) {
	inFlight(t, func(t *testing.T, s *session, conn *backend.Conn) {
		s.cut() // it has a conn, which isn't under way yet
		var e *wire.Error
		if err := s.takeOff(conn, aRead, false); !errors.As(err, &e) || e.Code != wire.CodeCancelled {
			t.Errorf("got %v, want the request to be refused", err)
		}
	})
}

// A cancel that never got its turn leaves no bound on what the conn does next.
func TestLateCancelLeavesNoDeadline(t *testing.T) {
	inFlight(t, func(t *testing.T, s *session, conn *backend.Conn) {
		for range maxCancels {
			s.server.cancels <- struct{}{}
		}
		if err := s.takeOff(conn, aRead, false); err != nil {
			t.Fatal(err)
		}
		s.cancelFlight(anyFlight, cancelGone)
		s.land()
		if got := conn.Conn.(*stubConn).until(); !got.IsZero() {
			t.Errorf("the conn has until %v, want no bound", got)
		}
	})
}

// A client that went away is not waited for longer than its statement takes to stop.
func TestCancelOfAGoneClientIsBounded(t *testing.T) {
	inFlight(t, func(t *testing.T, s *session, conn *backend.Conn) {
		if err := s.takeOff(conn, aRead, false); err != nil {
			t.Fatal(err)
		}
		s.cancelFlight(anyFlight, cancelGone)
		synctest.Wait()
		if got, want := conn.Conn.(*stubConn).until(), time.Now().Add(cancelTimeoutAfter); !got.Equal(want) {
			t.Errorf("the conn has until %v, want %v", got, want)
		}
		s.land()
	})
}

// A cancel that the server refused is tried again, not too often, and a KILL of the client ends the request all the same.
func TestFailedCancelIsTriedAgain(t *testing.T) {
	inFlight(t, func(t *testing.T, s *session, conn *backend.Conn) {
		var cancels []time.Duration
		start := time.Now()
		if err := s.takeOff(conn, aRead, false); err != nil {
			t.Fatal(err)
		}
		for range 400 {
			before := s.server.counters.cancels.Load()
			s.cancelFlight(s.flight.number, cancelTimeout)
			synctest.Wait()
			if s.server.counters.cancels.Load() > before {
				cancels = append(cancels, time.Since(start))
			}
			time.Sleep(100 * time.Millisecond)
		}
		want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second}
		if !slices.Equal(cancels, want) {
			t.Errorf("it was cancelled after %v, want %v", cancels, want)
		}
		if got := conn.Conn.(*stubConn).until(); !got.IsZero() {
			t.Errorf("the conn has until %v, want no bound", got)
		}
		s.killed(false)
		synctest.Wait()
		if got, limit := conn.Conn.(*stubConn).until(), time.Now().Add(2*cancelTimeoutAfter); got.IsZero() || got.After(limit) {
			t.Errorf("the client was killed, and the conn has until %v, want %v at most", got, limit)
		}
		s.land()
	})
}

// A time-out that was judged of one request never hits the next.
func TestCancelOfAnEarlierFlight(t *testing.T) {
	inFlight(t, func(t *testing.T, s *session, conn *backend.Conn) {
		var seen uint64
		for range 2 {
			if err := s.takeOff(conn, aRead, false); err != nil {
				t.Fatal(err)
			}
			if seen != 0 && s.cancelFlight(seen, cancelTimeout) {
				t.Error("a cancel of the request before hit this one")
			}
			seen = s.flight.number
			if reason := s.land(); reason != notCancelled {
				t.Errorf("cancelled for %v", reason)
			}
		}
		if s.cancelFlight(seen, cancelTimeout) {
			t.Error("a request was cancelled that has landed")
		}
	})
}
