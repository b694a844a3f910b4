package main

// Load from this program: log-ins, and what sysbench can't do: clients with DEPRECATE_EOF, replies of many rows.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

// runLoad runs a workload against a target from goroutines, one per connection, each with one query
// on its way at a time. CPU time is taken from when all are logged in.
func runLoad(ctx context.Context, t *target, w workload, length time.Duration) (sample, error) {
	clients := make([]*lookupClient, w.conns)
	for i := range clients {
		c, err := newLookupClient(ctx, t, w, uint64(i))
		if err != nil {
			return sample{}, fmt.Errorf("client of %s: %w", t.name, err)
		}
		defer c.conn.Close()
		clients[i] = c
	}
	return drive(t, w.conns, length, func(i int, until time.Time, latencies *histogram) error {
		return clients[i].run(until, latencies)
	})
}

// runLogins connects, logs in and leaves, over and over, on w.conns connections at a time.
func (b *bench) runLogins(ctx context.Context, t *target, w workload, length time.Duration) (sample, error) {
	return drive(t, w.conns, length, func(_ int, until time.Time, latencies *histogram) error {
		for now := time.Now(); now.Before(until); now = time.Now() {
			conn, err := b.login(ctx, t.address)
			if err != nil {
				return err
			}
			latencies.add(time.Since(now), 1)
			conn.Close()
		}
		return nil
	})
}

// drive runs n goroutines for a time, and measures.
func drive(t *target, n int, length time.Duration, run func(i int, until time.Time, latencies *histogram) error) (sample, error) {
	meter := meter{pid: t.pid()}
	if err := meter.start(); err != nil {
		return sample{}, err
	}
	begin := time.Now()
	latencies := make([]histogram, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = run(i, begin.Add(length), &latencies[i]) })
	}
	wg.Wait()
	took := time.Since(begin)
	if err := meter.stop(); err != nil {
		return sample{}, err
	}
	var all histogram
	for i := range n {
		if errs[i] != nil {
			return sample{}, fmt.Errorf("through %s: %w", t.name, errs[i])
		}
		all.merge(&latencies[i])
	}
	s := sample{queries: all.count, perSecond: float64(all.count) / took.Seconds(), cpu: meter.used}
	s.percentiles(&all)
	return s, nil
}

// lookupClient is one connection and what its goroutine does.
type lookupClient struct {
	conn      *rawmysql.Conn
	statement uint32 // 0 in text mode
	rows      int
	random    *rand.Rand
}

func clientOptions(deprecateEOF bool) rawmysql.Options {
	opts := rawmysql.Options{User: localdb.AppUser, Password: localdb.AppPassword, Database: database}
	if deprecateEOF {
		opts.Flags = rawmysql.DeprecateEOF
	}
	return opts
}

func newLookupClient(ctx context.Context, t *target, w workload, seed uint64) (*lookupClient, error) {
	conn, err := rawmysql.Dial(ctx, t.address, clientOptions(w.deprecateEOF))
	if err != nil {
		return nil, err
	}
	c := &lookupClient{conn: conn, rows: max(w.rows, 1), random: rand.New(rand.NewPCG(seed, 7))}
	if w.mode != modePrepared {
		return c, nil
	}
	reply, err := conn.Do(rawmysql.PreparePayload(c.where("?", "?", "?")))
	if err == nil {
		err = reply.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("prepare: %w", err)
	}
	c.statement, _, _ = reply.StatementID()
	return c, nil
}

// where is the lookup's text: one row by its key, or a range of the key for more rows.
func (c *lookupClient) where(tenant, first, last string) string {
	s := "SELECT " + featureColumns + " FROM user_features WHERE tenant_id = " + tenant + " AND user_id "
	if c.rows == 1 {
		return s + "= " + first
	}
	return s + "BETWEEN " + first + " AND " + last
}

func (c *lookupClient) run(until time.Time, latencies *histogram) error {
	for now := time.Now(); now.Before(until); {
		payload, err := c.payload()
		if err != nil {
			return err
		}
		reply, err := c.conn.Do(payload)
		if err == nil {
			err = reply.Err()
		}
		if err != nil {
			return err
		}
		done := time.Now()
		latencies.add(done.Sub(now), 1)
		now = done
	}
	return nil
}

// payload is the next lookup, of a random entity.
func (c *lookupClient) payload() ([]byte, error) {
	tenant := tenants[c.random.IntN(len(tenants))]
	first := 1 + c.random.IntN(usersPerTenant-c.rows+1)
	last := first + c.rows - 1
	if c.statement == 0 {
		text := c.where("'"+tenant+"'", fmt.Sprint(first), fmt.Sprint(last))
		return append([]byte{rawmysql.ComQuery}, text...), nil
	}
	args := []any{tenant, first, last}
	if c.rows == 1 {
		args = args[:2]
	}
	return rawmysql.ExecutePayload(c.statement, rawmysql.NoCursor, args...)
}
