package e2e

// Cases 126 to 134: servers that die, and primaries that change.

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"leat/internal/localdb"
)

func init() {
	for number, c := range map[int]struct {
		name string
		run  func(context.Context, *testing.T, localdb.Flavor)
	}{
		126: {"replica killed under a read", replicaKilled},
		127: {"a write whose reply never came", replyLost},
		128: {"writes wait for a primary", writesWait},
		129: {"switchover under load", switchoverUnderLoad},
		130: {"primary killed under load", primaryKilledUnderLoad},
		131: {"old primary returns writable", oldPrimaryReturns},
		132: {"a primary that turns read only", primaryTurnsReadOnly},
		133: {"waiting writes are bounded", heldBounds},
		134: {"two shards fail", twoShardsFail},
	} {
		addMySQLCase(number, c.name, c.run)
	}
}

func replicaKilled(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{})
	c := f.client()

	// Nothing of the reply has been sent: the other replica answers.
	done := f.begin(c, "SELECT SLEEP(1.5), COUNT(*) FROM t")
	srv := f.busy(f.top.Replicas()...)
	srv.Kill()
	if err := f.await(done); err != nil {
		t.Errorf("a read on a replica that was killed: %v", err)
	}
	f.ok(c, "SELECT * FROM t")
	must(t, srv.Restart(ctx))
	f.leat.waitHealthy(ctx, f.top)

	// Rows have been sent: an error, and the client goes on.
	rows, err := c.QueryContext(ctx, "SELECT REPEAT('x', 1000) FROM many a, many b")
	must(t, err)
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	f.busy(f.top.Replicas()...).Kill()
	n := 1
	for rows.Next() {
		n++
	}
	f.wantError(rows.Err(), 2013)
	if n >= 1000*1000 {
		t.Errorf("all %d rows came", n)
	}
	rows.Close()
	f.ok(c, "SELECT * FROM t")
	f.waitIdle()
}

func replyLost(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{})
	p := f.top.Primary()
	locks, err := p.DB("root", "", "failure")
	must(t, err)
	defer locks.Close()
	_, err = locks.ExecContext(ctx, "LOCK TABLES t WRITE")
	must(t, err)
	c := f.client()
	done := f.begin(c, "INSERT INTO t (v) VALUES ('in doubt')")
	f.running(p, "INSERT INTO t")
	p.Kill()
	f.wantError(f.await(done), 2013, p.Addr(), "unknown")
	must(t, p.Restart(ctx))
	f.ok(c, "INSERT INTO t (v) VALUES ('later')")
	if got := f.count(p, "SELECT GROUP_CONCAT(v ORDER BY id) FROM failure.t"); got != ",later" {
		t.Errorf("the table holds %q: the write was sent again", got)
	}
}

func writesWait(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	const writers = 20
	f := newFailing(ctx, t, flavor, leatOptions{PoolSize: 10}, "users:", "timeouts: {hold: 60s}\nusers:")
	var all []<-chan error
	var clients [writers + 1]func(string) <-chan error
	for i := range clients {
		c := f.client()
		clients[i] = func(query string) <-chan error { return f.begin(c, query) }
	}
	f.top.Primary().Kill()
	f.leat.waitState(ctx, f.top.Primary(), "down")
	for i := range writers {
		all = append(all, clients[i](fmt.Sprintf("INSERT INTO t (v) VALUES ('%d')", i)))
		f.waitHeld(i + 1)
	}
	if err := f.await(clients[writers]("SELECT * FROM t")); err != nil {
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
	if got := f.count(f.top.Primary(), "SELECT COUNT(DISTINCT v) FROM failure.t WHERE v <> ''"); got != fmt.Sprint(writers) {
		t.Errorf("%s of %d writes are there", got, writers)
	}
	// First come, first served, but for those that go on together.
	const together = 16
	if got := f.count(f.top.Primary(), fmt.Sprintf("SELECT MIN(id) < (SELECT id FROM failure.t WHERE v = '%d') FROM failure.t WHERE v IN ('0', '1', '2')", writers-1)); got != "1" {
		t.Errorf("write %d came before the first ones (%d go on together)", writers-1, together)
	}
	f.waitIdle()
}

// underLoad lets the soak's clients work while faults happen, and checks what they find.
func underLoad(ctx context.Context, t *testing.T, flavor localdb.Flavor, names ...string) {
	f := newFailing(ctx, t, flavor, leatOptions{PoolSize: 8}, "users:", "timeouts: {hold: 45s, acquire: 30s}\nusers:")
	s := newSoak(ctx, t, f.top, f.leat)
	clients, stop := s.startClients()
	for _, name := range names {
		s.befall(faultNamed(name))
	}
	stop()
	s.conclude(clients)
}

func switchoverUnderLoad(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	underLoad(ctx, t, flavor, "switchover", "drained switchover")
}

func primaryKilledUnderLoad(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	underLoad(ctx, t, flavor, "primary killed, replica promoted")
}

func oldPrimaryReturns(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
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
	pinned := f.client()
	f.ok(pinned, "SET @pinned = 1")

	must(t, old.Restart(ctx))
	f.leat.waitStatus(ctx, "two writable servers aren't noticed", func(st *leatStatus) error {
		if !st.Shards[0].Split {
			return fmt.Errorf("%+v", st.Shards)
		}
		return nil
	})
	f.wantError(run(ctx, c, "INSERT INTO t (v) VALUES ('split')"), 1105, "main", old.Addr(), f.top.Primary().Addr(), "writable")
	f.wantError(run(ctx, pinned, "INSERT INTO t (v) VALUES ('split')"), 1105, "main", "writable")
	f.ok(c, "SELECT * FROM t")
	f.ok(pinned, "SELECT * FROM t")
	if log := f.leat.Log(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "two servers are writable") {
		t.Errorf("the log doesn't say it:\n%s", log)
	}
	if got := f.leat.Metric(ctx, "leat_shard_split"); got != 1 {
		t.Errorf("leat_shard_split is %v, want 1", got)
	}
	if got := f.count(old, "SELECT COUNT(*) FROM failure.t WHERE v IN ('after', 'split')"); got != "0" {
		t.Errorf("the old primary got %s writes", got)
	}

	must(t, f.top.Follow(ctx, old))
	f.leat.waitHealthy(ctx, f.top)
	f.ok(c, "INSERT INTO t (v) VALUES ('healed')")
	f.ok(pinned, "UPDATE t SET v = v WHERE id = @pinned")
	if got := f.count(f.top.Primary(), "SELECT GROUP_CONCAT(v ORDER BY id) FROM failure.t"); got != ",before,after,healed" {
		t.Errorf("the table holds %q", got)
	}
}

func primaryTurnsReadOnly(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{}, "interval: 200ms", "interval: 30s", "users:", "timeouts: {hold: 60s}\nusers:")
	modes := []string{"read_only"}
	if flavor == localdb.MySQL {
		modes = append(modes, "super_read_only", "offline_mode")
	}
	c, p := f.client(), f.top.Primary()
	for _, mode := range modes {
		f.ok(c, "INSERT INTO t (v) VALUES ('')") // a conn is at hand, and the next probe is far away
		must(t, p.Exec(ctx, "SET GLOBAL "+mode+" = ON"))
		done := f.begin(c, "INSERT INTO t (v) VALUES ('"+mode+"')")
		f.waitHeld(1)
		must(t, p.Exec(ctx, "SET GLOBAL "+mode+" = OFF; SET GLOBAL read_only = OFF"))
		if err := f.await(done); err != nil {
			t.Errorf("a write when the primary has %s: %v", mode, err)
		}
		if got := f.count(p, "SELECT COUNT(*) FROM failure.t WHERE v = '"+mode+"'"); got != "1" {
			t.Errorf("%s: the write is there %s times", mode, got)
		}
	}
	// In an open transaction the refusal can't be hidden.
	f.ok(c, "BEGIN")
	f.ok(c, "INSERT INTO t (v) VALUES ('open')")
	must(t, p.Exec(ctx, "SET GLOBAL read_only = ON"))
	f.wantError(run(ctx, c, "INSERT INTO t (v) VALUES ('open')"), 1290)
	must(t, p.Exec(ctx, "SET GLOBAL read_only = OFF"))
	f.ok(c, "ROLLBACK")
	f.ok(c, "INSERT INTO t (v) VALUES ('')")
	if got := f.count(p, "SELECT COUNT(*) FROM failure.t WHERE v = 'open'"); got != "0" {
		t.Errorf("a transaction that was refused left %s rows", got)
	}
}

func heldBounds(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	const places = 3
	f := newFailing(ctx, t, flavor, leatOptions{}, "users:", fmt.Sprintf("timeouts: {hold: 3s}\nlimits: {hold_requests: %d}\nusers:", places))
	p := f.top.Primary()
	clients := make([]func() <-chan error, places+1)
	for i := range clients {
		c := f.client()
		clients[i] = func() <-chan error { return f.begin(c, "INSERT INTO t (v) VALUES ('held')") }
	}
	p.Kill()
	f.leat.waitState(ctx, p, "down")
	var held []<-chan error
	for i := range places {
		held = append(held, clients[i]())
		f.waitHeld(i + 1)
	}
	f.wantError(f.await(clients[places]()), 1105, "main", fmt.Sprintf("%d requests wait", places), p.Addr()+" is down")
	select {
	case err := <-held[0]:
		t.Errorf("the first write's time was over at once: %v", err)
	default:
	}
	for _, done := range held {
		f.wantError(f.await(done), 1105, "main", "has had no usable primary for", p.Addr()+" is down")
	}
	must(t, p.Restart(ctx))
	if err := f.await(clients[0]()); err != nil {
		t.Error(err)
	}
	if got := f.count(p, "SELECT COUNT(*) FROM failure.t WHERE v = 'held'"); got != "1" {
		t.Errorf("%s writes are there, want 1", got)
	}
}

func twoShardsFail(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	two, err := localdb.StartTopology(ctx, flavor, 0)
	must(t, err)
	defer two.Close()
	must(t, two.Primary().Exec(ctx, strings.ReplaceAll(failureSQL, "failure", "other")))
	f := newFailing(ctx, t, flavor, leatOptions{Shard: []string{
		"\n  - name: two\n    dialect: mysql\n    primary: " + two.Primary().Addr(),
		"\ndatabases: {failure: {shard: main}, other: {shard: two}}\ntimeouts: {hold: 60s}",
	}})
	heldBy := func(want ...int) {
		t.Helper()
		f.leat.waitStatus(ctx, "writes aren't held", func(st *leatStatus) error {
			if got := []int{st.Shards[0].HeldWrites, st.Shards[1].HeldWrites}; fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("the shards hold %v, want %v", got, want)
			}
			return nil
		})
	}
	one, other := f.client(), f.clientOf("other")
	f.top.Primary().Kill()
	two.Primary().Kill()
	first := f.begin(one, "INSERT INTO t (v) VALUES ('one')")
	second := f.begin(other, "INSERT INTO t (v) VALUES ('two')")
	heldBy(1, 1)
	must(t, two.Primary().Restart(ctx))
	if err := f.await(second); err != nil {
		t.Errorf("a write to the shard that is back: %v", err)
	}
	heldBy(1, 0)
	select {
	case err := <-first:
		t.Errorf("the other shard's write ended as well: %v", err)
	default:
	}
	must(t, f.top.Primary().Restart(ctx))
	if err := f.await(first); err != nil {
		t.Error(err)
	}
}

// within fails the test if something took longer than it may, on a machine that is busy with other tests.
func within(t *testing.T, what string, began time.Time, limit time.Duration) {
	t.Helper()
	if took := time.Since(began); took > limit {
		t.Errorf("%s took %v, want %v at most", what, took, limit)
	}
}
