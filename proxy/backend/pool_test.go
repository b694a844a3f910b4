package backend

// Tests of the pools: reuse, fit, fairness, bounds, storms.

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"leat/proxy/wire"
)

func TestConnIsReused(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, write())
		first := c.Conn
		if c.Role() != wire.Primary || c.Server().Address() != addrP {
			t.Errorf("got %v conn of %s", c.Role(), c.Server().Address())
		}
		ticket := c.Release()
		if c = b.Reacquire(ticket); c == nil || c.Conn != first {
			t.Fatal("a released conn that nobody used can't be had again")
		}
		if b.Reacquire(ticket) != nil {
			t.Error("a ticket was good twice")
		}
		ticket = c.Release()
		c = acquire(t, b, write())
		if c.Conn != first {
			t.Error("the idle conn wasn't reused")
		}
		c.Release()
		if b.Reacquire(ticket) != nil {
			t.Error("a ticket was good after somebody else used the conn")
		}
	})
}

func TestConnsOfOtherLoginsAreNotLent(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, write())
		c.Release()
		for name, change := range map[string]func(*Need){
			"user":     func(n *Need) { n.User = "other" },
			"password": func(n *Need) { n.Password = "changed" },
			"flags":    func(n *Need) { n.Flags = 2 },
		} {
			n := write()
			change(n)
			o := acquire(t, b, n)
			if o == c {
				t.Errorf("a conn of another %s was lent", name)
			}
			if l := fake(o).login; l.User != n.User || l.Password != n.Password || l.Flags != n.Flags || l.ReadOnly {
				t.Errorf("%s: logged in as %+v", name, l)
			}
			o.Release()
		}
		o := acquire(t, b, read())
		if !fake(o).login.ReadOnly {
			t.Error("a replica's conn isn't read only")
		}
		o.Release()
	})
}

func TestDirtyConnIsClosed(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		for _, tx := range []wire.TxState{wire.TxOpen, wire.TxReadOnly, wire.TxUnknown} {
			c := acquire(t, b, write())
			fake(c).tx = tx
			if ticket := c.Release(); ticket != (Ticket{}) || !fake(c).closed.Load() {
				t.Errorf("tx %v: the conn went back to the pool", tx)
			}
		}
		c := acquire(t, b, write())
		c.Release()
		fake(c).broken = true
		if o := acquire(t, b, write()); o == c || !fake(c).closed.Load() {
			t.Error("a conn that the server closed was lent")
		}
	})
}

func TestStateFit(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].PoolSize = 3
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		in := func(state *wire.State) *Conn {
			n := write()
			n.State = state
			return acquire(t, b, n)
		}
		none, a, bee := wire.NewState(""), wire.NewState("a"), wire.NewState("b")
		ca, cb := in(a), in(bee)
		ca.Release()
		cb.Release()
		if got := in(a); got != ca {
			t.Error("got another conn than the one in the wanted state")
		} else {
			got.Release()
		}
		if got := in(wire.NewState("c")); got != ca {
			t.Error("got another conn than the last used one")
		} else {
			got.Release()
		}
		cn := in(none)
		if cn == ca || cn == cb {
			t.Error("a conn with a database serves a session without one")
		}
		// The pool is full. Another session without a database takes the place of the oldest misfit.
		cn2 := in(none)
		if !fake(cb).closed.Load() || fake(ca).closed.Load() {
			t.Errorf("closed: a %v, b %v; want b, idle for longer", fake(ca).closed.Load(), fake(cb).closed.Load())
		}
		cn.Release()
		cn2.Release()
		if got := w.get(addrP).mostOpen; got > 3 {
			t.Errorf("%d conns were open, want 3 at most", got)
		}
	})
}

func TestWaitersAreServedInTurn(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].PoolSize = 2
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		held := []*Conn{acquire(t, b, write()), acquire(t, b, write())}
		order := make(chan int, 100)
		for i := range 100 {
			go func() {
				c, err := b.Acquire(t.Context(), write())
				if err != nil {
					t.Errorf("waiter %d: %v", i, err)
					return
				}
				order <- i
				c.Release()
			}()
			synctest.Wait()
		}
		if got := status(t, b, addrP).Waiting; got != 100 {
			t.Errorf("%d wait, want 100", got)
		}
		held[0].Release()
		synctest.Wait()
		held[1].Release()
		for want := range 100 {
			if got := <-order; got != want {
				t.Fatalf("waiter %d was served when it was %d's turn", got, want)
			}
		}
		if got := w.get(addrP).mostOpen; got > 2 {
			t.Errorf("%d conns were open, want 2 at most", got)
		}
	})
}

// A waiter of a rare login must get its turn among many of a common one.
func TestRareLoginIsNotStarved(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].PoolSize = 1
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, write())
		served := make(chan string, 100)
		enter := func(user string) {
			go func() {
				n := write()
				n.User = user
				c, err := b.Acquire(t.Context(), n)
				if err != nil {
					t.Error(err)
					return
				}
				served <- user
				c.Release()
			}()
			synctest.Wait()
		}
		enter("rare")
		for range 60 {
			enter("app")
		}
		c.Release()
		for i := range 61 {
			if <-served == "rare" && i > maxPassed+2 {
				t.Errorf("served after %d others", i)
			}
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].PoolSize, cfg.MaxWaiters, cfg.AcquireTimeout = 1, 2, 3*time.Second
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, write())
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		began := time.Now()
		for _, ctx := range []context.Context{t.Context(), ctx} {
			go func() {
				_, err := b.Acquire(ctx, write())
				errs <- err
			}()
		}
		synctest.Wait()
		_, err := b.Acquire(t.Context(), write())
		wantCode(t, err, wire.CodePoolTimeout)
		cancel()
		wantCode(t, <-errs, wire.CodeCancelled)
		wantCode(t, <-errs, wire.CodePoolTimeout)
		if got := time.Since(began); got != 3*time.Second {
			t.Errorf("waited %v, want 3s", got)
		}
		if st := status(t, b, addrP); st.Waiting != 0 || st.Lent != 1 || st.Timeouts != 2 {
			t.Errorf("got %+v", st)
		}
		c.Release()
	})
}

func TestIdleTimeoutAndLifetime(t *testing.T) {
	w, cfg := one()
	cfg.IdleTimeout, cfg.MaxLifetime = time.Minute, 10*time.Minute
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, write())
		c.Release()
		time.Sleep(50 * time.Second)
		if fake(c).closed.Load() {
			t.Error("closed before it was idle for long")
		}
		time.Sleep(12 * time.Second)
		if !fake(c).closed.Load() {
			t.Error("still open after the idle timeout")
		}
		c = acquire(t, b, write())
		time.Sleep(12 * time.Minute)
		if c.Release(); !fake(c).closed.Load() {
			t.Error("still open after its lifetime")
		}
		if st := status(t, b, addrP); st.Idle != 0 || st.Lent != 0 || st.Opened != 2 || st.Closed != 2 {
			t.Errorf("got %+v", st)
		}
	})
}

// A thousand requests at once must neither open more than the pool's size, nor log in all at the
// same time.
func TestStormIsDamped(t *testing.T) {
	w, cfg := one()
	w.servers[addrP].dialTime = 10 * time.Millisecond
	cfg.Shards[0].PoolSize = 20
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		done := make(chan error)
		for range 1000 {
			go func() {
				c, err := b.Acquire(t.Context(), write())
				if err == nil {
					time.Sleep(time.Millisecond)
					c.Release()
				}
				done <- err
			}()
		}
		for range 1000 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		s := w.get(addrP)
		if s.mostDialing > maxDials || s.mostOpen > 20 {
			t.Errorf("%d log-ins at a time and %d conns, want at most %d and 20", s.mostDialing, s.mostOpen, maxDials)
		}
	})
}

// Case 138: a server at its limit of connections is well. Requests queue, dials pause.
func TestTooManyConnections(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, write())
		w.set(addrP, func(s *fakeServer) {
			s.refuses = &wire.ServerError{Number: 1040, Message: "Too many connections"}
			s.probeErr = s.refuses
		})
		got := make(chan *Conn)
		go func() {
			c, err := b.Acquire(t.Context(), write())
			if err != nil {
				t.Error(err)
			}
			got <- c
		}()
		before := w.get(addrP).dials
		time.Sleep(5 * time.Second)
		if n := w.get(addrP).dials - before; n < 3 || n > 12 {
			t.Errorf("%d dials in 5s, want a few", n)
		}
		if st := status(t, b, addrP); st.State != "up" || st.Role != "primary" {
			t.Errorf("the server is %s %s (%s), want it up and primary", st.State, st.Role, st.Reason)
		}
		c.Release()
		if o := <-got; o != c {
			t.Error("the waiter didn't get the conn that came free")
		}
	})
}

func TestRefusedLoginIsRelayed(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		w.set(addrP, func(s *fakeServer) { s.refuses = &wire.ServerError{Number: 1045, SQLState: "28000"} })
		_, err := b.Acquire(t.Context(), write())
		if e, ok := err.(*wire.ServerError); !ok || e.Number != 1045 {
			t.Errorf("got %v, want the server's 1045", err)
		}
		if st := status(t, b, addrP); st.State != "up" || st.Waiting != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

func TestCancel(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		c := acquire(t, b, write())
		late := c.Target()
		c.Release()
		c = acquire(t, b, write())
		if err := b.Cancel(t.Context(), late); err != nil || len(w.cancels) != 0 {
			t.Errorf("the next borrower was hit: %v %v", w.cancels, err)
		}
		if err := b.Cancel(t.Context(), c.Target()); err != nil || len(w.cancels) != 1 {
			t.Errorf("got %v %v, want one order", w.cancels, err)
		}
		if c.Release(); !fake(c).closed.Load() {
			t.Error("a conn whose cancel may come late went back to the pool")
		}
	})
}

func TestKeepLogins(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		idle, lent := acquire(t, b, write()), acquire(t, b, write())
		other := write()
		other.User = "other"
		kept := acquire(t, b, other)
		idle.Release()
		b.KeepLogins(func(user, _ string) bool { return user == "other" })
		if !fake(idle).closed.Load() || fake(lent).closed.Load() {
			t.Error("want the idle conn closed and the lent one not yet")
		}
		lent.Release()
		kept.Release()
		if !fake(lent).closed.Load() || fake(kept).closed.Load() {
			t.Error("want the lent conn of the changed login closed, and no other")
		}
	})
}

func TestAcquireAllocates(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		for name, n := range map[string]*Need{"write": write(), "read": read()} {
			for range 4 { // both replicas have a conn
				acquire(t, b, n).Release()
			}
			ctx := t.Context()
			got := testing.AllocsPerRun(200, func() {
				c, err := b.Acquire(ctx, n)
				if err != nil {
					t.Fatal(err)
				}
				c.Start(false)
				c.Done(nil)
				b.Reacquire(c.Release()).Release()
			})
			if got != 0 {
				t.Errorf("%s: got %v allocations, want 0", name, got)
			}
		}
	})
}

// Case 140: reads that the primary takes for want of replicas leave room for its own work.
func TestGuestsLeaveRoom(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].PoolSize, cfg.MaxWaiters = 10, 10
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		for _, a := range []string{addrR1, addrR2} {
			w.set(a, func(s *fakeServer) { s.down = true })
		}
		time.Sleep(2 * time.Second)
		var guests []*Conn
		for range 8 {
			guests = append(guests, acquire(t, b, read()))
		}
		var waiting []<-chan result
		for range 8 {
			waiting = append(waiting, later(t, b, read()))
		}
		_, err := b.Acquire(t.Context(), read())
		wantCode(t, err, wire.CodePoolTimeout)
		for range 2 {
			if r := <-later(t, b, write()); r.err != nil {
				t.Fatalf("a write found no room: %v", r.err)
			} else {
				defer r.conn.Release()
			}
		}
		for i, c := range guests {
			if i%2 == 0 {
				c.Discard("test")
			} else {
				c.Release()
			}
			if r := <-waiting[i]; r.err != nil {
				t.Errorf("read %d: %v", i, r.err)
			} else {
				defer r.conn.Release()
			}
		}
	})
}

// A read doesn't wait for a server that has no conn to give when another one does.
func TestReadsLeaveAServerAtItsLimit(t *testing.T) {
	w, cfg := one()
	w.servers[addrR1].refuses = &wire.ServerError{Number: 1040}
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		for range 20 {
			if r := <-later(t, b, read()); r.err != nil || r.took > 0 {
				t.Fatalf("got %+v", r)
			} else {
				r.conn.Release()
			}
		}
		if st := status(t, b, addrR1); st.State != "up" {
			t.Errorf("the server is %s", st.State)
		}
	})
}
