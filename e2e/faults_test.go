package e2e

// Servers that die, stall and change roles under load: no acknowledged write is lost, none happens twice, and
// a session reads what it wrote.

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"leat/internal/localdb"
)

func TestFaults(t *testing.T) {
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := startServers(ctx, t, localdb.TopologyOptions{Flavor: flavor, Replicas: 2, SemiSync: true})
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 10, Top: []string{"timeouts: {hold: 30s}"}})
		if err := top.Primary().Exec(ctx, "CREATE TABLE test.w (id BIGINT PRIMARY KEY, writer INT)"); err != nil {
			t.Fatal(err)
		}
		load := startLoad(ctx, t, l.DB("test"))

		top.Replicas()[0].Kill()
		load.progress(ctx)
		if err := top.Replicas()[0].Restart(ctx); err != nil {
			t.Fatal(err)
		}
		load.progress(ctx)

		if err := top.Replicas()[1].Pause(); err != nil {
			t.Fatal(err)
		}
		load.progress(ctx)
		if err := top.Replicas()[1].Resume(); err != nil {
			t.Fatal(err)
		}
		if err := top.WaitSynced(ctx); err != nil {
			t.Fatal(err)
		}

		if err := top.Switchover(ctx, 1); err != nil {
			t.Fatal(err)
		}
		load.progress(ctx)

		top.Primary().Kill()
		next, err := top.MostAdvanced(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := top.Promote(ctx, next); err != nil {
			t.Fatal(err)
		}
		load.progress(ctx)
		load.stop()
		load.check(ctx, top.Primary())
	})
}

// load writes rows through Leat and reads them back, until it is stopped.
type load struct {
	t      *testing.T
	cancel context.CancelFunc
	done   sync.WaitGroup

	acknowledged atomic.Int64
	failed       atomic.Int64 // their outcome is unknown, or they didn't happen

	mu   sync.Mutex
	rows map[int64]bool // acknowledged
}

func startLoad(ctx context.Context, t *testing.T, db *sql.DB) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{t: t, cancel: cancel, rows: map[int64]bool{}}
	for writer := range 4 {
		l.done.Go(func() { l.write(ctx, db, writer) })
	}
	t.Cleanup(l.stop)
	return l
}

// write inserts one row after another, each with an id of its own: a write that Leat repeated would fail
// as a duplicate.
func (l *load) write(ctx context.Context, db *sql.DB, writer int) {
	for n := int64(0); ctx.Err() == nil; n++ {
		id := int64(writer)<<40 | n
		conn, err := db.Conn(ctx)
		if err != nil {
			continue
		}
		if _, err := conn.ExecContext(ctx, "INSERT INTO w VALUES (?, ?)", id, writer); err != nil {
			l.failed.Add(1)
			conn.Close()
			continue
		}
		l.mu.Lock()
		l.rows[id] = true
		l.mu.Unlock()
		l.acknowledged.Add(1)
		var got int
		err = conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM w WHERE id = ?", id).Scan(&got)
		if err == nil && got != 1 {
			l.t.Errorf("a session doesn't see the row %d that it wrote", id)
		}
		conn.Close()
	}
}

// progress waits until more writes have been acknowledged.
func (l *load) progress(ctx context.Context) {
	l.t.Helper()
	want := l.acknowledged.Load() + 100
	eventually(ctx, l.t, "writes go on", func() error {
		if got := l.acknowledged.Load(); got < want {
			return fmt.Errorf("%d writes acknowledged, %d failed; waiting for %d", got, l.failed.Load(), want)
		}
		return nil
	})
}

func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}

// check looks for each acknowledged row on the primary.
func (l *load) check(ctx context.Context, primary *localdb.Server) {
	l.t.Helper()
	db, err := primary.DB(localdb.AppUser, localdb.AppPassword, "test")
	if err != nil {
		l.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT id FROM w")
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			l.t.Fatal(err)
		}
		delete(l.rows, id)
	}
	if err := rows.Err(); err != nil {
		l.t.Fatal(err)
	}
	if len(l.rows) > 0 {
		l.t.Errorf("%d of %d acknowledged writes are lost", len(l.rows), l.acknowledged.Load())
	}
	l.t.Logf("%d writes acknowledged, %d failed", l.acknowledged.Load(), l.failed.Load())
}
