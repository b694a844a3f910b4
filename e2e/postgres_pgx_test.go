package e2e

// What an application does with pgx, in each of its query modes.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"leat/internal/localdb"
)

var pgxModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

func TestPostgresPgx(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := pgClientServers(ctx, t, flavor)
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 4})
		for _, mode := range pgxModes {
			t.Run(strings.ReplaceAll(mode.String(), " ", "_"), func(t *testing.T) {
				bothWays(ctx, t, top, l, func(ctx context.Context, address string, tr *transcript) error {
					return pgxAll(ctx, address, mode, tr)
				})
			})
		}
	})
}

func pgxAll(ctx context.Context, address string, mode pgx.QueryExecMode, tr *transcript) error {
	conn, err := connectPgx(ctx, address, mode)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p := &pgxTeller{conn: conn, tr: tr}
	if err := p.exec(ctx, "DROP TABLE IF EXISTS px", "CREATE TABLE px (id int PRIMARY KEY, v text, b bytea, f float8, at timestamptz, j jsonb, a int[])"); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{p.rows, p.copies, p.batches, p.pipeline, p.transactions, p.errors, p.cancels, p.changes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return p.listens(ctx, address)
}

// pgxTeller writes down what a connection of pgx is told.
type pgxTeller struct {
	conn *pgx.Conn
	tr   *transcript
}

type pgxQuerier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (p *pgxTeller) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		tag, err := p.conn.Exec(ctx, sql)
		if err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		p.tr.say("%s: %s", sql, tag)
	}
	return nil
}

// ask writes a query's rows down.
func (p *pgxTeller) ask(ctx context.Context, q pgxQuerier, sql string, args ...any) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		p.tr.say("%s: %s", sql, pgxError(err))
		return
	}
	p.tr.say("%s: %s", sql, pgxRows(rows))
}

func pgxRows(rows pgx.Rows) string {
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		return fmt.Sprint(values), err
	})
	if err != nil {
		return pgxError(err)
	}
	return fmt.Sprint(all, " ", rows.CommandTag())
}

// pgxError is all that a server says of an error.
func pgxError(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return fmt.Sprintf("%+v", *e)
	}
	return err.Error()
}

// rows inserts with parameters of several types, and reads its own writes.
func (p *pgxTeller) rows(ctx context.Context) error {
	day := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for i := range 10 {
		_, err := p.conn.Exec(ctx, "INSERT INTO px VALUES ($1, $2, $3, $4, $5, $6, $7)", i, fmt.Sprint("ä😀'", i), []byte{0, 255, '\''}, float64(i)/3,
			day.AddDate(0, 0, i), fmt.Sprintf(`{"n": %d}`, i), []int{i, -i})
		if err != nil {
			return err
		}
		p.ask(ctx, p.conn, "SELECT id, v, b, f, at AT TIME ZONE 'UTC', j, a FROM px WHERE id = $1", i)
	}
	p.ask(ctx, p.conn, "SELECT id FROM px WHERE id = ANY($1::int[]) ORDER BY id DESC", []int{1, 3, 5})
	p.ask(ctx, p.conn, "SELECT n FROM generate_series(1, $1::int) n WHERE n % 1000 = 0", 20000)
	p.ask(ctx, p.conn, "SELECT length($1::text), $2::text IS NULL", strings.Repeat("x", 300000), nil)
	return nil
}

// copies has rows copied in, too many at once, and such that the server refuses.
func (p *pgxTeller) copies(ctx context.Context) error {
	columns := []string{"id", "v"}
	copyIn := func(from, n int) {
		rows := pgx.CopyFromSlice(n, func(i int) ([]any, error) { return []any{from + i, fmt.Sprint("copied ", i)}, nil })
		count, err := p.conn.CopyFrom(ctx, pgx.Identifier{"px"}, columns, rows)
		if err != nil {
			p.tr.say("copied: %s", pgxError(err))
			return
		}
		p.tr.say("copied: %d", count)
	}
	copyIn(100, 5000)
	copyIn(5000, 500) // duplicates in the middle
	p.ask(ctx, p.conn, "SELECT count(*), sum(id) FROM px WHERE v LIKE $1", "copied%")
	failing := pgx.CopyFromFunc(func() ([]any, error) { return nil, errors.New("the source has failed") })
	_, err := p.conn.CopyFrom(ctx, pgx.Identifier{"px"}, columns, failing)
	p.tr.say("copied: %s", pgxError(err))
	var out strings.Builder
	tag, err := p.conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT id, v FROM px WHERE id < 105 ORDER BY id) TO STDOUT")
	p.tr.say("%q %s %v", out.String(), tag, err)
	p.ask(ctx, p.conn, "DELETE FROM px WHERE v LIKE $1", "copied%")
	return nil
}

// batches sends many statements at once, some of which fail.
func (p *pgxTeller) batches(ctx context.Context) error {
	for _, bad := range []bool{false, true} {
		var b pgx.Batch
		b.Queue("INSERT INTO px (id, v) VALUES ($1, $2)", 200, "batched")
		b.Queue("SELECT v FROM px WHERE id = $1", 200)
		if bad {
			b.Queue("SELECT 1 / $1::int", 0)
		}
		b.Queue("DELETE FROM px WHERE id = $1", 200)
		b.Queue("SELECT count(*) FROM px")
		results := p.conn.SendBatch(ctx, &b)
		for range b.Len() {
			rows, err := results.Query()
			if err != nil {
				p.tr.say("batch: %s", pgxError(err))
				continue
			}
			p.tr.say("batch: %s", pgxRows(rows))
		}
		if err := results.Close(); err != nil {
			p.tr.say("batch: %s", pgxError(err))
		}
	}
	p.ask(ctx, p.conn, "SELECT count(*) FROM px")
	return nil
}

// pipeline has several Syncs on the way at once.
func (p *pgxTeller) pipeline(ctx context.Context) error {
	pipe := p.conn.PgConn().StartPipeline(ctx)
	pipe.SendPrepare("piped", "SELECT $1::int + 1", nil)
	for i := range 20 {
		pipe.SendQueryPrepared("piped", [][]byte{fmt.Append(nil, i)}, nil, nil)
		if i%5 == 4 {
			pipe.SendQueryParams("SELECT 1 / 0", nil, nil, nil, nil)
			pipe.SendQueryParams("SELECT 'skipped'", nil, nil, nil, nil)
		}
		if i%2 == 0 {
			if err := pipe.Sync(); err != nil {
				return err
			}
		}
	}
	pipe.SendDeallocate("piped")
	if err := pipe.Sync(); err != nil {
		return err
	}
	for {
		results, err := pipe.GetResults()
		switch results := results.(type) {
		case *pgconn.ResultReader:
			r := results.Read()
			p.tr.say("pipeline: %v %v", pgAnswer(r), r.Err)
		default:
			if err == nil && results == nil {
				return pipe.Close()
			}
			p.tr.say("pipeline: %T %v", results, err)
		}
	}
}

// transactions nest.
func (p *pgxTeller) transactions(ctx context.Context) error {
	undone := errors.New("undone")
	err := pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		p.ask(ctx, tx, "INSERT INTO px (id) VALUES (300) RETURNING id")
		inner := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			p.ask(ctx, tx, "INSERT INTO px (id) VALUES (301) RETURNING id")
			p.ask(ctx, tx, "INSERT INTO px (id) VALUES (301) RETURNING id")
			p.ask(ctx, tx, "SELECT 'in a failed transaction'")
			return undone
		})
		p.tr.say("inner: %v", inner)
		p.ask(ctx, tx, "SELECT id FROM px WHERE id >= $1", 300)
		return nil
	})
	p.tr.say("outer: %v", err)
	for _, options := range []pgx.TxOptions{{AccessMode: pgx.ReadOnly}, {IsoLevel: pgx.Serializable}, {IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable}} {
		err := pgx.BeginTxFunc(ctx, p.conn, options, func(tx pgx.Tx) error {
			p.ask(ctx, tx, "SELECT id FROM px WHERE id >= $1", 300)
			p.ask(ctx, tx, "SHOW transaction_read_only")
			p.ask(ctx, tx, "SHOW transaction_isolation")
			p.ask(ctx, tx, "DELETE FROM px WHERE id >= $1", 300)
			return undone
		})
		p.tr.say("%v: %v", options, err)
	}
	p.ask(ctx, p.conn, "SELECT id FROM px WHERE id >= $1", 300)
	return nil
}

// errors leave a connection that can be used.
func (p *pgxTeller) errors(ctx context.Context) error {
	for _, sql := range []string{"SELEC 1", "SELECT * FROM missing", "SELECT 1 / (id - 5) FROM px ORDER BY id", "INSERT INTO px (id) VALUES (5)", ""} {
		p.ask(ctx, p.conn, sql)
	}
	p.ask(ctx, p.conn, "SELECT $1::int", "no number")
	p.ask(ctx, p.conn, "SELECT 'all is well'")
	return nil
}

// cancels has a query cancelled by its context: pgx then closes its connection.
func (p *pgxTeller) cancels(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, p.conn.Config())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = conn.Exec(short, "SELECT pg_sleep(30)")
	p.tr.say("deadline: %t, closed: %t", errors.Is(err, context.DeadlineExceeded), conn.IsClosed())

	running := make(chan error, 1)
	go func() {
		_, err := p.conn.Exec(ctx, "SELECT pg_sleep(30)")
		running <- err
	}()
	for { // until it comes while the query runs
		if err := p.conn.PgConn().CancelRequest(ctx); err != nil {
			return err
		}
		select {
		case err := <-running:
			p.tr.say("cancelled: %s", pgxError(err))
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// changes alters a table under statements that are prepared.
func (p *pgxTeller) changes(ctx context.Context) error {
	const sql = "SELECT * FROM py WHERE id = $1"
	if err := p.exec(ctx, "DROP TABLE IF EXISTS py", "CREATE TABLE py (id int)", "INSERT INTO py VALUES (1)"); err != nil {
		return err
	}
	p.ask(ctx, p.conn, sql, 1)
	p.ask(ctx, p.conn, sql, 1)
	if err := p.exec(ctx, "ALTER TABLE py ADD COLUMN more text DEFAULT 'more'"); err != nil {
		return err
	}
	for range 3 {
		p.ask(ctx, p.conn, sql, 1)
	}
	return p.conn.DeallocateAll(ctx)
}

// listens waits for what another client tells.
func (p *pgxTeller) listens(ctx context.Context, address string) error {
	other, err := connectPgx(ctx, address, p.conn.Config().DefaultQueryExecMode)
	if err != nil {
		return err
	}
	defer other.Close(context.WithoutCancel(ctx))
	if err := p.exec(ctx, "LISTEN weather"); err != nil {
		return err
	}
	for i := range 3 {
		if _, err := other.Exec(ctx, "SELECT pg_notify('weather', $1)", fmt.Sprint("rain ", i)); err != nil {
			return err
		}
		n, err := p.conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		p.tr.say("told: %s %s", n.Channel, n.Payload)
	}
	if err := p.exec(ctx, "UNLISTEN weather", "NOTIFY weather", "SELECT 1"); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = p.conn.WaitForNotification(short)
	p.tr.say("told nothing: %t", errors.Is(err, context.DeadlineExceeded))
	return nil
}
