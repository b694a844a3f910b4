package backend

// Tests of the small questions.

import (
	"testing"
	"time"

	"leat/proxy/wire"
)

func TestAsk(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		if !b.HasPrimary("main") || b.HasPrimary("nowhere") {
			t.Error("HasPrimary is wrong of main or of a shard that isn't there")
		}
		if got := b.WouldUse("main", wire.Primary, Online); got != addrP {
			t.Errorf("a write would use %q", got)
		}
		if got := b.WouldUse("main", wire.Replica, Online); got != addrR1 && got != addrR2 {
			t.Errorf("a read would use %q", got)
		}
		for _, a := range []string{addrR1, addrR2} {
			if err := b.Drain(a); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.WouldUse("main", wire.Replica, Online); got != addrP || b.Shards()[0].NoReplicaReads != 0 {
			t.Errorf("without replicas a read would use %q, and %d were counted; want the primary, and none", got, b.Shards()[0].NoReplicaReads)
		}
		srv := acquire(t, b, write()).Server()
		if srv.MaxLag() != 2*time.Second {
			t.Errorf("max lag %v, want 2s", srv.MaxLag())
		}
		if p, err := srv.ParsePosition(uuidA + ":7"); err != nil || p.String() != uuidA+":7" || p.Shard != "main" {
			t.Errorf("got %v %v", p, err)
		}
		w.set(addrP, readOnly)
		time.Sleep(1100 * time.Millisecond)
		if b.HasPrimary("main") || b.WouldUse("main", wire.Primary, Online) != "" {
			t.Error("a read only server is named as the primary")
		}
	})
}
