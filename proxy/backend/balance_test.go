package backend

// Tests of who takes which share of the reads.

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"leat/proxy/wire"
)

// share counts who takes n reads, one after the other.
func share(t *testing.T, b *Backend, n int, need func() *Need) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		c := acquire(t, b, need())
		got[c.Server().Address()]++
		c.Release()
	}
	return got
}

func TestShares(t *testing.T) {
	tests := []struct {
		policy  string
		weights [2]int
		want    [2]float64
		within  float64
	}{
		{Random, [2]int{1, 1}, [2]float64{.5, .5}, .05},
		{Random, [2]int{3, 1}, [2]float64{.75, .25}, .05},
		{RoundRobin, [2]int{3, 1}, [2]float64{.5, .5}, 0},
		{WeightedRoundRobin, [2]int{3, 1}, [2]float64{.75, .25}, .002},
		{WeightedRoundRobin, [2]int{7, 3}, [2]float64{.7, .3}, .002},
		{LeastConnections, [2]int{1, 1}, [2]float64{.5, .5}, .002},
		{LeastConnections, [2]int{2, 1}, [2]float64{2. / 3, 1. / 3}, .002},
		{LeastConnections, [2]int{1, 0}, [2]float64{1, 0}, 0},
		{Fastest, [2]int{1, 0}, [2]float64{1, 0}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.policy, func(t *testing.T) {
			w, cfg := one()
			s := &cfg.Shards[0]
			s.Balance = tt.policy
			s.Replicas[0].Weight, s.Replicas[1].Weight = tt.weights[0], tt.weights[1]
			run(t, w, cfg, func(t *testing.T, b *Backend) {
				const n = 2000
				got := share(t, b, n, read)
				for i, address := range []string{addrR1, addrR2} {
					if part := float64(got[address]) / n; math.Abs(part-tt.want[i]) > tt.within {
						t.Errorf("weights %v: %s took %.3f, want %.3f", tt.weights, address, part, tt.want[i])
					}
				}
				if got[addrP] != 0 {
					t.Errorf("the primary took %d reads", got[addrP])
				}
			})
		})
	}
}

func TestWeightedRoundRobinIsMixed(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].Balance = WeightedRoundRobin
	cfg.Shards[0].Replicas[0].Weight = 3
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		row, longest := 0, 0
		for range 1000 {
			c := acquire(t, b, read())
			if row++; c.Server().Address() == addrR2 {
				row = 0
			}
			longest = max(longest, row)
			c.Release()
		}
		if longest > 4 {
			t.Errorf("the heavier server was chosen %d times in a row, want 4 at most", longest)
		}
	})
}

func TestLeastConnectionsFillsTheEmptier(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].Replicas[0].Weight = 2
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		got := map[string]int{}
		for range 30 {
			got[acquire(t, b, read()).Server().Address()]++
		}
		if got[addrR1] != 20 || got[addrR2] != 10 {
			t.Errorf("got %v, want 20 and 10", got)
		}
	})
}

// serve makes n reads that take as long as the server needs, and fail if it says so.
func serve(t *testing.T, b *Backend, n int, took map[string]time.Duration, fails map[string]error) map[string]int {
	got := map[string]int{}
	for range n {
		c := acquire(t, b, read())
		address := c.Server().Address()
		got[address]++
		c.Start(false)
		time.Sleep(took[address])
		c.Done(fails[address])
		c.Release()
	}
	return got
}

func TestFastest(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].Balance = Fastest
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		took := map[string]time.Duration{addrR1: time.Millisecond, addrR2: 5 * time.Millisecond}
		got := serve(t, b, 1000, took, nil)
		if got[addrR1] < 900 {
			t.Errorf("got %v, want most reads on the faster", got)
		}
		// The other becomes the faster one: as averages fade it is found out.
		took[addrR1], took[addrR2] = 20*time.Millisecond, time.Millisecond
		serve(t, b, 1000, took, nil)
		if got := serve(t, b, 1000, took, nil); got[addrR2] < 900 {
			t.Errorf("after a change: got %v, want most reads on the faster", got)
		}
	})
}

// A server that fails fast is not a fast server.
func TestErrorsDontAttract(t *testing.T) {
	for name, failure := range map[string]error{
		"broken": &wire.SendError{Err: errTest},
		"error":  &wire.ServerError{Number: 1146},
	} {
		t.Run(name, func(t *testing.T) {
			w, cfg := one()
			cfg.Shards[0].Balance = Fastest
			run(t, w, cfg, func(t *testing.T, b *Backend) {
				took := map[string]time.Duration{addrR1: 2 * time.Millisecond, addrR2: 2 * time.Millisecond}
				serve(t, b, 200, took, nil)
				took[addrR2] = 10 * time.Microsecond
				got := serve(t, b, 1000, took, map[string]error{addrR2: failure})
				if got[addrR2] > 600 {
					t.Errorf("the failing server took %d of 1000", got[addrR2])
				}
			})
		})
	}
}

func TestBatchClass(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].Replicas[1].Class = Batch
	batch := func() *Need { n := read(); n.Class = Batch; return n }
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		if got := share(t, b, 10, read); got[addrR1] != 10 {
			t.Errorf("online reads: got %v, want all on %s", got, addrR1)
		}
		if got := share(t, b, 10, batch); got[addrR2] != 10 {
			t.Errorf("batch reads: got %v, want all on %s", got, addrR2)
		}
		w.set(addrR2, func(s *fakeServer) { s.down = true })
		time.Sleep(2 * time.Second)
		if got := share(t, b, 10, batch); got[addrR1] != 10 {
			t.Errorf("batch reads without their replica: got %v, want all on %s", got, addrR1)
		}
		w.set(addrR2, func(s *fakeServer) { s.down = false })
		w.set(addrR1, func(s *fakeServer) { s.down = true })
		time.Sleep(30 * time.Second)
		if got := share(t, b, 10, read); got[addrP] != 10 {
			t.Errorf("online reads without their replica: got %v, want all on the primary", got)
		}
		w.set(addrP, func(s *fakeServer) { s.down = true })
		time.Sleep(3 * time.Second)
		if got := share(t, b, 10, read); got[addrR2] != 10 {
			t.Errorf("online reads with only the batch replica left: got %v", got)
		}
	})
}

func TestAvoid(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		avoid := acquire(t, b, read()).Server()
		n := func() *Need { n := read(); n.Avoid = avoid; return n }
		if got := share(t, b, 50, n); got[avoid.Address()] != 0 || got[addrP] != 0 {
			t.Errorf("got %v, want all on the other replica", got)
		}
		for _, address := range []string{addrP, addrR1, addrR2} {
			if address != avoid.Address() {
				w.set(address, func(s *fakeServer) { s.down = true })
			}
		}
		time.Sleep(3 * time.Second)
		if got := share(t, b, 5, n); got[avoid.Address()] != 5 {
			t.Errorf("got %v, want all on the only server left", got)
		}
	})
}

// Case 139.
func TestSlowStart(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].Balance = RoundRobin
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		w.set(addrR2, func(s *fakeServer) { s.down = true })
		time.Sleep(3 * time.Second)
		w.set(addrR2, func(s *fakeServer) { s.down = false })
		for status(t, b, addrR2).State != "warming" {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		early := share(t, b, 1000, read)[addrR2]
		time.Sleep(5 * time.Second)
		half := share(t, b, 1000, read)[addrR2]
		time.Sleep(6 * time.Second)
		full := share(t, b, 1000, read)[addrR2]
		if early > 80 || half < 200 || half > 420 || full != 500 {
			t.Errorf("of 1000 reads it took %d at first, %d after 5s, %d after 11s", early, half, full)
		}
	})
}

func TestMaxLagNegativeSendsReadsToThePrimary(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].MaxLag = -1
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		if got := share(t, b, 10, read); got[addrP] != 10 {
			t.Errorf("got %v, want all on the primary", got)
		}
		if c := acquire(t, b, read()); c.Role() != wire.Primary || fake(c).login.ReadOnly {
			t.Error("a read on the primary has no conn of role primary")
		}
	})
}
