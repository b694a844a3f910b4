package e2e

// The drivers of Go in transaction pooling: every client gets the answers to its own statements, and nothing of another.

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/lib/pq" // the driver "postgres"

	"leat/internal/localdb"
)

// pgDrivers are the ways in which drivers run a statement with a parameter. Each returns a session: a function that asks,
// and one that ends it.
var pgDrivers = []struct {
	name string
	open func(ctx context.Context, address string) (ask pgAsk, done func(), err error)
}{
	{"lib_pq_default", openPq()},
	{"lib_pq_binary_parameters", openPq("binary_parameters=yes")},
	{"pgx_describe_exec", openPgx(pgx.QueryExecModeDescribeExec)},
	{"pgx_cache_statement", openPgx(pgx.QueryExecModeCacheStatement)},
	{"pgx_cache_describe", openPgx(pgx.QueryExecModeCacheDescribe)},
	{"pgx_exec", openPgx(pgx.QueryExecModeExec)},
	{"pgx_simple_protocol", openPgx(pgx.QueryExecModeSimpleProtocol)},
}

// pgAsk runs a query that answers with a number and a text.
type pgAsk func(ctx context.Context, query string, number int) (int, string, error)

func openPq(options ...string) func(context.Context, string) (pgAsk, func(), error) {
	return func(ctx context.Context, address string) (pgAsk, func(), error) {
		db, err := sql.Open("postgres", pgURL(address, options...))
		if err != nil {
			return nil, nil, err
		}
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		ask := func(ctx context.Context, query string, number int) (n int, text string, err error) {
			err = conn.QueryRowContext(ctx, query, number).Scan(&n, &text)
			return n, text, err
		}
		return ask, func() { conn.Close(); db.Close() }, nil
	}
}

func openPgx(mode pgx.QueryExecMode) func(context.Context, string) (pgAsk, func(), error) {
	return func(ctx context.Context, address string) (pgAsk, func(), error) {
		conn, err := connectPgx(ctx, address, mode)
		if err != nil {
			return nil, nil, err
		}
		ask := func(ctx context.Context, query string, number int) (n int, text string, err error) {
			err = conn.QueryRow(ctx, query, number).Scan(&n, &text)
			return n, text, err
		}
		return ask, func() { conn.Close(context.WithoutCancel(ctx)) }, nil
	}
}

func connectPgx(ctx context.Context, address string, mode pgx.QueryExecMode) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(pgURL(address))
	if err != nil {
		return nil, err
	}
	cfg.DefaultQueryExecMode = mode
	return pgx.ConnectConfig(ctx, cfg)
}

// tally counts the answers of one driver.
type tally struct {
	correct, wrong, failed atomic.Int64
	first                  atomic.Pointer[string] // the first that isn't correct
}

func (c *tally) add(got, want string, err error) {
	switch {
	case err != nil:
		c.failed.Add(1)
		got = err.Error()
	case got != want:
		c.wrong.Add(1)
	default:
		c.correct.Add(1)
		return
	}
	what := fmt.Sprintf("got %s, want %s", got, want)
	c.first.CompareAndSwap(nil, &what)
}

// TestPostgresDrivers is case 14 for each driver: 16 clients, 300 requests each, 7 texts, 4 conns per server. All the
// answers are right.
func TestPostgresDrivers(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := pgClientServers(ctx, t, flavor)
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 4})
		for _, driver := range pgDrivers {
			t.Run("014_"+driver.name, func(t *testing.T) {
				var count tally
				var wg sync.WaitGroup
				for n := range mixClients {
					wg.Go(func() {
						ask, done, err := driver.open(ctx, l.Addr)
						if err != nil {
							t.Error(err)
							return
						}
						defer done()
						askMany(ctx, n, ask, &count)
					})
				}
				wg.Wait()
				if got := count.correct.Load(); got != mixClients*mixRequests {
					t.Errorf("%d correct, %d wrong, %d failed of %d; the first: %s", got, count.wrong.Load(), count.failed.Load(),
						mixClients*mixRequests, *count.first.Load())
				}
			})
		}
	})
}

// askMany is one client's requests.
func askMany(ctx context.Context, n int, ask pgAsk, count *tally) {
	for i := range mixRequests {
		number := n*mixRequests + i
		text := fmt.Sprint("text ", (i+n)%mixTexts)
		gotNumber, gotText, err := ask(ctx, "select $1::int, '"+text+"'", number)
		count.add(fmt.Sprint(gotNumber, gotText), fmt.Sprint(number, text), err)
	}
}
