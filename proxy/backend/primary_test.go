package backend

// Tests of who takes writes: start, failover, switchover, two primaries, waiting.

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

func promote(s *fakeServer) { s.o = Observation{Applied: s.o.Applied} }
func demote(s *fakeServer) {
	s.o = Observation{ReadOnly: true, Replicates: true, LagKnown: true, Applied: s.o.Applied}
}
func readOnly(s *fakeServer) { s.o.ReadOnly = true }

// result is what a request in the background came to.
type result struct {
	conn *Conn
	err  error
	took time.Duration
}

func later(t *testing.T, b *Backend, n *Need) <-chan result {
	got := make(chan result, 1)
	began := time.Now()
	go func() {
		c, err := b.Acquire(t.Context(), n)
		got <- result{c, err, time.Since(began)}
	}()
	synctest.Wait()
	return got
}

// Until all servers have been asked nobody is the primary; the configured one needn't be it.
func TestRoleUnknownAtStart(t *testing.T) {
	w, cfg := one()
	w.set(addrP, demote)
	w.set(addrR1, promote)
	w.set(addrR2, func(s *fakeServer) { s.stalled = true })
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		got := later(t, b, write())
		select {
		case r := <-got:
			t.Fatalf("served before all servers were asked: %+v", r)
		default:
		}
		r := <-got
		if r.err != nil || r.conn.Server().Address() != addrR1 || r.took > 2*time.Second {
			t.Errorf("got %+v, want a conn of the writable server", r)
		}
	})
}

// Cases 128 and 130: the primary dies, a replica is promoted, writes follow. None fails.
func TestFailover(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		acquire(t, b, write()).Release()
		for c := range b.servers()[0].pool.conns {
			fake(c).broken = true
		}
		w.set(addrP, func(s *fakeServer) { s.down = true })
		got := later(t, b, write())
		time.Sleep(3 * time.Second)
		if n := b.Shards()[0].HeldWrites; n != 1 {
			t.Errorf("%d writes are held, want 1", n)
		}
		w.set(addrR1, promote)
		r := <-got
		if r.err != nil || r.conn.Server().Address() != addrR1 || r.conn.Role() != wire.Primary || fake(r.conn).login.ReadOnly {
			t.Errorf("got %+v, want a writable conn of the new primary", r)
		}
		if got := share(t, b, 10, read); got[addrR2] != 10 {
			t.Errorf("reads: got %v, want all on the replica left", got)
		}
	})
}

// Case 132: a primary that turns read only in the middle is asked again at once, and the retried
// write waits for the new one.
func TestSwitchover(t *testing.T) {
	for _, refusal := range []*wire.ServerError{
		{Number: 1290, Message: "The MySQL server is running with the --read-only option so it cannot execute this statement"},
		{Number: 1836, Message: "Running in read-only mode"},
		{Number: 3032, Message: "The server is currently in offline mode"},
	} {
		t.Run(fmt.Sprint(refusal.Number), func(t *testing.T) {
			w, cfg := one()
			cfg.Monitor.Interval = time.Minute
			run(t, w, cfg, func(t *testing.T, b *Backend) {
				c := acquire(t, b, write())
				w.set(addrP, readOnly)
				c.Start(false)
				c.Done(refusal)
				c.Release()
				got := later(t, b, write())
				time.Sleep(200 * time.Millisecond)
				w.set(addrR1, promote)
				b.servers()[1].poke()
				r := <-got
				if r.err != nil || r.conn.Server().Address() != addrR1 || r.took > 300*time.Millisecond {
					t.Errorf("got %+v, want the new primary within 300ms", r)
				}
			})
		})
	}
}

// 1290 says the same of options that have nothing to do with the role.
func TestOtherOptionIsNoDoubt(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, write())
		c.Start(false)
		c.Done(&wire.ServerError{Number: 1290, Message: "The MySQL server is running with the --secure-file-priv option so it cannot execute this statement"})
		if got := b.Shards()[0].Primary; got != addrP {
			t.Errorf("the primary is %q", got)
		}
		c.Release()
	})
}

// Case 131: two writable servers stop the shard's writes, loudly, until one of them is read only.
func TestTwoPrimaries(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		w.set(addrR1, promote)
		time.Sleep(1500 * time.Millisecond)
		_, err := b.Acquire(t.Context(), write())
		wantCode(t, err, wire.CodeUnavailable)
		if text := err.Error(); !strings.Contains(text, addrP) || !strings.Contains(text, addrR1) || !strings.Contains(text, "main") {
			t.Errorf("the error doesn't name the shard and both servers: %v", err)
		}
		if st := b.Shards()[0]; !st.Split || st.Primary != "" {
			t.Errorf("got %+v", st)
		}
		if got := share(t, b, 10, read); got[addrR2] != 10 {
			t.Errorf("reads: got %v, want all on the replica", got)
		}
		// A missed probe and a doubt don't make the other one safe.
		w.set(addrR1, func(s *fakeServer) { s.probeErr = errTest })
		b.servers()[1].poke()
		time.Sleep(2 * minProbeGap)
		if st := b.Shards()[0]; !st.Split {
			t.Errorf("one missed probe ended it: %+v", st)
		}
		w.set(addrR1, func(s *fakeServer) { s.probeErr = nil })
		time.Sleep(2 * time.Second)
		w.set(addrR1, demote)
		time.Sleep(1100 * time.Millisecond)
		if c := acquire(t, b, write()); c.Server().Address() != addrP {
			t.Errorf("writes go to %s", c.Server().Address())
		}
	})
}

// A planned switchover may look like two primaries for a moment, as servers are asked one by one.
func TestSwitchoverIsNoConflict(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		for i := range 20 {
			from, to := addrP, addrR1
			if i%2 == 1 {
				from, to = to, from
			}
			w.set(from, demote)
			w.set(to, promote)
			b.servers()[1-i%2].poke()
			r := <-later(t, b, write())
			if r.err != nil {
				t.Fatalf("switchover %d: %v", i, r.err)
			}
			r.conn.Release()
			time.Sleep(1100*time.Millisecond + time.Duration(i)*37*time.Millisecond)
			c := acquire(t, b, write())
			if got := c.Server().Address(); got != to {
				t.Fatalf("switchover %d: writes go to %s, want %s", i, got, to)
			}
			c.Release()
		}
	})
}

// Case 133.
func TestHoldIsBounded(t *testing.T) {
	w, cfg := one()
	cfg.HoldMax, cfg.HoldWindow = 3, 4*time.Second
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		w.set(addrP, readOnly)
		time.Sleep(1100 * time.Millisecond)
		var got []<-chan result
		for range 3 {
			got = append(got, later(t, b, write()))
		}
		_, err := b.Acquire(t.Context(), write())
		wantCode(t, err, wire.CodeUnavailable)
		for _, g := range got {
			r := <-g
			wantCode(t, r.err, wire.CodeUnavailable)
			if r.took != 4*time.Second || !strings.Contains(r.err.Error(), "shard main") || !strings.Contains(r.err.Error(), addrP+" is read only") {
				t.Errorf("after %v: %v", r.took, r.err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = b.Acquire(ctx, write())
		wantCode(t, err, wire.CodeCancelled)
		if n := b.Shards()[0].HeldWrites; n != 0 {
			t.Errorf("%d are still held", n)
		}
	})
}

// Held writes go on first come first served, and not all at once.
func TestHoldIsFairAndPaced(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].PoolSize = 5
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		w.set(addrP, readOnly)
		time.Sleep(1100 * time.Millisecond)
		order := make(chan int, 200)
		var all sync.WaitGroup
		defer all.Wait()
		for i := range 200 {
			all.Go(func() {
				c, err := b.Acquire(t.Context(), write())
				if err != nil {
					t.Errorf("write %d: %v", i, err)
					order <- i
					return
				}
				order <- i
				time.Sleep(time.Millisecond)
				c.Release()
			})
			synctest.Wait()
		}
		w.set(addrP, promote)
		worst := 0
		for i := range 200 {
			got := <-order
			worst = max(worst, got-i, i-got)
			if n := status(t, b, addrP).Waiting; n > pace {
				t.Errorf("%d wait at the server at once, want %d at most", n, pace)
			}
		}
		if worst > 2*pace {
			t.Errorf("a write was served %d places off its turn", worst)
		}
		if got := w.get(addrP).mostOpen; got > 5+1 { // and the one that showed the greeting
			t.Errorf("%d conns were open", got)
		}
	})
}

// Case 134: two shards fail at once; each recovers by itself.
func TestShardsAreIndependent(t *testing.T) {
	w, cfg := one()
	const other = "10.0.1.1:3306"
	w.servers[other] = primary()
	cfg.Shards = append(cfg.Shards, ShardConfig{ID: "other", Dialect: shard.MySQL, Primary: other})
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		for _, a := range []string{addrP, other} {
			w.set(a, readOnly)
		}
		time.Sleep(1100 * time.Millisecond)
		n := write()
		n.Shard = "other"
		first, second := later(t, b, write()), later(t, b, n)
		w.set(other, promote)
		if r := <-second; r.err != nil || r.conn.Server().Shard() != "other" {
			t.Errorf("got %+v", r)
		}
		select {
		case r := <-first:
			t.Errorf("the other shard's recovery ended the wait: %+v", r)
		default:
		}
		w.set(addrP, promote)
		if r := <-first; r.err != nil || r.conn.Server().Address() != addrP {
			t.Errorf("got %+v", r)
		}
	})
}

// Case 140 and 126: reads go on as long as anything answers.
func TestReadsFindWhatIsLeft(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		for _, a := range []string{addrR1, addrR2} {
			w.set(a, func(s *fakeServer) { s.down = true })
		}
		// Before any probe: each read finds out by itself, and none fails.
		for range 10 {
			c := acquire(t, b, read())
			if c.Server().Address() != addrP {
				t.Errorf("got a conn of %s", c.Server().Address())
			}
			c.Release()
		}
		for c := range b.servers()[0].pool.conns {
			fake(c).broken = true
		}
		w.set(addrP, func(s *fakeServer) { s.down = true })
		got := later(t, b, read())
		time.Sleep(4 * time.Second)
		w.set(addrR2, func(s *fakeServer) { s.down = false })
		if r := <-got; r.err != nil || r.conn.Server().Address() != addrR2 {
			t.Errorf("got %+v, want the first that came back", r)
		}
	})
}

func TestUnknownShard(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		n := write()
		n.Shard = "nowhere"
		_, err := b.Acquire(t.Context(), n)
		wantCode(t, err, wire.CodeUnavailable)
	})
}

// The log tells of two writable servers once for each set of them, and of the end.
func TestSplitIsLoggedOnce(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		expect := func(when string, splits int, parts ...string) {
			t.Helper()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			log := w.log.String()
			w.log.Reset()
			if got := strings.Count(log, "two servers are writable"); got != splits {
				t.Errorf("%s: logged %d times, want %d:\n%s", when, got, splits, log)
			}
			for _, part := range parts {
				if !strings.Contains(log, part) {
					t.Errorf("%s: the log doesn't say %q:\n%s", when, part, log)
				}
			}
		}
		expect("one primary", 0, "primary found")
		w.set(addrR1, promote)
		expect("two", 1, addrP, addrR1, "read_only")
		expect("still two", 0)
		w.set(addrR2, promote)
		expect("three", 1, addrP, addrR1, addrR2)
		w.set(addrR2, demote)
		expect("two again", 1, addrP, addrR1)
		w.set(addrR1, demote)
		expect("one again", 0, "writes go on")
	})
}
