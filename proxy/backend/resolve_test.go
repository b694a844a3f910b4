package backend

// Tests of names whose addresses change.

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// fakeDNS resolves what its map holds.
type fakeDNS struct {
	mu      sync.Mutex
	records map[string][]string
}

func (d *fakeDNS) LookupHost(_ context.Context, host string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.records[host]; r != nil {
		return r, nil
	}
	return nil, errors.New("no such host")
}

func (d *fakeDNS) set(host string, records ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records[host] = records
}

// Case 136.
func TestNameChanges(t *testing.T) {
	w, cfg := one()
	const name = "db.example:3306"
	w.servers[name] = primary() // what the prober finds behind the name
	cfg.Shards[0].Primary = name
	dns := &fakeDNS{records: map[string][]string{"db.example": {"10.0.0.1"}}}
	cfg.Resolver, cfg.ResolveInterval = dns, time.Second
	w.servers["10.0.0.9:3306"] = primary()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		idle, lent := acquire(t, b, write()), acquire(t, b, write())
		if fake(idle).address != addrP {
			t.Errorf("dialled %s", fake(idle).address)
		}
		idle.Release()

		dns.set("db.example") // the look-up fails: nothing changes
		time.Sleep(3 * time.Second)
		if fake(idle).closed.Load() {
			t.Error("a failed look-up closed conns")
		}
		dns.set("db.example", "10.0.0.9")
		time.Sleep(1500 * time.Millisecond)
		if !fake(idle).closed.Load() || fake(lent).closed.Load() {
			t.Error("want idle conns to the old address closed and lent ones not yet")
		}
		c := acquire(t, b, write())
		if fake(c).address != "10.0.0.9:3306" {
			t.Errorf("a new conn goes to %s", fake(c).address)
		}
		lent.Release()
		if !fake(lent).closed.Load() {
			t.Error("a conn to the old address went back to the pool")
		}
		c.Release()
		dns.set("db.example", "10.0.0.9", "10.0.0.8") // one more: the conns stay
		time.Sleep(1500 * time.Millisecond)
		if fake(c).closed.Load() {
			t.Error("a conn to an address that is still there was closed")
		}
	})
}

func TestAddressesAreTriedInTurn(t *testing.T) {
	w, cfg := one()
	const name = "localhost:3306"
	w.servers[name] = primary()
	w.servers["[::1]:3306"] = &fakeServer{down: true}
	w.servers["127.0.0.1:3306"] = primary()
	cfg.Shards[0].Primary = name
	cfg.Resolver = &fakeDNS{records: map[string][]string{"localhost": {"::1", "127.0.0.1"}}}
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		if c := acquire(t, b, write()); fake(c).address != "127.0.0.1:3306" {
			t.Errorf("got a conn to %s", fake(c).address)
		}
	})
}
