package e2e

// READ ONLY transactions of PostgreSQL's: on a standby, unless they do what only the primary can.

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"leat/internal/localdb"
)

// TestPostgresReadOnly: a lock in one excludes others, and what one leaves on its conn doesn't keep its session from
// writing.
func TestPostgresReadOnly(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := pgClientServers(ctx, t, flavor)
		must(t, top.Primary().ExecIn(ctx, pgClientsDatabase, "SET ROLE app; CREATE TABLE ro (x int)"))
		must(t, top.WaitSynced(ctx))
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 3})
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement} {
			t.Run(mode.String(), func(t *testing.T) { pgReadOnly(ctx, t, pgURL(l.Addr), mode) })
		}
	})
}

func pgReadOnly(ctx context.Context, t *testing.T, url string, mode pgx.QueryExecMode) {
	c, err := pgx.Connect(ctx, url)
	must(t, err)
	defer func() { c.Close(ctx) }()
	exec := func(sql string) error {
		rows, err := c.Query(ctx, sql, mode)
		if err == nil {
			rows.Close()
			err = rows.Err()
		}
		return err
	}
	ok := func(list ...string) {
		t.Helper()
		for _, sql := range list {
			if err := exec(sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	wants := func(sql string, want bool) {
		t.Helper()
		var got bool
		if err := c.QueryRow(ctx, sql, mode).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", sql, got, err, want)
		}
	}
	const begin, standby = "BEGIN READ ONLY", "SELECT pg_is_in_recovery()"

	ok(begin)
	wants(standby, true)
	ok("COMMIT")
	for _, first := range []string{"SELECT pg_advisory_xact_lock(7)", "SELECT pg_advisory_lock(7)", "PREPARE kept AS SELECT 1"} {
		ok(begin, first)
		wants(standby, false)
		wants("SELECT current_setting('transaction_read_only')::bool", true)
		ok("COMMIT", "INSERT INTO ro VALUES (1)")
	}

	must(t, c.Close(ctx)) // what a session has written it reads from the primary, until a standby has it
	c, err = pgx.Connect(ctx, url)
	must(t, err)
	ok(begin, "SELECT count(*) FROM ro")
	var refused *pgconn.PgError
	if err := exec("SELECT pg_advisory_lock(7)"); !errors.As(err, &refused) || refused.Code != "25006" {
		t.Errorf("an advisory lock after a read: got %v, want 25006", err)
	}
	ok("ROLLBACK", begin, "SELECT count(*) FROM ro", "SELECT pg_advisory_lock(7)")
	wants(standby, false)
	ok("COMMIT", "INSERT INTO ro VALUES (1)")
}
