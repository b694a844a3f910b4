package e2e

// Cases 79 to 82: PostgreSQL servers that die, hang and change roles.

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"leat/internal/localdb"
)

func init() {
	addPgCase15(79, "replicas that fail", pgReplicasFail)
	addPgCase15(80, "primary killed under load", pgPrimaryKilledUnderLoad)
	addPgCase(80, "a write whose reply never came", pgReplyLost)
	addPgCase15(80, "writes wait for a primary", pgWritesWait)
	addPgCase15(80, "primary stopped", pgPrimaryHangs)
	addPgCase(81, "two writable servers", pgTwoPrimaries)
	addPgCase15(82, "no role known at start", pgRoleUnknown)
}

// pgFailureSQL makes a table that has an empty row, and one of 1000 rows.
const pgFailureSQL = `SET ROLE app; DROP TABLE IF EXISTS t, many;
CREATE TABLE t (id bigserial PRIMARY KEY, v text NOT NULL DEFAULT ''); INSERT INTO t (v) VALUES ('');
CREATE TABLE many AS SELECT i AS id FROM generate_series(1, 1000) i`

// pgWantError checks SQLSTATE and text of an error that a client got.
func (f *failing) pgWantError(err error, state string, parts ...string) {
	f.Helper()
	code, message := errorCode(err)
	if code != state {
		f.Errorf("got %v, want error %s", err, state)
	}
	for _, part := range parts {
		if !strings.Contains(message, part) {
			f.Errorf("got %q, want it to say %q", message, part)
		}
	}
}

func pgReplicasFail(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{PoolSize: 5})
	c := f.client()
	replicas := f.top.Replicas()

	// Killed under a read of which nothing has come: another server answers.
	done := f.begin(c, "SELECT pg_sleep(1), count(*) FROM t")
	srv := f.busy(replicas...)
	srv.Kill()
	if err := f.await(done); err != nil {
		t.Errorf("a read on a replica that was killed: %v", err)
	}
	f.leat.waitState(ctx, srv, "down")
	must(t, srv.Restart(ctx))
	f.leat.waitHealthy(ctx, f.top)

	// Rows have come: an error, and the client goes on.
	rows, err := c.QueryContext(ctx, "SELECT repeat('x', 1000) FROM many a, many b")
	must(t, err)
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	srv = f.busy(replicas...)
	srv.Kill()
	for rows.Next() { //nolint:revive // the rows don't matter
	}
	if rows.Err() == nil {
		t.Error("all rows came from a server that was killed")
	}
	rows.Close()
	f.ok(f.client(), "SELECT * FROM t")
	must(t, srv.Restart(ctx))
	f.leat.waitHealthy(ctx, f.top)

	// It hangs: reads that are there go elsewhere, and so do the next ones.
	c = f.client()
	done = f.begin(c, "SELECT pg_sleep(0.5)")
	srv = f.busy(replicas...)
	must(t, srv.Pause())
	began := time.Now()
	f.leat.waitState(ctx, srv, "down")
	within(t, "noticing a server that hangs", began, 10*time.Second)
	if err := f.await(done); err != nil {
		t.Errorf("a read on a replica that hangs: %v", err)
	}
	for range 10 {
		f.ok(c, "SELECT * FROM t")
	}
	must(t, srv.Resume())
	f.leat.waitHealthy(ctx, f.top)

	// Without any the primary serves.
	for _, r := range replicas {
		r.Kill()
	}
	for _, r := range replicas {
		f.leat.waitState(ctx, r, "down")
	}
	for range 10 {
		f.ok(c, "SELECT * FROM t")
	}
	f.waitIdle()
}

func pgPrimaryKilledUnderLoad(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	underLoad(ctx, t, flavor, "primary killed, replica promoted", "switchover")
}

func pgReplyLost(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{})
	p := f.top.Primary()
	locks, err := p.DB(localdb.AppUser, localdb.AppPassword, localdb.AppDatabase)
	must(t, err)
	defer locks.Close()
	tx, err := locks.BeginTx(ctx, nil)
	must(t, err)
	_, err = tx.ExecContext(ctx, "LOCK TABLE t")
	must(t, err)
	c := f.client()
	done := f.begin(c, "INSERT INTO t (v) VALUES ('in doubt')")
	f.running(p, "INSERT INTO t")
	must(t, p.Pause()) // it is killed without a word
	p.Kill()
	f.pgWantError(f.await(done), "08007", p.Addr(), "unknown")
	must(t, p.Restart(ctx))
	f.ok(c, "INSERT INTO t (v) VALUES ('later')")
	if got := f.count(p, "SELECT string_agg(v, ',' ORDER BY id) FROM t"); got != ",later" {
		t.Errorf("the table holds %q: the write was sent again", got)
	}
	f.leat.waitHealthy(ctx, f.top)

	// A server that is shut down says so: the transaction is over, the client goes on.
	f.ok(c, "BEGIN")
	f.ok(c, "INSERT INTO t (v) VALUES ('open')")
	done = f.begin(c, "SELECT pg_sleep(60), txid_current()")
	f.running(p, "SELECT pg_sleep")
	must(t, p.Stop(ctx))
	f.pgWantError(f.await(done), "08006", p.Addr(), "rolled back")
	must(t, p.Restart(ctx))
	f.ok(c, "INSERT INTO t (v) VALUES ('after')")
	if got := f.count(p, "SELECT string_agg(v, ',' ORDER BY id) FROM t"); got != ",later,after" {
		t.Errorf("the table holds %q", got)
	}
}

func pgWritesWait(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	const writers = 20
	f := newFailing(ctx, t, flavor, leatOptions{PoolSize: 10}, "users:", "timeouts: {hold: 60s}\nusers:")
	clients := make([]*sql.Conn, writers+1)
	for i := range clients {
		clients[i] = f.client()
	}
	f.top.Primary().Kill()
	f.leat.waitState(ctx, f.top.Primary(), "down")
	var all []<-chan error
	for i := range writers {
		all = append(all, f.begin(clients[i], fmt.Sprintf("INSERT INTO t (v) VALUES ('%d')", i)))
		f.waitHeld(i + 1)
	}
	if err := f.await(f.begin(clients[writers], "SELECT * FROM t")); err != nil {
		t.Errorf("a read while there is no primary: %v", err)
	}
	best, err := f.top.MostAdvanced(ctx)
	must(t, err)
	must(t, f.top.Promote(ctx, best))
	for i, done := range all {
		if err := f.await(done); err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if got := f.count(f.top.Primary(), "SELECT count(DISTINCT v) || ' ' || count(*) FROM t WHERE v <> ''"); got != fmt.Sprint(writers, " ", writers) {
		t.Errorf("%s of %d writes are there", got, writers)
	}
	f.waitIdle()
}

func pgPrimaryHangs(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{PoolSize: 5}, "users:", "timeouts: {hold: 60s}\nusers:")
	c, p := f.client(), f.top.Primary()
	done := f.begin(c, "INSERT INTO t (v) SELECT pg_sleep(1)::text")
	f.running(p, "INSERT INTO t")
	must(t, p.Pause())
	f.leat.waitState(ctx, p, "down")
	next := f.begin(f.client(), "INSERT INTO t (v) VALUES ('next')")
	f.waitHeld(1)
	f.ok(f.client(), "SELECT * FROM t")
	must(t, p.Resume())
	if err := f.await(next); err != nil {
		t.Errorf("a write that waited: %v", err)
	}
	if err := f.await(done); err != nil {
		f.pgWantError(err, "08007", "unknown")
	}
	if got := f.count(p, "SELECT count(*) FROM t WHERE v = 'next'"); got != "1" {
		t.Errorf("the write that waited is there %s times", got)
	}
	f.waitIdle()
}

func pgTwoPrimaries(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{}, "users:", "timeouts: {hold: 1s}\nusers:")
	c, old := f.client(), f.top.Primary()
	f.ok(c, "INSERT INTO t (v) VALUES ('before')")
	old.Kill()
	best, err := f.top.MostAdvanced(ctx)
	must(t, err)
	must(t, f.top.Promote(ctx, best))
	f.leat.waitStatus(ctx, "no new primary", func(st *leatStatus) error {
		if st.Shards[0].Primary != f.top.Primary().Addr() {
			return fmt.Errorf("%+v", st.Shards)
		}
		return nil
	})
	f.ok(c, "INSERT INTO t (v) VALUES ('after')")
	must(t, old.Restart(ctx))
	f.leat.waitStatus(ctx, "two writable servers aren't noticed", func(st *leatStatus) error {
		if !st.Shards[0].Split {
			return fmt.Errorf("%+v", st.Shards)
		}
		return nil
	})
	f.pgWantError(run(ctx, c, "INSERT INTO t (v) VALUES ('split')"), "57P03", "main", old.Addr(), f.top.Primary().Addr(), "writable")
	if log := f.leat.Log(); !strings.Contains(log, "two servers are writable") {
		t.Errorf("the log doesn't say it:\n%s", log)
	}
	if got := f.leat.Metric(ctx, "leat_shard_split"); got != 1 {
		t.Errorf("leat_shard_split is %v, want 1", got)
	}
	if got := f.count(old, "SELECT count(*) FROM t WHERE v IN ('after', 'split')"); got != "0" {
		t.Errorf("the old primary got %s writes", got)
	}
	must(t, f.top.Rejoin(ctx, f.top.Index(old)))
	f.leat.waitHealthy(ctx, f.top)
	f.ok(c, "INSERT INTO t (v) VALUES ('healed')")
	if got := f.count(f.top.Primary(), "SELECT string_agg(v, ',' ORDER BY id) FROM t"); got != ",before,after,healed" {
		t.Errorf("the table holds %q", got)
	}
}

// pgRoleUnknown starts Leat while the server that its config calls the primary is down.
func pgRoleUnknown(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{}, "users:", "timeouts: {hold: 60s}\nusers:")
	f.leat.Stop()
	p := f.top.Primary()
	p.Kill()
	f.leat.start(ctx)
	c, reader := f.client(), f.client()
	done := f.begin(c, "INSERT INTO t (v) VALUES ('early')")
	f.waitHeld(1)
	f.ok(reader, "SELECT * FROM t")
	for _, r := range f.top.Replicas() {
		if got := f.count(r, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT%'"); got != "0" {
			t.Errorf("a replica was sent a write")
		}
	}
	must(t, p.Restart(ctx))
	if err := f.await(done); err != nil {
		t.Error(err)
	}
	if got := f.count(p, "SELECT count(*) FROM t WHERE v = 'early'"); got != "1" {
		t.Errorf("the write is there %s times", got)
	}
}
