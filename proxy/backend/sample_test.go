package backend

// Tests of positions by sampling.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

func lsnAt(t *testing.T, format string, args ...any) shard.Position {
	t.Helper()
	p, err := shard.ParsePostgresPosition("main", fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p fakeProber) Sample(ctx context.Context) (durable, written shard.Position, err error) {
	p.world.set(p.target.Address, func(s *fakeServer) { s.samples++ })
	s, err := p.world.answer(ctx, p.target.Address)
	if err == nil && s.o.Replicates {
		err = errors.New("it is in recovery")
	}
	return s.o.Applied, s.o.history(), err
}

// runPostgres is run for a shard of PostgreSQL.
func runPostgres(t *testing.T, w *world, cfg Config, test func(t *testing.T, b *Backend)) {
	t.Helper()
	cfg.Shards[0].Dialect = shard.Postgres
	for a, s := range w.servers {
		if s.o.Applied.IsZero() {
			w.set(a, reach(lsnAt(t, "1:0/10")))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b, err := New(cfg, map[shard.Dialect]wire.Dialer{shard.Postgres: w}, slog.New(slog.NewTextHandler(io.Discard, nil)))
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

// sampleSoon waits for a sample that was asked for after the time.
func sampleSoon(t *testing.T, b *Backend, at time.Time) shard.Position {
	t.Helper()
	for range 100 {
		if p, ok := b.PositionAfter("main", at); ok {
			return p
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no sample came")
	return shard.Position{}
}

func TestSamplesAfter(t *testing.T) {
	var s samples
	base := time.Now()
	at := func(n int) time.Time { return base.Add(time.Duration(n) * time.Second) }
	if s.after(base) != nil {
		t.Error("a sample of none")
	}
	for n := 1; n <= 200; n++ {
		s.add(&sample{asked: at(n)})
	}
	s.add(&sample{asked: at(150)}) // came too late
	for _, tt := range []struct{ after, want int }{
		{199, 200}, {150, 151}, {137, 138}, {136, 137}, {5, 137}, {0, 137},
	} {
		if got := s.after(at(tt.after)); got == nil || !got.asked.Equal(at(tt.want)) {
			t.Errorf("after %d: got %v, want %d", tt.after, got, tt.want)
		}
	}
	if got := s.after(at(200)); got != nil {
		t.Errorf("after the last: got %v", got)
	}
	if n := testing.AllocsPerRun(100, func() { s.after(at(190)) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func TestSamplesAreReadWhileTheyAreAdded(t *testing.T) {
	var s samples
	var done sync.WaitGroup
	base := time.Now()
	for range 2 {
		done.Go(func() {
			for n := range 5000 {
				at := base.Add(time.Duration(n))
				if got := s.after(at); got != nil && !got.asked.After(at) {
					t.Errorf("after %d: got a sample of %v", n, got.asked.Sub(base))
					return
				}
			}
		})
	}
	for n := range 5000 {
		s.add(&sample{asked: base.Add(time.Duration(n))})
	}
	done.Wait()
}

func TestPositionAfter(t *testing.T) {
	w, cfg := one()
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		if _, ok := b.PositionAfter("main", time.Now()); ok {
			t.Error("a position of the future")
		}
		if _, ok := b.PositionAfter("nowhere", time.Now()); ok {
			t.Error("a position of no shard")
		}
		time.Sleep(10 * time.Millisecond)
		wrote := time.Now()
		w.set(addrP, func(s *fakeServer) {
			s.o.Applied, s.o.Written = lsnAt(t, "1:0/20"), lsnAt(t, "1:0/28")
		})
		if got := sampleSoon(t, b, wrote); got.String() != "1:0/20" {
			t.Errorf("got %v, want 1:0/20", got)
		}
		if got, ok := b.WrittenAfter("main", wrote); !ok || got.String() != "1:0/28" {
			t.Errorf("written: got %v, want 1:0/28", got)
		}
		// A later write of others doesn't ask more of the session.
		w.set(addrP, reach(lsnAt(t, "1:0/30")))
		time.Sleep(10 * time.Millisecond)
		sampleSoon(t, b, time.Now())
		if got, _ := b.PositionAfter("main", wrote); got.String() != "1:0/20" {
			t.Errorf("got %v, want the first one, 1:0/20", got)
		}
		srv := acquire(t, b, write()).Server()
		if !srv.Sampled() || !srv.ReportsPositions() {
			t.Error("the server's positions aren't known to be sampled")
		}
		if p, err := srv.ParsePosition("1:0/20"); err != nil || p.String() != "1:0/20" {
			t.Errorf("got %v %v", p, err)
		}
	})
}

// However many sessions ask, the primary is asked once in two milliseconds at most, and a replica never.
func TestSamplesArePaced(t *testing.T) {
	w, cfg := one()
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		for range 1000 {
			b.Sample("main")
			time.Sleep(100 * time.Microsecond)
		}
		if n := w.get(addrP).samples; n < 40 || n > 51 {
			t.Errorf("%d samples in 100 ms, want about 50", n)
		}
		if w.get(addrR1).samples+w.get(addrR2).samples > 0 {
			t.Error("replicas were sampled")
		}
		time.Sleep(2 * minSample)
		before := w.get(addrP).samples
		for range 10 {
			b.Wrote("main", shard.Position{})
			time.Sleep(10 * time.Millisecond)
		}
		if n := w.get(addrP).samples; n != before {
			t.Errorf("%d samples though no read wants a position", n-before)
		}
		b.PositionAfter("main", time.Now())
		time.Sleep(2 * minSample)
		before = w.get(addrP).samples
		b.Wrote("main", shard.Position{})
		time.Sleep(2 * minSample)
		if n := w.get(addrP).samples; n != before+1 {
			t.Errorf("%d samples after a write, while reads want positions; want 1", n-before)
		}
	})
}

func TestSampleOfMySQL(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		b.Sample("main")
		b.PositionAfter("main", time.Now())
		time.Sleep(10 * time.Millisecond)
		if n := w.get(addrP).samples; n != 0 {
			t.Errorf("%d samples of a server whose replies tell", n)
		}
	})
}

// Case 74, of one session: a read goes to a replica that has the write, else to the primary, and back to replicas
// soon after one has it.
func TestReadYourOwnSampledWrites(t *testing.T) {
	w, cfg := one()
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		w.set(addrP, reach(lsnAt(t, "1:0/20")))
		wrote := time.Now()
		time.Sleep(time.Millisecond)
		needs := func() *Need { return after(sampleSoon(t, b, wrote)) }
		if got := share(t, b, 10, needs); got[addrP] != 10 {
			t.Errorf("got %v, want all on the primary", got)
		}
		w.set(addrR2, reach(lsnAt(t, "1:0/20")))
		time.Sleep(2 * maxFollow)
		synctest.Wait()
		if got := share(t, b, 10, needs); got[addrR2] != 10 {
			t.Errorf("got %v, want all on the replica that has the write", got)
		}
	})
}

// Case 77: an old high LSN never satisfies the check on a server of another timeline, and expires once the new
// primary is known; then what that has come to is asked for.
func TestSampledPositionAfterPromotion(t *testing.T) {
	w, cfg := one()
	w.set(addrP, reach(lsnAt(t, "1:0/90")))
	w.set(addrR1, reach(lsnAt(t, "1:0/80")))
	w.set(addrR2, reach(lsnAt(t, "1:0/70")))
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		n := after(lsnAt(t, "1:0/90"))
		w.set(addrP, func(s *fakeServer) { s.down = true })
		w.set(addrR1, func(s *fakeServer) { s.o = Observation{Applied: lsnAt(t, "2:0/98")} })
		time.Sleep(5 * time.Second)
		if got := b.WouldUse("main", wire.Primary, Online); got != addrR1 {
			t.Fatalf("the primary is %q, want %q", got, addrR1)
		}
		if got := share(t, b, 10, func() *Need { return n }); got[addrR1] != 10 {
			t.Errorf("got %v, want none on the replica of the old timeline", got)
		}
		w.set(addrR2, reach(lsnAt(t, "2:0/94"))) // more than the number that the session has, of another history
		time.Sleep(5 * time.Second)
		if got := share(t, b, 10, func() *Need { return n }); got[addrR1] != 10 {
			t.Errorf("got %v, want none on the replica that is behind on the new timeline", got)
		}
		w.set(addrR2, reach(lsnAt(t, "2:0/98")))
		time.Sleep(5 * time.Second)
		if got := share(t, b, 10, func() *Need { return n }); got[addrR2] != 10 {
			t.Errorf("got %v, want all on the replica of the new timeline", got)
		}
	})
}

func TestTrail(t *testing.T) {
	p, q := &Server{}, &Server{}
	base := time.Now()
	at := func(n int) time.Time { return base.Add(time.Duration(n) * time.Second) }
	var tr trail
	for n := 1; n <= 10; n++ { // one step a second, then none until 20
		tr.add(p, lsnAt(t, "1:0/%X", n), at(n), at(n))
	}
	for n := 11; n <= 20; n++ {
		tr.add(p, lsnAt(t, "1:0/A"), at(n), at(n))
	}
	for _, tt := range []struct {
		name    string
		own     int
		applied string
		want    int
	}{
		{"has all, and says so", 0, "1:0/A", 0},
		{"has all, after a long idle time", 3600, "1:0/A", 1},
		{"hangs, and doesn't know it", 0, "1:0/4", 16},
		{"lags, by its own word", 16, "1:0/4", 16},
		{"lags, and its last commit is old", 3600, "1:0/4", 17},
		{"lacks even the first", 0, "1:0/0", 20},
		{"is on another timeline", 0, "2:0/A", 20},
	} {
		got := tr.lag(time.Duration(tt.own)*time.Second, lsnAt(t, "%s", tt.applied), at(21))
		if got != time.Duration(tt.want)*time.Second {
			t.Errorf("%s: got %v, want %ds", tt.name, got, tt.want)
		}
	}
	if len(tr.marks) != 10 {
		t.Errorf("got %d marks, want 10", len(tr.marks))
	}
	for n := range 1000 {
		tr.add(p, lsnAt(t, "1:1/%X", n), at(n), at(n))
	}
	if len(tr.marks) != maxMarks {
		t.Errorf("got %d marks, want %d", len(tr.marks), maxMarks)
	}
	tr.add(q, lsnAt(t, "2:0/1"), at(1), at(1))
	if len(tr.marks) != 1 || tr.of != q {
		t.Errorf("got %d marks after a promotion, want 1", len(tr.marks))
	}
	if got := new(trail).lag(7, lsnAt(t, "1:0/1"), at(1)); got != 7 {
		t.Errorf("without a mark: got %v, want the server's own word", got)
	}
}

// Case 78: a replica whose link to the primary hangs says that nothing is missing; an idle primary is no lag.
func TestLagOfAHangingReplica(t *testing.T) {
	w, cfg := one()
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		time.Sleep(time.Minute)
		if st := status(t, b, addrR1); st.State != "up" || st.Lag != 0 || st.Behind != 0 {
			t.Errorf("on an idle primary: got %s, lag %v, %d bytes, want up and none", st.State, st.Lag, st.Behind)
		}
		w.set(addrR2, func(s *fakeServer) { s.o.Lag = time.Hour }) // the age of its last commit
		for n := range 10 {
			w.set(addrP, reach(lsnAt(t, "1:0/%X", 0x20+n)))
			w.set(addrR2, reach(lsnAt(t, "1:0/%X", 0x20+n)))
			time.Sleep(time.Second)
		}
		if st := status(t, b, addrR1); st.State != "lagging" || st.Lag < 5*time.Second || st.Behind < 0x10 {
			t.Errorf("the one that hangs: got %s, lag %v, %d bytes", st.State, st.Lag, st.Behind)
		}
		if st := status(t, b, addrR2); st.State != "up" || st.Lag > 2*time.Second {
			t.Errorf("the one that follows: got %s, lag %v", st.State, st.Lag)
		}
	})
}
