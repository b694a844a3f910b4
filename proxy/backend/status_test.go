package backend

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestReadySplit: with two writable servers, writes are refused, so the backend isn't ready, and says why.
func TestReadySplit(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		look, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Ready(look); err != nil {
			t.Fatalf("one primary: got %v, want ready", err)
		}
		w.set(addrR1, promote)
		time.Sleep(3 * time.Second)
		err := b.Ready(look)
		if err == nil || !strings.Contains(err.Error(), "shard main: both "+addrP+" and "+addrR1+" are writable") {
			t.Errorf("two primaries: got %v, want both named", err)
		}
		w.set(addrR1, demote)
		if err := b.Ready(t.Context()); err != nil {
			t.Errorf("one again: got %v, want ready", err)
		}
	})
}

// TestStatusTellsWhatWasSeen: roles that an operator should look at are told as the probe saw them.
func TestStatusTellsWhatWasSeen(t *testing.T) {
	w, cfg := one()
	w.set(addrR1, func(s *fakeServer) { s.o = Observation{Replicates: true, Trouble: "it is stopped"} })
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		if s := status(t, b, addrR1); s.ReadOnly || !s.Replicates || s.LagUnknown != "it is stopped" {
			t.Errorf("got %+v, want a writable replica whose lag isn't known", s)
		}
		if s := status(t, b, addrR2); !s.ReadOnly || !s.Replicates || s.LagUnknown != "" {
			t.Errorf("got %+v, want a replica", s)
		}
	})
}
