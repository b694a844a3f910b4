package e2e

// Databases that live on different shards, reached by one session.

import (
	"context"
	"testing"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

// TestDatabasesOnShards: a statement goes to the shard of the database that it names, and USE in every form
// changes to one of another shard.
func TestDatabasesOnShards(t *testing.T) {
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := sharedServers(ctx, t, flavor)
		two, err := localdb.StartTopology(ctx, flavor, 0)
		must(t, err)
		defer two.Close()
		here, there := top.Primary(), two.Primary()
		must(t, here.Exec(ctx, "CREATE DATABASE IF NOT EXISTS near"))
		must(t, here.Exec(ctx, "CREATE TABLE IF NOT EXISTS near.n (v INT)"))
		must(t, there.Exec(ctx, "CREATE DATABASE far"))
		must(t, there.Exec(ctx, "CREATE TABLE far.t (v INT)"))
		must(t, there.Exec(ctx, "INSERT INTO far.t VALUES (7)"))
		l := startLeat(ctx, t, top, leatOptions{Shard: []string{
			"\n  - name: two\n    dialect: mysql\n    primary: " + there.Addr(),
			"\ndatabases: {near: {shard: main}, far: {shard: two}}",
		}})
		c, err := rawmysql.Dial(ctx, l.Addr, rawmysql.Options{User: "app", Password: "app-secret", Database: "near", Flags: rawmysql.DeprecateEOF})
		must(t, err)
		defer c.Abort()
		do := func(payload string) *rawmysql.Reply {
			t.Helper()
			r, err := c.Do([]byte(payload))
			if err == nil {
				err = r.Err()
			}
			if err != nil {
				t.Fatalf("%q: %v", payload, err)
			}
			return r
		}
		want := func(sql, value string) {
			t.Helper()
			got := ""
			if rows := do("\x03" + sql).Text(); len(rows) > 0 {
				got = rows[0][0]
			}
			if got != value {
				t.Errorf("%s: got %q, want %q", sql, got, value)
			}
		}
		want("SELECT v FROM far.t", "7")
		want("SELECT DATABASE()", "near")
		want("INSERT INTO far.t VALUES (8)", "")
		want("SELECT DATABASE()", "near")
		want("USE far", "")
		want("SELECT SUM(v) FROM t", "15")
		do("\x02near")
		want("SELECT DATABASE()", "near")
		do("\x02far")
		want("SELECT COUNT(*) FROM t", "2")
		do("\x16SELECT v FROM near.n WHERE v = ?")
		if r, err := c.Do([]byte("\x02nowhere")); err != nil || r.Err() == nil {
			t.Errorf("a database that isn't there: got %v, %v, want an error", r, err)
		}
		want("SELECT DATABASE()", "far")
	})
}
