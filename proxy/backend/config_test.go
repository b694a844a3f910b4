package backend

// Tests of validation, defaults and reload.

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"leat/shard"
)

func TestValidate(t *testing.T) {
	_, good := one()
	if err := good.Validate(); err != nil {
		t.Errorf("a good config: %v", err)
	}
	tests := []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"no shards", func(c *Config) { c.Shards = nil }, []string{"no shards"}},
		{"no monitor user", func(c *Config) { c.Monitor = Monitor{} }, []string{"monitor user"}},
		{"expect without query", func(c *Config) { c.Monitor.Expect = "1" }, []string{"monitor expect"}},
		{"negative durations", func(c *Config) { c.HoldWindow, c.Monitor.Interval = -1, -1 }, []string{"hold window", "monitor interval"}},
		{"negative bounds", func(c *Config) { c.MaxWaiters, c.HoldMax, c.Monitor.Fall = -1, -1, -1 }, []string{"max waiters", "hold max", "rise and fall"}},
		{"shards twice", func(c *Config) { c.Shards = append(c.Shards, c.Shards[0]) }, []string{`shard "main": named twice`}},
		{"several in one shard", func(c *Config) {
			c.Shards[0] = ShardConfig{Primary: "10.0.0.1", Balance: "fair", PoolSize: -1, Replicas: []ServerConfig{
				{Address: "10.0.0.2:0", Weight: -1}, {Address: "10.0.0.2:x", Class: "slow"}, {Address: "10.0.0.2:0"},
			}}
		}, []string{
			"without a name", "unknown dialect", `"10.0.0.1": want host:port`, `balance "fair"`, "pool size -1",
			`port "0"`, "weight -1", `port "x"`, `class "slow"`, "named twice",
		}},
		{"too many servers", func(c *Config) { c.Shards[0].Replicas = make([]ServerConfig, maxServers) }, []string{"at most 31"}},
	}
	for _, tt := range tests {
		_, cfg := one()
		tt.change(&cfg)
		err := cfg.Validate()
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", tt.name, err, want)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	got := Config{Shards: []ShardConfig{{MaxLag: -1}, {}}}.withDefaults()
	if got.ConnectTimeout != 5*time.Second || got.AcquireTimeout != 10*time.Second || got.MaxWaiters != 1000 ||
		got.HoldWindow != 10*time.Second || got.HoldMax != 1000 || got.IdleTimeout != 5*time.Minute || got.MaxLifetime != time.Hour ||
		got.ResolveInterval != 5*time.Second || got.Resolver == nil {
		t.Errorf("got %+v", got)
	}
	if m := got.Monitor; m.Interval != time.Second || m.Timeout != time.Second || m.Rise != 2 || m.Fall != 2 || m.SlowStart != 10*time.Second {
		t.Errorf("got %+v", m)
	}
	if s := got.Shards; s[0].MaxLag != -1 || s[1].MaxLag != 2*time.Second || s[1].PoolSize != 50 || s[1].Balance != LeastConnections {
		t.Errorf("got %+v", s)
	}
}

func TestReload(t *testing.T) {
	w, cfg := one()
	const added = "10.0.0.4:3306"
	w.servers[added] = replica()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		kept := acquire(t, b, write())
		onR1, onR2 := acquire(t, b, read()), acquire(t, b, read())
		if onR1.Server().Address() != addrR1 {
			onR1, onR2 = onR2, onR1
		}
		kept.Release()
		onR1.Release()

		bad := cfg
		bad.Shards = []ShardConfig{{ID: "main", Dialect: shard.Postgres, Primary: addrP}}
		if err := b.Reload(bad); err == nil || !strings.Contains(err.Error(), "postgres") {
			t.Errorf("a dialect that nobody dials: got %v", err)
		}
		if c := acquire(t, b, write()); c != kept {
			t.Error("a refused config changed something")
		} else {
			c.Release()
		}

		next := cfg
		next.Shards = []ShardConfig{cfg.Shards[0]}
		next.Shards[0].PoolSize = 7
		next.Shards[0].Replicas = []ServerConfig{{Address: addrR1, Weight: 1}, {Address: added, Weight: 1}}
		if err := b.Reload(next); err != nil {
			t.Fatal(err)
		}
		if c := acquire(t, b, write()); c != kept {
			t.Error("a server that stays lost its conns, or writes paused")
		} else {
			c.Release()
		}
		if fake(onR1).closed.Load() || fake(onR2).closed.Load() {
			t.Error("conns were closed: the idle one's server stays, the other is lent")
		}
		onR2.Release()
		if !fake(onR2).closed.Load() {
			t.Error("a conn of a removed server is still open")
		}
		time.Sleep(3 * time.Second)
		if got := share(t, b, 100, read); got[addrR1] == 0 || got[added] == 0 || got[addrR2] != 0 {
			t.Errorf("got %v, want the new replica and not the removed one", got)
		}
		probes := w.get(addrR2).probes
		time.Sleep(5 * time.Second)
		if w.get(addrR2).probes != probes {
			t.Error("a removed server is still probed")
		}
		if got := status(t, b, addrP).PoolSize; got != 7 {
			t.Errorf("pool size %d, want 7", got)
		}
	})
}

func TestPoolShrinks(t *testing.T) {
	w, cfg := one()
	run(t, w, cfg, func(t *testing.T, b *Backend) {
		var conns []*Conn
		for range 10 {
			conns = append(conns, acquire(t, b, write()))
		}
		next := cfg
		next.Shards = []ShardConfig{cfg.Shards[0]}
		next.Shards[0].PoolSize = 4
		if err := b.Reload(next); err != nil {
			t.Fatal(err)
		}
		for _, c := range conns {
			c.Release()
		}
		if st := status(t, b, addrP); st.Idle != 4 || st.Lent != 0 {
			t.Errorf("got %d idle and %d lent, want 4 and 0", st.Idle, st.Lent)
		}
	})
}

func TestServerTLSExpectsTheConfiguredHost(t *testing.T) {
	shared := &tls.Config{}
	if got := serverTLS(shared, "db.example"); got.ServerName != "db.example" || shared.ServerName != "" {
		t.Errorf("got %q, and the shared config has %q", got.ServerName, shared.ServerName)
	}
	named := &tls.Config{ServerName: "other"}
	if got := serverTLS(named, "db.example"); got != named {
		t.Error("a config with a name was changed")
	}
	if serverTLS(nil, "db.example") != nil {
		t.Error("TLS where none is wanted")
	}
}

func TestEnd(t *testing.T) {
	w, cfg := one()
	var idle *Conn
	var b *Backend
	run(t, w, cfg, func(t *testing.T, bb *Backend) {
		b = bb
		idle = acquire(t, b, write())
		idle.Release()
	})
	if !fake(idle).closed.Load() {
		t.Error("an idle conn is open after Run ended")
	}
	if got := w.get(addrP).open; got != 0 {
		t.Errorf("%d conns are open after Run ended", got)
	}
}
