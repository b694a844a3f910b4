package backend

// Tests of health: down and back, lag, stalls, draining.

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

var errTest = errors.New("connection reset by peer")

func TestReady(t *testing.T) {
	w, cfg := one()
	w.servers[addrR2].stalled = true
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Ready(ended); err == nil || !strings.Contains(err.Error(), "not all servers have been probed") {
			t.Errorf("got %v before a server's first probe ended", err)
		}
		if err := b.Ready(t.Context()); err != nil {
			t.Errorf("got %v", err)
		}
		if g, ok := b.Greeting(shard.MySQL); !ok || g.Version != "8.4.6" || g.Charset != 255 {
			t.Errorf("got greeting %+v %v", g, ok)
		}
		for _, a := range []string{addrP, addrR1} {
			w.set(a, func(s *fakeServer) { s.down = true })
		}
		time.Sleep(3 * time.Second)
		if err := b.Ready(ended); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v with all servers down", err)
		}
	})
}

func TestGreetingIsTheLowestVersion(t *testing.T) {
	w, cfg := one()
	w.servers[addrR2].version = "8.0.42"
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		if g, _ := b.Greeting(shard.MySQL); g.Version != "8.0.42" {
			t.Errorf("got %q, want 8.0.42", g.Version)
		}
		if _, ok := b.Greeting(shard.Postgres); ok {
			t.Error("got a greeting of a dialect that no server speaks")
		}
	})
}

func TestOlderVersion(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"8.0.42", "8.4.6", true},
		{"8.4.6", "8.0.42", false},
		{"8.4.6", "8.4.6", false},
		{"9.7.4", "10.11.19-MariaDB", true},
		{"5.5.5-10.11.19-MariaDB-deb12", "11.4.2-MariaDB", true},
		{"8.4", "8.4.1", true},
	} {
		if got := olderVersion(tt.a, tt.b); got != tt.want {
			t.Errorf("%q older than %q: got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestDownAndBack(t *testing.T) {
	tests := []struct {
		name   string
		breaks func(*fakeServer)
		within time.Duration // until no read goes there
	}{
		{"connection refused", func(s *fakeServer) { s.down = true }, 1100 * time.Millisecond},
		{"stalled (case 137)", func(s *fakeServer) { s.stalled = true }, 3200 * time.Millisecond},
		{"wrong answer", func(s *fakeServer) { s.probeErr = errors.New("monitor query: got 0, want 1") }, 1200 * time.Millisecond},
		{"monitor can't log in", func(s *fakeServer) { s.probeErr = &wire.ServerError{Number: 1045} }, 1200 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, cfg := one()
			run(t, w, cfg, func(t *testing.T, b *Backend) {
				before := w.get(addrR1)
				w.set(addrR1, tt.breaks)
				time.Sleep(tt.within)
				if st := status(t, b, addrR1); st.State != "down" || st.Reason == "" {
					t.Errorf("after %v it is %s (%s)", tt.within, st.State, st.Reason)
				}
				if got := share(t, b, 20, read); got[addrR1] != 0 {
					t.Errorf("got %v, want no reads on the broken server", got)
				}
				before.probes, before.asked, before.dials = w.get(addrR1).probes, 0, 0
				w.set(addrR1, func(s *fakeServer) { *s = before })
				time.Sleep(20 * time.Second)
				if got := share(t, b, 20, read); got[addrR1] != 10 {
					t.Errorf("after it came back: got %v, want half there", got)
				}
			})
		})
	}
}

// One missed probe is no reason to take a server out, and one good one not to put it back.
func TestHysteresis(t *testing.T) {
	w, cfg := one()
	cfg.Monitor.Rise, cfg.Monitor.Fall = 3, 3
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		srv := b.servers()[1]
		note := func(err error) string {
			srv.shard.update(func() { srv.note(b.tick.Add(1), time.Now(), replica().o, err) })
			return status(t, b, addrR1).State
		}
		for i, tt := range []struct {
			err  error
			want string
		}{
			{errTest, "up"},
			{errTest, "up"},
			{nil, "up"},
			{errTest, "up"},
			{errTest, "up"},
			{errTest, "down"},
			{nil, "down"},
			{nil, "down"},
			{errTest, "down"},
			{nil, "down"},
			{nil, "down"},
			{nil, "warming"},
		} {
			if got := note(tt.err); got != tt.want {
				t.Errorf("probe %d: got %s, want %s", i, got, tt.want)
			}
		}
	})
}

func TestAvailability(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		time.Sleep(75 * time.Second)
		w.set(addrR1, func(s *fakeServer) { s.down = true })
		time.Sleep(25 * time.Second)
		if got := status(t, b, addrR1).Availability; math.Abs(got-75) > 1.5 {
			t.Errorf("got %v %%, want about 75", got)
		}
		if got := status(t, b, addrP).Availability; got != 100 {
			t.Errorf("the primary: got %v %%, want 100", got)
		}
	})
}

// Cases 120 and 121.
func TestLag(t *testing.T) {
	lagging := func(lag time.Duration) func(*fakeServer) {
		return func(s *fakeServer) { s.o.Lag, s.o.LagKnown, s.o.Trouble = lag, true, "" }
	}
	unknown := func(s *fakeServer) { s.o.LagKnown, s.o.Trouble = false, "replication isn't connected" }
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		expect := func(when string, r1, r2, p bool) {
			t.Helper()
			got := share(t, b, 40, read)
			if (got[addrR1] > 0) != r1 || (got[addrR2] > 0) != r2 || (got[addrP] > 0) != p {
				t.Errorf("%s: got %v", when, got)
			}
		}
		w.set(addrR1, lagging(2*time.Second))
		time.Sleep(5 * time.Second)
		expect("at the limit", true, true, false)
		w.set(addrR1, lagging(3*time.Second))
		time.Sleep(1100 * time.Millisecond)
		expect("over it in one probe", true, true, false)
		time.Sleep(2 * time.Second)
		expect("over it", false, true, false)
		if st := status(t, b, addrR1); st.State != "lagging" || st.Lag != 3*time.Second {
			t.Errorf("got %+v", st)
		}
		w.set(addrR1, lagging(0))
		w.set(addrR2, unknown)
		time.Sleep(4 * time.Second)
		expect("the other's unknown", true, false, false)
		if st := status(t, b, addrR2); st.State != "lagging" || st.Lag != -1 || !strings.Contains(st.Reason, "isn't connected") {
			t.Errorf("got %+v", st)
		}
		w.set(addrR1, unknown)
		time.Sleep(4 * time.Second)
		expect("both unknown", false, false, true)
		w.set(addrP, func(s *fakeServer) { s.down = true })
		time.Sleep(4 * time.Second)
		expect("both unknown and no primary", true, true, false)
	})
}

func TestStalledRepliesProbeAtOnce(t *testing.T) {
	w, cfg := one()
	cfg.Monitor.Interval = time.Minute
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, read())
		w.set(c.Server().Address(), func(s *fakeServer) { s.stalled = true })
		c.Start(false)
		time.Sleep(4 * time.Second)
		if st := status(t, b, c.Server().Address()); st.State != "down" {
			t.Errorf("4s after its replies stopped the server is %s", st.State)
		}
		c.Discard("test")
	})
}

// What hangs on a stopped server ends soon; what runs for long on a busy one goes on.
func TestHangingRequestsEnd(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		long := acquire(t, b, write())
		hung := acquire(t, b, read())
		long.Start(false)
		hung.Start(false)
		w.set(hung.Server().Address(), func(s *fakeServer) { s.stalled = true })
		time.Sleep(4 * time.Second)
		if fake(hung).cut.Load() {
			t.Error("ended before the server was down for long")
		}
		time.Sleep(2500 * time.Millisecond)
		if !fake(hung).cut.Load() {
			t.Error("still hangs")
		}
		time.Sleep(time.Minute)
		if fake(long).cut.Load() {
			t.Error("a long statement on a server that answers was ended")
		}
		hung.Discard("test")
		long.Release()
	})
}

// A read that another server can take doesn't wait for a server that hangs longer than it takes to know that.
func TestMovableReadsEndAtOnce(t *testing.T) {
	tests := []struct {
		name   string
		breaks func(*fakeServer)
		alone  bool // no other server answers
		begun  bool // some of the reply has gone to the client
		want   bool // it is ended as soon as the server is down
	}{
		{name: "hangs", breaks: func(s *fakeServer) { s.stalled = true }, want: true},
		{name: "hangs in the middle of a reply", breaks: func(s *fakeServer) { s.stalled = true }, begun: true},
		{name: "hangs as all others do", breaks: func(s *fakeServer) { s.stalled = true }, alone: true},
		{name: "answers the check wrongly", breaks: func(s *fakeServer) { s.probeErr = noRow(nil) }},
		{name: "refuses the monitor", breaks: func(s *fakeServer) { s.probeErr = &wire.ServerError{Number: 1045} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, cfg := one()
			run(t, w, cfg, func(t *testing.T, b *Backend) {
				c := acquire(t, b, read())
				address := c.Server().Address()
				w.set(address, tt.breaks)
				for other := range w.servers {
					if tt.alone && other != address {
						w.set(other, func(s *fakeServer) { s.down = true })
					}
				}
				c.Start(true)
				c.Begun().Store(c.Begun().Load() || tt.begun)
				time.Sleep(2600 * time.Millisecond) // noticed, and two probes timed out
				if st := status(t, b, address); st.State != "down" {
					t.Errorf("the server is %s", st.State)
				}
				if got := fake(c).cut.Load(); got != tt.want {
					t.Errorf("ended: got %v, want %v", got, tt.want)
				}
				time.Sleep(time.Minute)
				if got, want := fake(c).cut.Load(), w.get(address).stalled; got != want {
					t.Errorf("a minute later, ended: got %v, want %v", got, want)
				}
				c.Discard("test")
			})
		})
	}
}

func TestBrokenConnProbesAtOnce(t *testing.T) {
	w, cfg := one()
	cfg.Monitor.Interval = time.Minute
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, read())
		w.set(c.Server().Address(), func(s *fakeServer) { s.down = true })
		c.Start(false)
		c.Done(&wire.SendError{Err: errTest, Sent: true})
		c.Discard("broken")
		synctest.Wait()
		time.Sleep(minProbeGap)
		synctest.Wait()
		if st := status(t, b, c.Server().Address()); st.State != "down" || st.Errors != 1 {
			t.Errorf("got %+v", st)
		}
	})
}

func TestClientGoneIsNotTheServersFault(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, write())
		c.Start(false)
		c.Done(&wire.SendError{Err: wire.ErrClientGone})
		c.Discard("client gone")
		if st := status(t, b, addrP); st.Errors != 0 || st.Role != "primary" {
			t.Errorf("got %+v", st)
		}
	})
}

func TestDrain(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		idle := acquire(t, b, read())
		a := idle.Server().Address()
		other := acquire(t, b, read())
		lent := acquire(t, b, read())
		for lent.Server() != idle.Server() {
			other, lent = lent, other
		}
		other.Release()
		idle.Release()
		if err := b.Drain(a); err != nil {
			t.Fatal(err)
		}
		if !fake(idle).closed.Load() || fake(lent).closed.Load() {
			t.Error("want idle conns closed and lent ones not yet")
		}
		if lent.Release(); !fake(lent).closed.Load() {
			t.Error("a lent conn of a drained server went back to its pool")
		}
		if got := share(t, b, 20, read); got[a] != 0 {
			t.Errorf("got %v, want none on the drained server", got)
		}
		if st := status(t, b, a); st.State != "draining" {
			t.Errorf("it is %s", st.State)
		}
		if err := b.Reload(cfg); err != nil || status(t, b, a).State != "draining" {
			t.Errorf("a reload put the server back: %v", err)
		}
		if err := b.Undrain(a); err != nil {
			t.Fatal(err)
		}
		if got := share(t, b, 20, read); got[a] != 10 {
			t.Errorf("put back: got %v, want half there", got)
		}
		if err := b.Drain("10.9.9.9:1"); err == nil {
			t.Error("drained an unknown server")
		}
	})
}

// A log-in that was under way when its server was drained leaves no conn there.
func TestDrainWhileDialling(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		w.set(addrP, func(s *fakeServer) { s.dialTime = time.Second })
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() {
			_, err := b.Acquire(ctx, write())
			gaveUp <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; err == nil {
			t.Fatal("got a conn, want it cancelled")
		}
		if err := b.Drain(addrP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if st := status(t, b, addrP); st.Opened == 0 || st.Idle+st.Lent+st.Dialing != 0 {
			t.Errorf("got %+v, want no conn on the drained server", st)
		}
	})
}

// A primary that is put back must say once more that it is one: it may have been replaced meanwhile.
func TestUndrainAsksAgain(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		id := cfg.Shards[0].ID
		if err := b.Drain(addrP); err != nil {
			t.Fatal(err)
		}
		if b.HasPrimary(id) {
			t.Error("a drained server is the primary")
		}
		w.set(addrP, func(s *fakeServer) { s.stalled = true })
		if err := b.Undrain(addrP); err != nil {
			t.Fatal(err)
		}
		if b.HasPrimary(id) {
			t.Error("a server that was put back is the primary before it was asked")
		}
		w.set(addrP, func(s *fakeServer) { s.stalled = false })
		time.Sleep(3 * time.Second)
		if !b.HasPrimary(id) {
			t.Error("a server that was put back and asked isn't the primary")
		}
	})
}

// The log tells once that a server can't be used, that a replica is behind, and of their ends.
func TestHealthIsLoggedOncePerChange(t *testing.T) {
	w, cfg := one()
	w.set(addrR2, func(s *fakeServer) { s.down = true })
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		expect := func(when, address, text string) {
			t.Helper()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			n := 0
			for line := range strings.Lines(w.log.String()) {
				if strings.Contains(line, text) && strings.Contains(line, address) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s: %q is logged %d times for %s, want once:\n%s", when, text, n, address, w.log.String())
			}
			w.log.Reset()
		}
		expect("down at the start", addrR2, `level=WARN msg="server is down"`)
		w.set(addrR2, func(s *fakeServer) { s.down = false })
		expect("up", addrR2, `level=INFO msg="server is back"`)
		w.set(addrR2, func(s *fakeServer) { s.down = true })
		expect("down again", addrR2, `level=WARN msg="server is down"`)
		w.set(addrR1, func(s *fakeServer) { s.o.LagKnown, s.o.Trouble = false, "changes aren't applied" })
		expect("stopped", addrR1, `level=WARN msg="replica is too far behind`)
		w.set(addrR1, func(s *fakeServer) { s.o.LagKnown = true })
		expect("replicates again", addrR1, `level=INFO msg="replica has caught up`)
	})
}
