package router

import (
	"errors"
	"testing"

	"leat/proxy/wire"
	"leat/shard"
)

func testMap(t testing.TB) *shard.Map {
	m, err := shard.NewMap(1,
		map[shard.ID]shard.Dialect{"s1": shard.MySQL, "s2": shard.MySQL, "p": shard.Postgres},
		map[string]shard.ID{"profiles": "s1", "features": "s2", "more": "s2"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRoute(t *testing.T) {
	r, m := newRouter(t), testMap(t)
	primary, replica := wire.Primary, wire.Replica
	for _, c := range []struct {
		name string
		sql  string
		want Want
		role wire.Role
		id   shard.ID
		code wire.Code // of the error; CodeInternal for none
		cls  string
	}{
		{name: "read", sql: "SELECT * FROM t", want: Want{Database: "profiles"}, role: replica, id: "s1"},
		{name: "write", sql: "UPDATE t SET a = 1", want: Want{Database: "profiles"}, role: primary, id: "s1"},
		{name: "session", sql: "SET sql_mode = ''", want: Want{Database: "profiles"}, role: primary, id: "s1"},
		{name: "in a transaction", sql: "SELECT * FROM t", want: Want{Database: "profiles", InTx: true}, role: primary, id: "s1"},
		{name: "read only begins", sql: "START TRANSACTION READ ONLY", want: Want{Database: "profiles"}, role: replica, id: "s1"},
		{name: "begin", sql: "BEGIN", want: Want{Database: "profiles"}, role: primary, id: "s1"},
		{name: "begin of a read only session", sql: "BEGIN", want: Want{Database: "profiles", ReadOnlyTx: true}, role: replica, id: "s1"},
		{name: "hint primary", sql: "/* leat: role=primary */ SELECT 1", want: Want{Database: "profiles"}, role: primary, id: "s1"},
		{name: "hint replica on a read", sql: "/* leat: role=replica */ SELECT 1", want: Want{Database: "profiles"}, role: replica, id: "s1"},
		{name: "hint replica on a write", sql: "/* leat: role=replica */ DELETE FROM t", want: Want{Database: "profiles"}, role: primary, id: "s1"},
		{name: "hint replica on a locking read", sql: "/* leat: role=replica */ SELECT 1 FROM t FOR UPDATE", want: Want{Database: "profiles"}, role: primary, id: "s1"},
		{name: "hint in a transaction", sql: "/* leat: role=replica */ SELECT 1", want: Want{Database: "profiles", InTx: true}, role: primary, id: "s1"},
		{name: "class of the user", sql: "SELECT 1", want: Want{Database: "profiles", Class: "batch"}, role: replica, id: "s1", cls: "batch"},
		{name: "class of the hint", sql: "/* leat: class=online */ SELECT 1", want: Want{Database: "profiles", Class: "batch"}, role: replica, id: "s1", cls: "online"},
		{name: "qualified table", sql: "SELECT * FROM features.t", want: Want{Database: "profiles"}, role: replica, id: "s2"},
		{name: "qualified tables of one shard", sql: "SELECT * FROM features.t, more.u", want: Want{}, role: replica, id: "s2"},
		{name: "two shards", sql: "SELECT * FROM features.t, u", want: Want{Database: "profiles"}, code: wire.CodeNotSupported},
		{name: "system database", sql: "SELECT * FROM information_schema.tables", want: Want{Database: "features"}, role: primary, id: "s2"},
		{name: "use", sql: "USE features", want: Want{Database: "profiles"}, role: primary, id: "s2"},
		{name: "unknown database", sql: "SELECT 1", want: Want{Database: "nosuch"}, code: wire.CodeNoDatabase},
		{name: "no database", sql: "SELECT 1", want: Want{}, code: wire.CodeNoDatabase},
		{name: "unknown qualified database", sql: "SELECT * FROM nosuch.t", want: Want{Database: "profiles"}, code: wire.CodeNoDatabase},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Scan
			p := r.Plan([]byte(c.sql), &Facts{Database: c.want.Database}, &s)
			c.want.Dialect = shard.MySQL
			got, err := r.Route(p, &c.want, m)
			if c.code != wire.CodeInternal {
				var we *wire.Error
				if !errors.As(err, &we) || we.Code != c.code {
					t.Fatalf("got error %v, want one of code %d", err, c.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Role != c.role || got.Shard != c.id || got.Class != c.cls || got.Rule == "" {
				t.Errorf("got %+v, want role %s, shard %s, class %q and a rule", got, c.role, c.id, c.cls)
			}
		})
	}
}

// With one shard only, every database is there.
func TestRouteOnlyShard(t *testing.T) {
	m, err := shard.NewMap(1, map[shard.ID]shard.Dialect{"main": shard.MySQL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRouter(t)
	var s Scan
	p := r.Plan([]byte("SELECT * FROM a.t, b.u"), &Facts{}, &s)
	got, err := r.Route(p, &Want{Dialect: shard.MySQL}, m)
	if err != nil || got.Shard != "main" {
		t.Errorf("got %+v, %v; want shard main", got, err)
	}
}
