package backend

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"leat/internal/localdb"
	"leat/proxy/wire"
	"leat/proxy/wire/mysqlwire"
	"leat/shard"
)

func TestRealTmp(t *testing.T) {
	for _, f := range localdb.Flavors {
		t.Run(string(f), func(t *testing.T) {
			ctx := t.Context()
			top, err := localdb.StartTopology(ctx, f, 2)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				for _, s := range top.Servers {
					s.Close()
				}
			}()
			cfg := Config{Shards: []ShardConfig{{ID: "main", Dialect: shard.MySQL, Primary: top.Servers[0].Addr(), Replicas: []ServerConfig{
				{Address: top.Servers[1].Addr(), Weight: 1}, {Address: top.Servers[2].Addr(), Weight: 1},
			}}}, Monitor: Monitor{User: localdb.MonitorUser, Password: localdb.MonitorPassword, Query: "SELECT 1", Expect: "1"}}
			b, err := New(cfg, map[shard.Dialect]wire.Dialer{shard.MySQL: mysqlwire.NewDialer()}, slog.New(slog.NewTextHandler(os.Stdout, nil)))
			if err != nil {
				t.Fatal(err)
			}
			rctx, cancel := context.WithCancel(ctx)
			done := make(chan error)
			go func() { done <- b.Run(rctx) }()
			show := func(what string) {
				t.Log("==", what)
				for _, s := range b.Status() {
					t.Logf("%s %s %s %q lag=%v avail=%.1f applied=%s v=%s", s.Address, s.Role, s.State, s.Reason, s.Lag, s.Availability, s.Applied, s.Version)
				}
			}
			if err := b.Ready(ctx); err != nil {
				t.Fatal(err)
			}
			show("start")
			need := func(r wire.Role) *Need {
				return &Need{Shard: "main", Role: r, User: localdb.AppUser, Password: localdb.AppPassword, State: wire.NewState("")}
			}
			for range 4 {
				for _, r := range []wire.Role{wire.Primary, wire.Replica} {
					began := time.Now()
					c, err := b.Acquire(ctx, need(r))
					if err != nil {
						t.Error(err)
						continue
					}
					t.Log(r, c.Server().Address(), c.Greeting().Version, time.Since(began))
					c.Release()
				}
			}
			if err := top.Primary().Exec(ctx, "CREATE TABLE test.t (a int)"); err != nil {
				t.Error(err)
			}
			time.Sleep(1200 * time.Millisecond)
			show("after a write")
			began := time.Now()
			if err := top.Switchover(ctx, 1); err != nil {
				t.Fatal(err)
			}
			c, err := b.Acquire(ctx, need(wire.Primary))
			if err != nil {
				t.Fatal(err)
			}
			t.Log("switchover: writes at", c.Server().Address(), time.Since(began))
			c.Release()
			time.Sleep(2 * time.Second)
			show("after switchover")
			top.Servers[2].Pause()
			time.Sleep(3500 * time.Millisecond)
			show("paused")
			top.Servers[2].Resume()
			began = time.Now()
			top.Servers[1].Kill()
			time.Sleep(1500 * time.Millisecond)
			show("primary killed")
			go func() {
				time.Sleep(time.Second)
				if err := top.Promote(ctx, 0); err != nil {
					t.Error(err)
				}
			}()
			c, err = b.Acquire(ctx, need(wire.Primary))
			if err != nil {
				t.Fatal(err)
			}
			t.Log("failover: writes at", c.Server().Address(), time.Since(began))
			c.Release()
			time.Sleep(3 * time.Second)
			show("after failover")
			if err := top.Servers[1].Restart(ctx); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Second)
			show("old primary is back")
			_, err = b.Acquire(ctx, need(wire.Primary))
			t.Log("write:", err)
			cancel()
			<-done
		})
	}
}
