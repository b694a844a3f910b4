package localdb

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestTopology(t *testing.T) {
	eachFlavor(t, func(t *testing.T, ctx context.Context, flavor Flavor) {
		top, err := StartTopologyWith(ctx, TopologyOptions{Flavor: flavor, Replicas: 2, SemiSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer top.Close()
		rows := 0
		write := func() {
			t.Helper()
			rows++
			must(t, top.Primary().Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS test.t (id INT PRIMARY KEY); INSERT INTO test.t VALUES (%d)", rows)))
		}
		check := func() {
			t.Helper()
			must(t, top.WaitSynced(ctx))
			for _, s := range top.Servers {
				if s.PID() != 0 {
					checkValue(t, ctx, s, "SELECT COUNT(*) FROM test.t", fmt.Sprint(rows))
				}
			}
			checkRoles(t, ctx, top)
		}
		write()
		check()

		must(t, top.StopReplication(ctx, 1))
		write()
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		if err := top.WaitSynced(short); err == nil {
			t.Error("WaitSynced returned while replication was stopped")
		}
		cancel()
		must(t, top.StartReplication(ctx, 1))
		check()

		top.Servers[2].Kill()
		write()
		must(t, top.Servers[2].Restart(ctx))
		check()

		must(t, top.Switchover(ctx, 2))
		check()

		top.Primary().Kill()
		best, err := top.MostAdvanced(ctx)
		must(t, err)
		if best == 2 {
			t.Error("a server that is down is the most advanced")
		}
		must(t, top.Promote(ctx, 0)) // it was the primary before and has replicated nothing since
		write()
		check()
		must(t, top.Servers[2].Restart(ctx))
		must(t, top.Follow(ctx, top.Servers[2]))
		write()
		check()
		must(t, top.Rebuild(ctx, 1))
		check()
		top.Primary().Kill()
		must(t, top.Promote(ctx, 2))
		must(t, top.Rejoin(ctx, 0))
		check()
		must(t, top.Switchover(ctx, 1))
		must(t, top.Rebuild(ctx, 0))
		check()
	})
}

// checkRoles sees that the primary alone takes the application's writes.
func checkRoles(t *testing.T, ctx context.Context, top *Topology) {
	t.Helper()
	for _, s := range top.Servers {
		if s.PID() == 0 {
			continue
		}
		db, err := s.DB(AppUser, AppPassword, "test")
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.ExecContext(ctx, "DELETE FROM t WHERE id = 0")
		db.Close()
		if writable, want := err == nil, s == top.Primary(); writable != want {
			t.Errorf("port %d takes writes: %v (%v), want %v", s.Port, writable, err, want)
		}
	}
}
