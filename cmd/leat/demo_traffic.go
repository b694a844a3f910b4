// The demo's traffic: look-ups one by one and in batches, a writer that refreshes features, and a client
// that checks that it reads what it wrote.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// work is one kind of request that the demo sends to a store.
type work struct {
	name    string
	store   *onlineStore
	clients int
	pause   time.Duration // of one client between two requests
	do      func(ctx context.Context, conn *sql.Conn, client int) error
	tally
}

// work lists the traffic of a store. Stale counts reads that missed the same client's own write.
func (s *onlineStore) work(stale *atomic.Uint64) []*work {
	all := []*work{
		{name: "look-up of one user", clients: 4, pause: 2 * time.Millisecond, do: s.lookUpUser},
		{name: "look-up of one entity (Feast)", clients: 2, pause: 2 * time.Millisecond, do: s.lookUpEntity},
		{name: "batch of 100 users", clients: 1, pause: 10 * time.Millisecond, do: s.lookUpBatch},
		{name: "refresh of a feature", clients: 1, pause: 5 * time.Millisecond, do: s.refreshEntity},
		{name: "write, then read it back", clients: 2, pause: 10 * time.Millisecond, do: func(ctx context.Context, c *sql.Conn, client int) error {
			return s.writeAndRead(ctx, c, client, stale)
		}},
	}
	for _, w := range all {
		w.store = s
	}
	return all
}

// drainRows reads a result to its end and holds the number of its rows to what it should be.
func drainRows(rows *sql.Rows, err error, want int) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if n != want {
		return fmt.Errorf("got %d rows, want %d", n, want)
	}
	return nil
}

func (s *onlineStore) lookUpUser(ctx context.Context, c *sql.Conn, _ int) error {
	id := rand.IntN(demoUsers)
	rows, err := c.QueryContext(ctx, s.sql.user, tenantOf(id), id)
	return drainRows(rows, err, 1)
}

// lookUpEntity is what Feast sends: text, with the key in it.
func (s *onlineStore) lookUpEntity(ctx context.Context, c *sql.Conn, _ int) error {
	rows, err := c.QueryContext(ctx, "SELECT feature_name, value, event_ts FROM demo_driver_stats WHERE entity_key = '"+entityKey(rand.IntN(demoDrivers))+"'", s.text...)
	return drainRows(rows, err, len(demoFeatures))
}

func (s *onlineStore) lookUpBatch(ctx context.Context, c *sql.Conn, _ int) error {
	const batch = 100
	first := rand.IntN(demoUsers - batch*demoTenants)
	ids := make([]string, batch)
	for i := range ids {
		ids[i] = fmt.Sprint(first + i*demoTenants) // all of one tenant
	}
	rows, err := c.QueryContext(ctx, "SELECT user_id, clicks_7d, spend_30d, segment FROM user_features WHERE tenant_id = '"+tenantOf(first)+
		"' AND user_id IN ("+strings.Join(ids, ",")+")", s.text...)
	return drainRows(rows, err, batch)
}

// refreshEntity is what Feast sends for each feature that it materialises.
func (s *onlineStore) refreshEntity(ctx context.Context, c *sql.Conn, _ int) error {
	feature, value := demoFeatures[rand.IntN(len(demoFeatures))], featureValue()
	_, err := c.ExecContext(ctx, fmt.Sprintf(s.sql.refresh, entityKey(rand.IntN(demoDrivers)), feature, s.bytes(value)), s.text...)
	return err
}

// writeAndRead writes a version into a row of the client's own, and reads it back at once on the same connection.
func (s *onlineStore) writeAndRead(ctx context.Context, c *sql.Conn, client int, stale *atomic.Uint64) error {
	owner, id, version := fmt.Sprintf("writer-%d", client), rand.IntN(demoUsers), rand.Int32()
	_, err := c.ExecContext(ctx, s.sql.write, owner, id, version)
	if err != nil {
		return err
	}
	var got int32
	err = c.QueryRowContext(ctx, s.sql.read, owner, id).Scan(&got)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err != nil || got != version {
		stale.Add(1)
	}
	return nil
}

// run sends one kind of request from all its clients until ctx ends.
func (w *work) run(ctx context.Context, db *sql.DB, failed func(error)) {
	var wg sync.WaitGroup
	for n := range w.clients {
		wg.Go(func() { w.client(ctx, db, n, failed) })
	}
	wg.Wait()
}

// client is one client: it keeps its connection, and makes a new one when it was lost.
func (w *work) client(ctx context.Context, db *sql.DB, n int, failed func(error)) {
	for ctx.Err() == nil {
		conn, err := db.Conn(ctx)
		if err == nil {
			err = w.requests(ctx, conn, n)
			conn.Close()
		}
		if err != nil && ctx.Err() == nil {
			failed(fmt.Errorf("%s (%s): %w", w.name, w.store.name, err))
			pause(ctx, 100*time.Millisecond)
		}
	}
}

func (w *work) requests(ctx context.Context, conn *sql.Conn, n int) error {
	for {
		began := time.Now()
		if err := w.do(ctx, conn, n); err != nil {
			return err
		}
		w.add(time.Since(began))
		if !pause(ctx, w.pause) {
			return nil
		}
	}
}

// tally counts durations in buckets that grow by a twelfth each, from 1 µs to minutes.
type tally struct {
	buckets [256]atomic.Uint64
}

const tallyGrowth = 1.0833

func (t *tally) add(d time.Duration) {
	i := int(math.Log(max(1, float64(d.Microseconds()))) / math.Log(tallyGrowth))
	t.buckets[min(i, len(t.buckets)-1)].Add(1)
}

func (t *tally) counts() (c [256]uint64) {
	for i := range c {
		c[i] = t.buckets[i].Load()
	}
	return c
}

// quantile is the time that a share q of requests took at most.
func quantile(counts [256]uint64, q float64) time.Duration {
	wanted := uint64(math.Ceil(q * float64(total(counts))))
	var n uint64
	for i, c := range counts {
		if n += c; n >= wanted && n > 0 {
			return time.Duration(math.Pow(tallyGrowth, float64(i+1))) * time.Microsecond
		}
	}
	return 0
}

func total(counts [256]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
