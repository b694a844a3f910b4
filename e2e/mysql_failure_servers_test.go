package e2e

// Cases 136 to 141: servers known by name, that hang, are full, come back or are gone, and a Leat that dies.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"leat/internal/localdb"
)

func init() {
	for number, c := range map[int]struct {
		name string
		run  func(context.Context, *testing.T, localdb.Flavor)
	}{
		136: {"servers known by name", serversByName},
		137: {"a server that hangs", serverHangs},
		138: {"a server that is full", serverFull},
		139: {"slow start", slowStart},
		140: {"all replicas gone", replicasGone},
		141: {"leat killed", leatKilled},
	} {
		addMySQLCase(number, c.name, c.run)
	}
}

// serversByName: that names are looked up again is tested in proxy/backend, with a resolver of its own.
func serversByName(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{})
	f.leat.Stop()
	text, err := os.ReadFile(f.leat.config)
	must(t, err)
	for _, s := range f.top.Servers {
		text = []byte(strings.ReplaceAll(string(text), s.Addr(), fmt.Sprintf("localhost:%d", s.Port)))
	}
	must(t, os.WriteFile(f.leat.config, text, 0o600))
	f.leat.start(ctx)
	c := f.client()
	f.ok(c, "INSERT INTO t (v) VALUES ('named')")
	f.ok(c, "SELECT * FROM t")
	f.leat.waitStatus(ctx, "the names aren't used", func(st *leatStatus) error {
		for _, s := range st.Servers {
			if !strings.HasPrefix(s.Address, "localhost:") || s.State != "up" {
				return fmt.Errorf("%+v", s)
			}
		}
		return nil
	})
}

func serverHangs(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{PoolSize: 5})
	c, fresh := f.client(), f.client()

	// A replica: the read that is there goes elsewhere, and so do the next ones.
	done := f.begin(c, "SELECT SLEEP(1)")
	r := f.busy(f.top.Replicas()...)
	must(t, r.Pause())
	began := time.Now()
	f.leat.waitState(ctx, r, "down")
	within(t, "noticing a server that hangs", began, 10*time.Second)
	noticed := time.Now()
	if err := f.await(done); err != nil {
		t.Errorf("a read on a replica that hangs: %v", err)
	}
	within(t, "the read, which takes one second elsewhere,", noticed, 3*time.Second)
	t.Logf("the read took %v", time.Since(began))
	f.ok(fresh, "SET @@session.sql_mode = 'ANSI'")
	for range 10 {
		f.ok(fresh, "SELECT * FROM t")
	}
	must(t, r.Resume())
	f.leat.waitHealthy(ctx, f.top)

	// The primary: a write that is there has an unknown end, the next one waits.
	p := f.top.Primary()
	f.waitIdle()
	done = f.begin(c, "INSERT INTO t (v) VALUES (SLEEP(1))")
	f.running(p, "INSERT INTO t")
	must(t, p.Pause())
	f.wantError(f.await(done), 2013, "unknown")
	next := f.begin(c, "INSERT INTO t (v) VALUES ('next')")
	f.waitHeld(1)
	must(t, p.Resume())
	if err := f.await(next); err != nil {
		t.Errorf("a write that waited: %v", err)
	}
	if got := f.count(p, "SELECT COUNT(*) FROM failure.t WHERE v = 'next'"); got != "1" {
		t.Errorf("the write that waited is there %s times", got)
	}
	f.waitIdle()
}

// atOnce runs a statement on many clients at once and returns their errors.
func (f *failing) atOnce(clients int, query string) []error {
	f.Helper()
	all := make([]*sql.Conn, clients)
	for i := range all {
		all[i] = f.client()
	}
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { errs[i] = run(f.ctx, c, query) })
	}
	wg.Wait()
	return errs
}

func serverFull(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{PoolSize: 40})
	t.Cleanup(func() {
		for _, s := range f.top.Servers {
			if err := s.Exec(context.Background(), "SET GLOBAL max_connections = 500"); err != nil {
				t.Error(err)
			}
		}
	})
	for _, s := range f.top.Servers {
		must(t, s.Exec(ctx, "SET GLOBAL max_connections = 10")) // root has one more
	}
	for _, query := range []string{"SELECT SLEEP(1)", "INSERT INTO t (v) VALUES (SLEEP(0.1))"} {
		if err := errors.Join(f.atOnce(60, query)...); err != nil {
			t.Errorf("%s when the servers are full: %v", query, err)
		}
	}
	if got := f.leat.Metric(ctx, "leat_server_conns_failed_total"); got == 0 {
		st, err := f.leat.Status(ctx)
		t.Errorf("no server was full: %+v %v", st, err)
	}
	log, err := os.ReadFile(f.leat.logFile())
	must(t, err)
	if strings.Contains(string(log), "server is down") {
		t.Error("a full server was ejected")
	}
	f.waitIdle()
}

func slowStart(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	const reads = 300
	f := newFailing(ctx, t, flavor, leatOptions{}, "interval: 200ms", "interval: 200ms, slow_start: 20s")
	c, r := f.client(), f.top.Replicas()[0]
	share := func() float64 {
		t.Helper()
		before, err := f.leat.Status(ctx)
		must(t, err)
		for range reads {
			f.ok(c, "SELECT * FROM t")
		}
		after, err := f.leat.Status(ctx)
		must(t, err)
		return float64(after.server(r).Requests-before.server(r).Requests) / reads
	}
	if got := share(); got < 0.3 {
		t.Errorf("a replica takes %.2f of the reads, want about a half", got)
	}
	r.Kill()
	f.leat.waitState(ctx, r, "down")
	must(t, r.Restart(ctx))
	f.leat.waitState(ctx, r, "warming")
	began := time.Now()
	got := share()
	if took := time.Since(began); took > 5*time.Second {
		t.Logf("the reads took %v, too long to tell", took)
	} else if got > 0.3 {
		t.Errorf("a replica that came back takes %.2f of the reads at once", got)
	}
	eventually(ctx, t, "the replica never takes its share", func() error {
		if got := share(); got < 0.3 {
			return fmt.Errorf("it takes %.2f", got)
		}
		return nil
	})
}

func replicasGone(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	const pool, waiters = 10, 15
	f := newFailing(ctx, t, flavor, leatOptions{PoolSize: pool}, "users:", fmt.Sprintf("limits: {pool_waiters: %d}\nusers:", waiters))
	writer := f.client()
	for _, r := range f.top.Replicas() {
		r.Kill()
	}
	for _, r := range f.top.Replicas() {
		f.leat.waitState(ctx, r, "down")
	}
	if err := errors.Join(f.atOnce(pool, "SELECT SLEEP(0.1)")...); err != nil {
		t.Errorf("reads without replicas: %v", err)
	}
	// Too many reads are shed, and leave room for writes.
	storm := make(chan []error, 1)
	go func() { storm <- f.atOnce(40, "SELECT SLEEP(1)") }()
	f.leat.waitStatus(ctx, "no read waits", func(st *leatStatus) error {
		if s := st.server(f.top.Primary()); s.Conns.Waiting == 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	f.ok(writer, "INSERT INTO t (v) VALUES ('has room')")
	served, shed := 0, 0
	for _, err := range <-storm {
		var refused *mysql.MySQLError
		switch {
		case err == nil:
			served++
		case errors.As(err, &refused) && refused.Number == 1203 && strings.Contains(refused.Message, "main"):
			shed++
		default:
			t.Errorf("a read that is too many: %v", err)
		}
	}
	if served < pool*4/5 || shed == 0 {
		t.Errorf("%d reads were served and %d shed", served, shed)
	}
	f.waitIdle()
}

func leatKilled(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{})
	c := f.client()
	f.ok(c, "BEGIN")
	f.ok(c, "UPDATE t SET v = 'orphan' WHERE id = 1")
	f.leat.Kill()
	if err := run(ctx, c, "COMMIT"); err == nil {
		t.Error("COMMIT through a dead Leat succeeded")
	}
	began := time.Now()
	f.leat.start(ctx)
	took := time.Since(began)
	t.Logf("ready %v after the start", took)
	within(t, "the restart", began, 5*time.Second)
	f.ok(f.client(), "UPDATE t SET v = 'free' WHERE id = 1") // the row isn't locked any more
	if got := f.count(f.top.Primary(), "SELECT v FROM failure.t WHERE id = 1"); got != "free" {
		t.Errorf("the row holds %q", got)
	}
	eventually(ctx, t, "an orphan stays", func() error {
		n, err := f.top.Primary().Value(ctx, "SELECT COUNT(*) FROM information_schema.innodb_trx")
		if err == nil && n != "0" {
			err = fmt.Errorf("%s transactions are open", n)
		}
		return err
	})
}
