package e2e

// Commands to Leat itself, prepared by PostgreSQL's extended protocol.

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"leat/internal/localdb"
)

func TestPostgresLeatPrepared(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		l := startLeat(ctx, t, sharedServers(ctx, t, flavor), leatOptions{PoolSize: 2})
		c, err := pgx.Connect(ctx, "postgres://"+localdb.AppUser+":"+localdb.AppPassword+"@"+l.Addr+"/"+localdb.AppDatabase+"?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(ctx)
		d, err := c.Prepare(ctx, "show", "LEAT SHOW SERVERS")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(d.Fields), 8; got != want {
			t.Errorf("LEAT SHOW SERVERS: got %d columns, want %d", got, want)
		}
		rows, err := c.Query(ctx, "show")
		if err != nil {
			t.Fatal(err)
		}
		servers, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil || len(servers) != 3 {
			t.Errorf("LEAT SHOW SERVERS: got %v, err %v, want three servers", servers, err)
		}
		if _, err := c.Prepare(ctx, "set", "SET leat.consistency = 'nonsense'"); err != nil {
			t.Errorf("a SET that is only prepared was judged: %v", err)
		}
		if _, err := c.Exec(ctx, "set"); err == nil {
			t.Error("SET leat.consistency took nonsense")
		}
	})
}
