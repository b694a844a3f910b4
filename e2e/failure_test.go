package e2e

// What tests of failures share: what Leat thinks of its servers, and healing servers that a test harmed.

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"leat/internal/localdb"
)

// failing is a Leat before servers that the test may harm, and that the next test heals.
type failing struct {
	*testing.T
	ctx  context.Context
	top  *localdb.Topology
	leat *leat
}

// harmed are the servers of tests that harm them, which are repaired from one to the next.
var harmed = map[localdb.Flavor]*sharedTopology{localdb.MySQL: {}, localdb.MariaDB: {}, localdb.Postgres: {}, localdb.Postgres18: {}}

// failureSQL makes a database with a table that has an empty row, and one of 1000 rows.
const failureSQL = "DROP DATABASE IF EXISTS failure; CREATE DATABASE failure; USE failure; " +
	"CREATE TABLE t (id BIGINT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100) NOT NULL DEFAULT ''); INSERT INTO t VALUES (1, ''); " +
	"CREATE TABLE many (id INT PRIMARY KEY); INSERT INTO many SELECT a.n + 10 * b.n + 100 * c.n FROM " + digits + " a, " + digits + " b, " + digits + " c"

const digits = "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"

// newFailing heals the servers and starts a Leat. Edits are pairs of texts: what is replaced in the config.
func newFailing(ctx context.Context, t *testing.T, flavor localdb.Flavor, opts leatOptions, edits ...string) *failing {
	t.Helper()
	h := harmed[flavor]
	h.once.Do(func() {
		h.top, h.err = localdb.StartTopologyWith(ctx, localdb.TopologyOptions{Flavor: flavor, Replicas: 2, SemiSync: true})
	})
	must(t, h.err)
	heal(ctx, t, h.top)
	t.Cleanup(func() {
		for _, s := range h.top.Servers {
			_ = s.Resume() // one that is down needs none
		}
	})
	if flavor.Dialect() == "postgres" {
		must(t, h.top.Primary().Exec(ctx, pgFailureSQL))
	} else {
		must(t, h.top.Primary().Exec(ctx, failureSQL))
	}
	must(t, h.top.WaitSynced(ctx))
	f := &failing{T: t, ctx: ctx, top: h.top, leat: startEdited(ctx, t, h.top, opts, edits...)}
	f.leat.waitHealthy(ctx, f.top)
	return f
}

// startEdited is startLeat with texts of the config replaced.
func startEdited(ctx context.Context, t *testing.T, top *localdb.Topology, opts leatOptions, edits ...string) *leat {
	t.Helper()
	l := &leat{t: t, dir: t.TempDir(), Addr: freeAddr(t), Admin: freeAddr(t)}
	l.config = filepath.Join(l.dir, "leat.yaml")
	text := strings.NewReplacer(edits...).Replace(l.configText(top, opts))
	must(t, os.WriteFile(l.config, []byte(text), 0o600))
	l.start(ctx)
	t.Cleanup(func() {
		if l.running() {
			l.Stop()
		}
		l.checkLog()
	})
	return l
}

// heal brings all servers back, as one primary and its replicas. What can't follow any more is made anew.
func heal(ctx context.Context, t *testing.T, top *localdb.Topology) {
	t.Helper()
	if top.Primary().PID() == 0 {
		must(t, top.Primary().Restart(ctx))
	}
	for i, s := range top.Servers {
		if s == top.Primary() {
			continue
		}
		if s.PID() == 0 {
			must(t, s.Restart(ctx))
		}
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := top.Follow(short, s)
		if err == nil {
			err = top.WaitSyncedWith(short, s)
		}
		cancel()
		if err != nil {
			must(t, top.Rebuild(ctx, i))
		}
	}
	must(t, top.WaitSynced(ctx))
}

// client is one client connection to Leat, in the database of failureSQL.
func (f *failing) client() *sql.Conn { f.Helper(); return f.clientOf("failure") }

func (f *failing) clientOf(database string) *sql.Conn {
	f.Helper()
	if f.top.Flavor.Dialect() == "postgres" {
		db, err := openSoakPostgres(f.leat, 0)
		must(f.T, err)
		f.Cleanup(func() { db.Close() })
		conn, err := db.Conn(f.ctx)
		must(f.T, err)
		return conn
	}
	cfg, err := mysql.ParseDSN(f.leat.DSN(database))
	must(f.T, err)
	cfg.InterpolateParams = true
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	must(f.T, err)
	db := sql.OpenDB(connector)
	f.Cleanup(func() { db.Close() })
	conn, err := db.Conn(f.ctx)
	must(f.T, err)
	return conn
}

// begin runs a statement in the background. The channel gets what came of it.
func (f *failing) begin(conn *sql.Conn, query string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- run(f.ctx, conn, query) }()
	return done
}

// run runs a statement and reads its rows to the end.
func run(ctx context.Context, conn *sql.Conn, query string) error {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() { //nolint:revive // the rows don't matter
	}
	return rows.Err()
}

// ok runs a statement that must succeed.
func (f *failing) ok(conn *sql.Conn, query string) {
	f.Helper()
	if err := run(f.ctx, conn, query); err != nil {
		f.Fatalf("%s: %v", query, err)
	}
}

// await is what came of a statement in the background, within a minute.
func (f *failing) await(done <-chan error) error {
	f.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		f.Fatal("a statement hangs")
		return nil
	}
}

// wantError checks number and text of an error that a client got.
func (f *failing) wantError(err error, number uint16, parts ...string) {
	f.Helper()
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) || refused.Number != number {
		f.Errorf("got %v, want error %d", err, number)
		return
	}
	for _, part := range parts {
		if !strings.Contains(refused.Message, part) {
			f.Errorf("got %q, want it to say %q", refused.Message, part)
		}
	}
}

// count is a number that a query returns on a server, past Leat.
func (f *failing) count(srv *localdb.Server, query string) string {
	f.Helper()
	v, err := srv.Value(f.ctx, query)
	must(f.T, err)
	return v
}

// busy waits until one of the servers has a request under way, and returns it.
func (f *failing) busy(among ...*localdb.Server) (srv *localdb.Server) {
	f.Helper()
	f.leat.waitStatus(f.ctx, "no server is at work", func(st *leatStatus) error {
		for _, s := range among {
			if st.server(s).Conns.Busy > 0 {
				srv = s
				return nil
			}
		}
		return fmt.Errorf("%+v", st.Servers)
	})
	return srv
}

// running waits until a server runs a statement that begins so.
func (f *failing) running(srv *localdb.Server, begin string) {
	f.Helper()
	eventually(f.ctx, f.T, begin+" doesn't run", func() error {
		query := "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '" + begin + "%'"
		if f.top.Flavor.Dialect() == "postgres" {
			query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '" + begin + "%'"
		}
		n, err := srv.Value(f.ctx, query)
		if err == nil && n != "1" {
			err = fmt.Errorf("%s do", n)
		}
		return err
	})
}

// waitHeld waits until so many writes wait for a primary.
func (f *failing) waitHeld(n int) {
	f.Helper()
	f.leat.waitStatus(f.ctx, "writes aren't held", func(st *leatStatus) error {
		if got := st.Shards[0].HeldWrites; got != n {
			return fmt.Errorf("%d are, want %d", got, n)
		}
		return nil
	})
}

// waitIdle waits until every conn is back in its pool.
func (f *failing) waitIdle() {
	f.Helper()
	f.leat.waitStatus(f.ctx, "conns are lent", func(st *leatStatus) error {
		for _, s := range st.Servers {
			if s.Conns.Busy+s.Conns.Waiting > 0 {
				return fmt.Errorf("%+v", s)
			}
		}
		return nil
	})
}

// leatStatus is what tests read of /api/status.
type leatStatus struct {
	Clients struct {
		Now int `json:"now"`
	} `json:"clients"`
	Requests struct {
		Retries uint64 `json:"retries"`
		Cancels uint64 `json:"cancels"`
	} `json:"requests"`
	Shards []struct {
		Name       string `json:"name"`
		Primary    string `json:"primary"`
		Split      bool   `json:"split"`
		Reason     string `json:"reason"`
		HeldWrites int    `json:"held_writes"`
		HeldReads  int    `json:"held_reads"`
	} `json:"shards"`
	Servers []serverStatus `json:"servers"`
}

type serverStatus struct {
	Address  string `json:"address"`
	Role     string `json:"role"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Requests uint64 `json:"requests"`
	Conns    struct {
		Open    int    `json:"open"`
		Busy    int    `json:"busy"`
		Waiting int    `json:"waiting"`
		Opened  uint64 `json:"opened"`
	} `json:"conns"`
}

// Status is what the program says of itself.
func (l *leat) Status(ctx context.Context) (*leatStatus, error) {
	code, body, err := l.Get(ctx, "/api/status")
	if err != nil || code != http.StatusOK {
		return nil, fmt.Errorf("/api/status: %d %w", code, err)
	}
	st := new(leatStatus)
	return st, json.Unmarshal([]byte(body), st)
}

// waitStatus waits until the program's status satisfies the check.
func (l *leat) waitStatus(ctx context.Context, what string, check func(*leatStatus) error) {
	l.t.Helper()
	eventually(ctx, l.t, what, func() error {
		st, err := l.Status(ctx)
		if err != nil {
			return err
		}
		return check(st)
	})
}

// waitState waits until the program sees a server in one of these states.
func (l *leat) waitState(ctx context.Context, srv *localdb.Server, states ...string) {
	l.t.Helper()
	l.waitStatus(ctx, fmt.Sprintf("server %s isn't %v", srv.Addr(), states), func(st *leatStatus) error {
		got := st.server(srv)
		if !slices.Contains(states, got.State) {
			return fmt.Errorf("it is %s: %s", got.State, got.Reason)
		}
		return nil
	})
}

// waitHealthy waits until the primary is the topology's and all others take reads.
func (l *leat) waitHealthy(ctx context.Context, top *localdb.Topology) {
	l.t.Helper()
	l.waitStatus(ctx, "the servers aren't well", func(st *leatStatus) error {
		if p := top.Primary().Addr(); st.Shards[0].Primary != p {
			return fmt.Errorf("the primary is %q (%s), want %q", st.Shards[0].Primary, st.Shards[0].Reason, p)
		}
		for _, s := range st.Servers {
			if s.State != "up" && s.State != "warming" {
				return fmt.Errorf("server %s is %s: %s", s.Address, s.State, s.Reason)
			}
		}
		return nil
	})
}

func (st *leatStatus) server(srv *localdb.Server) serverStatus {
	for _, s := range st.Servers {
		if s.Address == srv.Addr() {
			return s
		}
	}
	return serverStatus{}
}

// must fails the test where err isn't nil.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
