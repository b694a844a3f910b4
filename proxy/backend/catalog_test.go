package backend

// Tests of what is known of databases' functions.

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

func (p fakeProber) Functions(ctx context.Context, database string) (map[wire.Function]wire.Volatility, error) {
	p.world.set(p.target.Address, func(s *fakeServer) { s.catalogs++ })
	s, err := p.world.answer(ctx, p.target.Address)
	if err == nil {
		err = s.catalogErr
	}
	time.Sleep(s.catalogTime)
	found := maps.Clone(s.functions)
	if found != nil {
		found[wire.Function{Schema: database, Name: "of"}] = wire.Harmless
	}
	return found, err
}

func public(name string, v wire.Volatility) func(*fakeServer) {
	return func(s *fakeServer) {
		s.functions = maps.Clone(s.functions)
		if s.functions == nil {
			s.functions = map[wire.Function]wire.Volatility{}
		}
		s.functions[wire.Function{Schema: "public", Name: name}] = v
	}
}

// functionsSoon waits until the catalog of a database is known.
func functionsSoon(t *testing.T, b *Backend, database string) *wire.Catalog {
	t.Helper()
	for range 500 {
		if c := b.Functions("main", database); c != nil {
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nothing is known of %s", database)
	return nil
}

func TestFunctions(t *testing.T) {
	w, cfg := one()
	w.set(addrP, public("f", wire.Harmless))
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		if b.Functions("main", "app") != nil || b.Functions("nowhere", "app") != nil {
			t.Error("something is known at once")
		}
		synctest.Wait()
		app, other := b.Functions("main", "app"), functionsSoon(t, b, "other")
		if app.Function("public", "f") != wire.Harmless || app.Function("app", "of") != wire.Harmless || other.Function("app", "of") != wire.NoFunction {
			t.Errorf("got %d names of app, %d of other", app.Len(), other.Len())
		}
		if app.Version() == other.Version() || app.Version() == 0 {
			t.Errorf("got versions %d and %d", app.Version(), other.Version())
		}
		if n := testing.AllocsPerRun(100, func() { b.Functions("main", "app") }); n != 0 {
			t.Errorf("got %v allocations, want 0", n)
		}
		if n := w.get(addrR1).catalogs + w.get(addrR2).catalogs; n != 0 {
			t.Errorf("replicas were asked %d times", n)
		}

		// A change is seen within half a minute, and nothing changes without one.
		for range 5 {
			time.Sleep(20 * time.Second)
			if got := b.Functions("main", "app"); got != app {
				t.Fatal("another catalog though nothing changed")
			}
		}
		w.set(addrP, public("f", wire.Volatile))
		for range 31 {
			time.Sleep(time.Second)
			b.Functions("main", "app")
		}
		if got := b.Functions("main", "app"); got.Function("public", "f") != wire.Volatile || got.Version() == app.Version() {
			t.Error("a change wasn't seen within half a minute")
		}
	})
}

// After DDL nothing old is used, not even what was being read meanwhile.
func TestForget(t *testing.T) {
	w, cfg := one()
	w.set(addrP, public("f", wire.Harmless))
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		b.Forget("main", "app")
		b.Forget("nowhere", "app")
		app := functionsSoon(t, b, "app")
		time.Sleep(time.Second)
		b.Forget("main", "app")
		if b.Functions("main", "app") != nil {
			t.Error("a catalog from before the change")
		}
		if got := functionsSoon(t, b, "app"); got != app {
			t.Error("another catalog though nothing changed")
		}

		time.Sleep(time.Second)
		w.set(addrP, func(s *fakeServer) { s.catalogTime = 500 * time.Millisecond })
		b.Forget("main", "app") // reads what was before
		time.Sleep(100 * time.Millisecond)
		w.set(addrP, public("f", wire.Volatile))
		b.Forget("main", "app")
		if got := functionsSoon(t, b, "app"); got.Function("public", "f") != wire.Volatile {
			t.Error("a catalog from before the second change")
		}

		w.set(addrP, func(s *fakeServer) { s.catalogTime = 0 })
		time.Sleep(time.Second)
		before := w.get(addrP).catalogs
		for range 1000 {
			b.Forget("main", "app")
			time.Sleep(time.Millisecond)
		}
		if n := w.get(addrP).catalogs - before; n > 11 {
			t.Errorf("read %d times in a second", n)
		}
	})
}

func TestCatalogIsUnknown(t *testing.T) {
	w, cfg := one()
	w.set(addrP, public("f", wire.Harmless))
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		app := functionsSoon(t, b, "app")
		w.set(addrP, func(s *fakeServer) { s.catalogErr = errTest })
		use := func(d time.Duration) {
			for range d / time.Second {
				time.Sleep(time.Second)
				b.Functions("main", "app")
			}
		}
		use(catalogTrust - catalogRefresh)
		if b.Functions("main", "app") != app {
			t.Error("dropped though it is young enough")
		}
		use(catalogRefresh + 2*time.Second)
		if b.Functions("main", "app") != nil {
			t.Error("known though it couldn't be read for so long")
		}
		if n := w.get(addrP).catalogs; n > 15 {
			t.Errorf("read %d times while it fails", n)
		}
		w.set(addrP, func(s *fakeServer) { s.catalogErr = nil })
		use(catalogRefresh + time.Second)
		if b.Functions("main", "app") != app {
			t.Error("not known again")
		}
	})
}

func TestCatalogsAreBounded(t *testing.T) {
	w, cfg := one()
	w.set(addrP, public("f", wire.Harmless))
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		for n := range 2 * maxCatalogs {
			b.Functions("main", fmt.Sprint(n))
		}
		time.Sleep(time.Second)
		s := b.topology.Load().shards["main"]
		if n := len(*s.catalogs.known.Load()); n != maxCatalogs {
			t.Errorf("%d catalogs, want %d", n, maxCatalogs)
		}
		if b.Functions("main", fmt.Sprint(2*maxCatalogs-1)) != nil {
			t.Error("one too many is known")
		}
		before := w.get(addrP).catalogs
		for range 2 * catalogUnused / time.Second {
			time.Sleep(time.Second)
			b.Functions("main", "0")
		}
		if n := len(*s.catalogs.known.Load()); n != 1 {
			t.Errorf("%d catalogs, want the one in use", n)
		}
		if n, most := w.get(addrP).catalogs-before, int(2*catalogUnused/catalogRefresh)+maxCatalogs; n > most {
			t.Errorf("read %d times, want %d at most", n, most)
		}
		functionsSoon(t, b, "new")
	})
}

func TestFunctionsOfMySQL(t *testing.T) {
	w, cfg := one()
	w.set(addrP, public("f", wire.Harmless))
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		b.Functions("main", "app")
		synctest.Wait()
		if b.Functions("main", "app") != nil || w.get(addrP).catalogs != 0 {
			t.Error("a catalog of MySQL was read")
		}
	})
}

// What a new primary has is read from it.
func TestCatalogOfANewPrimary(t *testing.T) {
	w, cfg := one()
	w.set(addrP, public("f", wire.Harmless))
	w.set(addrR1, public("f", wire.Volatile))
	runPostgres(t, w, cfg, func(t *testing.T, b *Backend) {
		functionsSoon(t, b, "app")
		w.set(addrP, func(s *fakeServer) { s.down = true })
		w.set(addrR1, func(s *fakeServer) {
			s.o = Observation{Applied: shard.Position{}}
		})
		time.Sleep(5 * time.Second)
		if got := functionsSoon(t, b, "app"); got.Function("public", "f") != wire.Volatile {
			t.Error("the former primary's catalog is still used")
		}
	})
}
