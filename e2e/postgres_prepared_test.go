package e2e

// Prepared statements of many clients over few conns: each must run its own statement, in each way that drivers have.

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"leat/internal/localdb"
	"leat/internal/rawpostgres"
)

const (
	mixClients  = 16
	mixRequests = 300
	mixTexts    = 7
)

// pgModes are how drivers run a statement with a parameter. Each returns the rows of its last reply.
var pgModes = []struct {
	name string
	run  func(c *rawpostgres.Conn, text int, sql string, arg []rawpostgres.Arg) (*rawpostgres.Reply, error)
}{
	// lib/pq by default, pgx by QueryExecModeDescribeExec
	{"unnamed, in two runs", func(c *rawpostgres.Conn, _ int, sql string, arg []rawpostgres.Arg) (*rawpostgres.Reply, error) {
		r, err := c.Do(rawpostgres.Parse("", sql), rawpostgres.Describe('S', ""), rawpostgres.Sync())
		if err != nil || r.Err() != nil {
			return r, err
		}
		return c.Do(rawpostgres.Bind("", "", arg), rawpostgres.Execute("", 0), rawpostgres.Sync())
	}},
	// pgx by QueryExecModeExec, lib/pq with binary_parameters
	{"unnamed, in one run", func(c *rawpostgres.Conn, _ int, sql string, arg []rawpostgres.Arg) (*rawpostgres.Reply, error) {
		return c.Do(rawpostgres.Parse("", sql), rawpostgres.Bind("", "", arg), rawpostgres.Describe('P', ""), rawpostgres.Execute("", 0), rawpostgres.Sync())
	}},
	// pgx by default: prepared once, kept
	{"named, kept", func(c *rawpostgres.Conn, text int, sql string, arg []rawpostgres.Arg) (*rawpostgres.Reply, error) {
		name := fmt.Sprint("s", text)
		r, err := c.Do(rawpostgres.Bind("", name, arg), rawpostgres.Execute("", 0), rawpostgres.Sync())
		if err != nil || r.Err() == nil {
			return r, err
		}
		if r, err = c.Do(rawpostgres.Parse(name, sql), rawpostgres.Describe('S', name), rawpostgres.Sync()); err != nil || r.Err() != nil {
			return r, err
		}
		return c.Do(rawpostgres.Bind("", name, arg), rawpostgres.Execute("", 0), rawpostgres.Sync())
	}},
	// database/sql's Prepare, Query, Close
	{"named, closed", func(c *rawpostgres.Conn, _ int, sql string, arg []rawpostgres.Arg) (*rawpostgres.Reply, error) {
		r, err := c.Do(rawpostgres.Parse("x", sql), rawpostgres.Describe('S', "x"), rawpostgres.Sync())
		if err != nil || r.Err() != nil {
			return r, err
		}
		rows, err := c.Do(rawpostgres.Bind("", "x", arg), rawpostgres.Execute("", 0), rawpostgres.Sync())
		if err != nil {
			return rows, err
		}
		if r, err = c.Do(rawpostgres.CloseObject('S', "x"), rawpostgres.Sync()); err != nil || r.Err() != nil {
			return r, err
		}
		return rows, nil
	}},
	// asyncpg: Flush after Describe, Sync only at the end
	{"named, with a flush", func(c *rawpostgres.Conn, _ int, sql string, arg []rawpostgres.Arg) (*rawpostgres.Reply, error) {
		if err := c.Send(rawpostgres.Parse("y", sql), rawpostgres.Describe('S', "y"), rawpostgres.Flush()); err != nil {
			return nil, err
		}
		if r, err := c.ReadUntil("TE"); err != nil || r.Err() != nil {
			return r, err
		}
		return c.Do(rawpostgres.Bind("", "y", arg), rawpostgres.Execute("", 0), rawpostgres.CloseObject('S', "y"), rawpostgres.Sync())
	}},
	{"simple", func(c *rawpostgres.Conn, text int, _ string, arg []rawpostgres.Arg) (*rawpostgres.Reply, error) {
		return c.Query(fmt.Sprintf("SELECT %s::int, 'text %d'", arg[0].Value, text))
	}},
}

// TestPostgresPrepared is case 14 for each mode: 16 clients, 300 requests each, 7 texts, 2 conns.
func TestPostgresPrepared(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		l := startLeat(ctx, t, sharedServers(ctx, t, flavor), leatOptions{PoolSize: 2})
		runPgModes(ctx, t, l.Addr)
	})
}

func runPgModes(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	for _, mode := range pgModes {
		t.Run(mode.name, func(t *testing.T) {
			var wg sync.WaitGroup
			for n := range mixClients {
				wg.Go(func() { mixClient(ctx, t, address, n, mode.run) })
			}
			wg.Wait()
		})
	}
}

// mixClient runs one client's requests, of which each must echo its own number and text.
func mixClient(ctx context.Context, t *testing.T, address string, n int,
	run func(*rawpostgres.Conn, int, string, []rawpostgres.Arg) (*rawpostgres.Reply, error),
) {
	c, err := rawpostgres.Dial(ctx, address, rawpostgres.Options{
		User: localdb.AppUser, Password: localdb.AppPassword, Database: localdb.AppDatabase,
	})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	for i := range mixRequests {
		text := (i + n) % mixTexts
		number := strconv.Itoa(n*mixRequests + i)
		r, err := run(c, text, fmt.Sprintf("SELECT $1::int, 'text %d'", text), []rawpostgres.Arg{{Value: []byte(number)}})
		if err == nil {
			err = r.Err()
		}
		if err != nil {
			t.Errorf("client %d, request %d: %v", n, i, err)
			return
		}
		want := fmt.Sprintf("[[%s text %d]]", number, text)
		if got := fmt.Sprint(r.Rows()); got != want {
			t.Errorf("client %d, request %d: got %s, want %s", n, i, got, want)
			return
		}
	}
}
