package backend

// Tests of reads that must see a position.

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"leat/shard"
)

const (
	uuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidB = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func gtid(t *testing.T, format string, args ...any) shard.Position {
	t.Helper()
	p, err := shard.ParseMySQLPosition("main", fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func reach(p shard.Position) func(*fakeServer) {
	return func(s *fakeServer) { s.o.Applied = p }
}

// after is a read that must see what was written at p.
func after(p shard.Position) *Need {
	n := read()
	n.Position, n.PositionSince = p, time.Now()
	return n
}

// Case 115: a read goes to a replica that has the session's write, else to the primary.
func TestReadYourOwnWrites(t *testing.T) {
	w, cfg := one()
	old, now := gtid(t, uuidA+":1-10"), gtid(t, uuidA+":1-11")
	w.set(addrP, reach(now))
	w.set(addrR1, reach(old))
	w.set(addrR2, reach(old))
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		needs := func() *Need { return after(gtid(t, uuidA+":11")) }
		if got := share(t, b, 10, needs); got[addrP] != 10 {
			t.Errorf("got %v, want all on the primary", got)
		}
		if got := share(t, b, 10, read); got[addrP] != 0 {
			t.Errorf("reads of sessions that wrote nothing: got %v, want none on the primary", got)
		}
		// As soon as one has it, well before its next probe, it takes the reads.
		w.set(addrR2, reach(now))
		time.Sleep(2 * maxFollow)
		synctest.Wait()
		if got := share(t, b, 10, needs); got[addrR2] != 10 {
			t.Errorf("got %v, want all on the replica that has the write", got)
		}
		if n := b.Shards()[0].MissedReads; n != 10 {
			t.Errorf("%d reads missed, want 10", n)
		}
	})
}

// Replicas are asked often only while reads wait for a position.
func TestFollowingIsBounded(t *testing.T) {
	w, cfg := one()
	w.set(addrP, reach(gtid(t, uuidA+":1-10")))
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		b.Wrote("main", gtid(t, uuidA+":1"))
		time.Sleep(5 * time.Second)
		if n := w.get(addrR1).asked; n != 0 {
			t.Errorf("asked %d times though no read waits", n)
		}
		acquire(t, b, after(gtid(t, uuidA+":10"))).Release()
		time.Sleep(3 * time.Second)
		once := w.get(addrR1).asked
		if once < 5 || once > 40 {
			t.Errorf("asked %d times after one read", once)
		}
		acquire(t, b, after(gtid(t, uuidA+":10"))).Release()
		time.Sleep(500 * time.Millisecond)
		before := w.get(addrR1).asked
		b.Wrote("main", gtid(t, uuidA+":10"))
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		if w.get(addrR1).asked == before {
			t.Error("a write soon after a read that missed doesn't wake the followers")
		}
		if w.get(addrP).asked != 0 {
			t.Error("the primary was followed")
		}
	})
}

// Case 119: after a reset or a failover that lost transactions, an old position must not keep the
// session's reads on the primary for ever.
func TestExpiredPosition(t *testing.T) {
	w, cfg := one()
	for a := range w.servers {
		w.set(a, reach(gtid(t, uuidB+":1-5")))
	}
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		n := after(gtid(t, uuidA+":1-11,"+uuidB+":5"))
		needs := func() *Need { return n }
		if got := share(t, b, 5, needs); got[addrP] != 5 {
			t.Errorf("before a probe that could know: got %v, want all on the primary", got)
		}
		time.Sleep(1100 * time.Millisecond)
		if got := share(t, b, 10, needs); got[addrP] != 0 {
			t.Errorf("got %v, want none on the primary", got)
		}
		if b.Shards()[0].ExpiredPositions == 0 {
			t.Error("nothing was counted")
		}
		// What the history still holds is asked for all the same.
		w.set(addrR1, reach(gtid(t, uuidB+":1-4")))
		time.Sleep(1100 * time.Millisecond)
		if got := share(t, b, 10, needs); got[addrR2] != 10 {
			t.Errorf("got %v, want all on the replica that has the rest", got)
		}
	})
}

// A session that wrote must not read older rows from a stale replica when the primary is gone.
func TestPositionHoldsWithoutPrimary(t *testing.T) {
	w, cfg := one()
	w.set(addrR1, reach(gtid(t, uuidA+":1-10")))
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		w.set(addrP, func(s *fakeServer) { s.down = true })
		time.Sleep(3 * time.Second)
		got := later(t, b, after(gtid(t, uuidA+":11")))
		time.Sleep(time.Second)
		select {
		case r := <-got:
			t.Fatalf("got %+v, want it to wait", r)
		default:
		}
		w.set(addrR1, reach(gtid(t, uuidA+":1-11")))
		if r := <-got; r.err != nil || r.conn.Server().Address() != addrR1 {
			t.Errorf("got %+v, want the replica that caught up", r)
		}
	})
}
