package e2e

// What an application does with lib/pq, and with database/sql over it.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"leat/internal/localdb"
)

func TestPostgresPq(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := pgClientServers(ctx, t, flavor)
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 4})
		for name, options := range map[string][]string{
			"default": nil, "binary_parameters": {"binary_parameters=yes"}, "settings": {"search_path=other,public", "application_name=pq", "TimeZone=Asia/Tokyo"},
		} {
			t.Run(name, func(t *testing.T) {
				bothWays(ctx, t, top, l, func(ctx context.Context, address string, tr *transcript) error {
					return pqAll(ctx, pgURL(address, options...), tr)
				})
			})
		}
	})
}

func pqAll(ctx context.Context, url string, tr *transcript) error {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	q := &pqTeller{conn: conn, tr: tr}
	for _, step := range []func(context.Context) error{q.rows, q.prepared, q.copies, q.transactions, q.errors} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := q.listens(ctx, url); err != nil {
		return err
	}
	q.cancels(ctx, db)
	return nil
}

// pqTeller writes down what a connection of lib/pq is told.
type pqTeller struct {
	conn *sql.Conn
	tr   *transcript
}

type sqlQuerier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// ask writes the rows of all of a query's results down.
func (q *pqTeller) ask(ctx context.Context, on sqlQuerier, query string, args ...any) {
	rows, err := on.QueryContext(ctx, query, args...)
	if err != nil {
		q.tr.say("%s: %s", query, pqError(err))
		return
	}
	q.tellRows(query, rows)
}

func (q *pqTeller) tellRows(what string, rows *sql.Rows) {
	defer rows.Close()
	var text []string
	for more := true; more; more = rows.NextResultSet() {
		columns, err := rows.Columns()
		text = append(text, fmt.Sprint(columns, err))
		for rows.Next() {
			values, targets := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := rows.Scan(targets...); err != nil {
				text = append(text, err.Error())
			}
			text = append(text, fmt.Sprintf("%q", values))
		}
	}
	if err := rows.Err(); err != nil {
		text = append(text, pqError(err))
	}
	q.tr.say("%s: %s", what, strings.Join(text, "; "))
}

// pqError is all that a server says of an error.
func pqError(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("%+v", *e)
	}
	return err.Error()
}

func (q *pqTeller) exec(ctx context.Context, statements ...string) {
	for _, query := range statements {
		res, err := q.conn.ExecContext(ctx, query)
		if err != nil {
			q.tr.say("%s: %s", query, pqError(err))
			continue
		}
		n, err := res.RowsAffected()
		q.tr.say("%s: %d %v", query, n, err)
	}
}

func (q *pqTeller) rows(ctx context.Context) error {
	q.exec(ctx, "DROP TABLE IF EXISTS public.pq", "CREATE TABLE public.pq (id serial PRIMARY KEY, v text, b bytea, at timestamptz, a int[])")
	for i := range 10 {
		q.ask(ctx, q.conn, "INSERT INTO public.pq (v, b, at, a) VALUES ($1, $2, $3, $4) RETURNING id", fmt.Sprint("ä😀'\\", i), []byte{0, 255, '\''},
			time.Date(2024, 2, 29, 12, 0, i, 0, time.UTC), pq.Array([]int{i, -i}))
		q.ask(ctx, q.conn, "SELECT v, b, at, a FROM public.pq WHERE id = $1", i+1)
	}
	q.ask(ctx, q.conn, "SELECT v FROM public.pq WHERE id = ANY($1) ORDER BY id", pq.Array([]int64{2, 3}))
	q.ask(ctx, q.conn, "SHOW search_path")
	q.ask(ctx, q.conn, "SHOW application_name")
	q.ask(ctx, q.conn, "SELECT 1 AS a; SELECT 2 AS b, 3 AS c; SELECT 4")
	q.exec(ctx, "UPDATE public.pq SET v = v || '!' WHERE id <= 3", "SELECT 1; DELETE FROM public.pq WHERE id = 10", "")
	return nil
}

// prepared has statements of which several are open at once.
func (q *pqTeller) prepared(ctx context.Context) error {
	var open []*sql.Stmt
	for i := range 12 {
		stmt, err := q.conn.PrepareContext(ctx, fmt.Sprintf("SELECT $1::text || ' of %d', id FROM public.pq WHERE id = $2", i%5))
		if err != nil {
			return err
		}
		defer stmt.Close()
		open = append(open, stmt)
	}
	for i := range 30 {
		stmt := open[i*7%len(open)]
		rows, err := stmt.QueryContext(ctx, fmt.Sprint("statement ", i), i%10)
		if err != nil {
			return err
		}
		q.tellRows("prepared", rows)
		if i == 15 {
			if err := open[0].Close(); err != nil {
				return err
			}
			open = open[1:]
		}
	}
	_, err := q.conn.PrepareContext(ctx, "SELECT missing FROM public.pq")
	q.tr.say("prepare: %s", pqError(err))
	return nil
}

// copies has rows copied in, and such that the server refuses.
func (q *pqTeller) copies(ctx context.Context) error {
	for _, from := range []int{1000, 1000} { // the second time they are there
		tx, err := q.conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		stmt, err := tx.PrepareContext(ctx, "COPY public.pq (id, v) FROM STDIN")
		if err != nil {
			return err
		}
		for i := range 3000 {
			if _, err = stmt.ExecContext(ctx, from+i, "copied\t\\"); err != nil {
				break
			}
		}
		if err == nil {
			_, err = stmt.ExecContext(ctx)
		}
		if err != nil {
			q.tr.say("copied: %s", pqError(err))
		}
		stmt.Close()
		q.tr.say("committed: %t", tx.Commit() == nil)
		q.ask(ctx, q.conn, "SELECT count(*), min(v) FROM public.pq WHERE id >= 1000")
	}
	return nil
}

func (q *pqTeller) transactions(ctx context.Context) error {
	for _, options := range []*sql.TxOptions{nil, {ReadOnly: true}, {Isolation: sql.LevelSerializable}, {Isolation: sql.LevelRepeatableRead, ReadOnly: true}} {
		tx, err := q.conn.BeginTx(ctx, options)
		if err != nil {
			return err
		}
		q.ask(ctx, tx, "SHOW transaction_isolation")
		q.ask(ctx, tx, "SHOW transaction_read_only")
		q.ask(ctx, tx, "SELECT count(*) FROM public.pq WHERE id < $1", 1000)
		q.ask(ctx, tx, "DELETE FROM public.pq WHERE id = $1 RETURNING id", 1)
		q.ask(ctx, tx, "SELECT count(*) FROM public.pq WHERE id < $1", 1000)
		q.tr.say("rollback: %v", tx.Rollback())
	}
	tx, err := q.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	q.ask(ctx, tx, "SELECT 1 / 0")
	q.ask(ctx, tx, "SELECT $1::text", "in a failed transaction")
	q.tr.say("commit: %v", tx.Commit())
	q.ask(ctx, q.conn, "SELECT count(*) FROM public.pq WHERE id < $1", 1000)
	return nil
}

func (q *pqTeller) errors(ctx context.Context) error {
	for _, query := range []string{"SELEC 1", "SELECT 1 / (id - 5) FROM public.pq ORDER BY id", "INSERT INTO public.pq (id) VALUES (5)", "SELECT 1; SELECT 1 / 0; SELECT 2"} {
		q.ask(ctx, q.conn, query)
	}
	q.ask(ctx, q.conn, "SELECT $1::int", "no number")
	q.exec(ctx, "DO $$ BEGIN RAISE EXCEPTION 'boom' USING ERRCODE = 'LT001', HINT = 'a hint'; END $$")
	return nil
}

// cancels has a query cancelled by its context: lib/pq then gives its connection up.
func (q *pqTeller) cancels(ctx context.Context, db *sql.DB) {
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err := q.conn.ExecContext(short, "SELECT pg_sleep(30)")
	q.tr.say("cancelled: %s", pqError(err))
	q.ask(ctx, q.conn, "SELECT 'a connection that was given up'")
	q.ask(ctx, db, "SELECT 'all is well'")
}

// listens has a connection that does nothing but wait.
func (q *pqTeller) listens(ctx context.Context, url string) error {
	listener := pq.NewListener(url, time.Second, time.Second, nil)
	defer listener.Close()
	for _, channel := range []string{"weather", "Traffic Jams"} {
		if err := listener.Listen(channel); err != nil {
			return err
		}
	}
	for i := range 3 {
		q.ask(ctx, q.conn, "SELECT pg_notify('Traffic Jams', $1)", fmt.Sprint("jam ", i))
		select {
		case n := <-listener.Notify:
			q.tr.say("told: %s %s", n.Channel, n.Extra)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return listener.UnlistenAll()
}
