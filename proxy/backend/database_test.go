package backend

// Tests of conns that are bound to a database.

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"leat/proxy/wire"
)

func of(database string) *Need {
	n := write()
	n.Database = database
	return n
}

// Cases 12 and 35: a conn is never lent for another database, and what nobody uses any more is closed.
func TestDatabaseIsPartOfTheKey(t *testing.T) {
	w, cfg := one()
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		x := acquire(t, b, of("x"))
		if got := fake(x).login.Database; got != "x" {
			t.Errorf("logged in to %q, want x", got)
		}
		x.Release()
		y := acquire(t, b, of("y"))
		if y == x || fake(y).login.Database != "y" {
			t.Errorf("got a conn to %q, want y", fake(y).login.Database)
		}
		y.Release()
		if c := acquire(t, b, of("x")); c != x {
			t.Error("got another conn than the idle one to the database")
		} else {
			c.Release()
		}
		time.Sleep(5*time.Minute + 2*time.Second)
		if st := status(t, b, addrP); st.Idle != 0 || !fake(x).closed.Load() {
			t.Errorf("%d conns are open that nobody uses", st.Idle)
		}
		p := &b.topology.Load().shards["main"].servers[0].pool
		if n := len(p.logins); n != 0 {
			t.Errorf("%d logins are kept", n)
		}
	})
}

// A full pool gives way to another database.
func TestDatabasesShareThePool(t *testing.T) {
	w, cfg := one()
	cfg.Shards[0].PoolSize = 4
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		for n := range 100 {
			acquire(t, b, of(fmt.Sprint(n))).Release()
		}
		if s := w.get(addrP); s.mostOpen > 5 { // and the one that greeted
			t.Errorf("%d conns were open", s.mostOpen)
		}
	})
}

// Databases that don't exist leave nothing behind, even while others are being dialled all the time.
func TestRefusedDatabasesAreForgotten(t *testing.T) {
	w, cfg := one()
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		w.set(addrP, func(s *fakeServer) {
			s.refuses = &wire.ServerError{SQLState: "3D000", Message: "database does not exist"}
			s.dialTime = 10 * time.Millisecond
		})
		p := &b.topology.Load().shards["main"].servers[0].pool
		most := 0
		for n := range 1000 {
			_, err := b.Acquire(t.Context(), of(fmt.Sprint(n)))
			var refused *wire.ServerError
			if !errors.As(err, &refused) || refused.SQLState != "3D000" {
				t.Fatalf("got %v", err)
			}
			p.mu.Lock()
			most = max(most, len(p.logins))
			p.mu.Unlock()
		}
		if most > 110 {
			t.Errorf("%d logins were kept, want those of a second", most)
		}
	})
}
