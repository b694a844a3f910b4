package e2e

// What a session sets up is its own: another one that uses the same conns sees nothing of it, neither while the first is
// there nor when it is gone.

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"leat/internal/localdb"
)

// pgLeaks are what crossed from one client to another in poolers.
var pgLeaks = []struct {
	name  string
	setUp []string // by A
	ask   string   // by A and by B
	// holds says that A must keep a conn for it: then there has to be another for B
	holds bool
}{
	{"search_path", []string{"SET search_path = other, public"}, "SELECT current_schemas(false)", false},
	// A name of one's own stays known to a conn, as an empty one: no command of PostgreSQL makes it unknown again.
	{"set_config", []string{"SELECT set_config('app.tenant', 'a', false)"}, "SELECT nullif(current_setting('app.tenant', true), '')", false},
	{"set_role", []string{"SET ROLE app_reader"}, "SELECT current_user, session_user", false},
	{"statement_timeout", []string{"SET statement_timeout = '61s'"}, "SHOW statement_timeout", false},
	{"in_a_transaction", []string{"BEGIN", "SET search_path = other", "SET LOCAL work_mem = '1MB'", "COMMIT"}, "SELECT current_schemas(false), current_setting('work_mem')", false},
	{"session_characteristics", []string{"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"}, "SHOW default_transaction_read_only", false},
	{"temporary_table", []string{"CREATE TEMPORARY TABLE mine (x int)", "INSERT INTO mine VALUES (1), (2)"}, "SELECT count(*) FROM mine", true},
	{"temporary_table_that_hides", []string{"CREATE TEMPORARY TABLE ours AS SELECT 9 AS x"}, "SELECT x FROM ours", true},
	{"advisory_lock", []string{"SELECT pg_advisory_lock(42)"}, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", true},
	{"listen", []string{"LISTEN news"}, "SELECT pg_listening_channels()", true},
	{"sql_prepare", []string{"PREPARE mine (int) AS SELECT $1 + 1"}, "EXECUTE mine(41)", true},
	{"held_cursor", []string{"BEGIN", "DECLARE mine CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 9)", "COMMIT"}, "FETCH 1 FROM mine", true},
	{"load_of_all", []string{
		"SET TimeZone = 'Asia/Tokyo'", "SET DateStyle = 'German'", "SET extra_float_digits = 0", "SET bytea_output = 'escape'", "SET IntervalStyle = 'iso_8601'",
	}, "SELECT timestamptz '2024-05-01 12:00+00', 0.1::float8 + 0.2, '\\x00ff'::bytea, interval '1 day'", false},
}

// TestPostgresLeaks runs each by the simple and by the extended protocol, over two conns; and by the simple one over a single
// conn where A needs none for itself.
func TestPostgresLeaks(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := pgClientServers(ctx, t, flavor)
		err := top.Primary().ExecIn(ctx, pgClientsDatabase, "SET ROLE app; CREATE SCHEMA other; CREATE TABLE ours AS SELECT 1 AS x")
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{1, 2} {
			l := startLeat(ctx, t, top, leatOptions{PoolSize: size})
			for _, leak := range pgLeaks {
				for _, extended := range []bool{false, true} {
					if size == 1 && (leak.holds || extended) {
						continue
					}
					name := fmt.Sprintf("%s_over_%d_conns_extended_%t", leak.name, size, extended)
					t.Run(name, func(t *testing.T) {
						bothWays(ctx, t, top, l, func(ctx context.Context, address string, tr *transcript) error {
							return runLeak(ctx, address, tr, leak.setUp, leak.ask, extended)
						})
					})
				}
			}
			l.Stop()
		}
	})
}

// teller is a client of which each question is written down with its answer.
type teller struct {
	name     string
	conn     *pgconn.PgConn
	extended bool
	tr       *transcript
}

func newTeller(ctx context.Context, name, address string, extended bool, tr *transcript) (*teller, error) {
	cfg, err := pgconn.ParseConfig(pgURL(address))
	if err != nil {
		return nil, err
	}
	c := &teller{name: name, extended: extended, tr: tr}
	cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		tr.say("%s is notified: %s %s", name, n.Channel, n.Payload)
	}
	c.conn, err = pgconn.ConnectConfig(ctx, cfg)
	return c, err
}

func (c *teller) close() { _ = c.conn.Close(context.Background()) }

// do runs one statement.
func (c *teller) do(ctx context.Context, sql string) {
	var answer []string
	var err error
	if c.extended {
		result := c.conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
		answer, err = pgAnswer(result), result.Err
	} else {
		var results []*pgconn.Result
		results, err = c.conn.Exec(ctx, sql).ReadAll()
		for _, result := range results {
			answer = append(answer, pgAnswer(result)...)
		}
	}
	if err != nil {
		answer = append(answer, err.Error())
	}
	c.tr.say("%s: %s: %s", c.name, sql, strings.Join(answer, "; "))
}

// pgAnswer is the text of a result's rows and its tag.
func pgAnswer(r *pgconn.Result) (text []string) {
	for _, row := range r.Rows {
		var fields []string
		for _, v := range row {
			if v == nil {
				v = []byte("NULL")
			}
			fields = append(fields, string(v))
		}
		text = append(text, strings.Join(fields, "|"))
	}
	return append(text, r.CommandTag.String())
}

// runLeak has A set something up, and A and B ask for it in turn: alone and in a transaction, which runs on the
// primary. Then A leaves, and a third one looks as well.
func runLeak(ctx context.Context, address string, tr *transcript, setUp []string, ask string, extended bool) error {
	a, err := newTeller(ctx, "A", address, extended, tr)
	if err != nil {
		return err
	}
	defer a.close()
	b, err := newTeller(ctx, "B", address, extended, tr)
	if err != nil {
		return err
	}
	defer b.close()
	inTx := func(c *teller) {
		for _, sql := range []string{"BEGIN", ask, "ROLLBACK"} {
			c.do(ctx, sql)
		}
	}
	for _, sql := range setUp {
		a.do(ctx, sql)
	}
	for range 3 {
		b.do(ctx, ask)
		a.do(ctx, ask)
		inTx(b)
		inTx(a)
	}
	b.do(ctx, "NOTIFY news, 'from B'")
	a.do(ctx, ask)
	b.do(ctx, ask)
	a.close()
	inTx(b)
	b.do(ctx, "NOTIFY news, 'from B again'")
	c, err := newTeller(ctx, "C", address, extended, tr)
	if err != nil {
		return err
	}
	defer c.close()
	c.do(ctx, ask)
	inTx(c)
	inTx(b)
	return nil
}
