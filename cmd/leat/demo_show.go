// What the demo shows while it runs, and at its end.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"leat/proxy/admin"
)

// demo sends traffic to a Leat and shows what becomes of it.
type demo struct {
	out          io.Writer
	stores       []*onlineStore
	admin, token string // admin URL; empty: not asked

	work   []*work
	stale  atomic.Uint64
	errors atomic.Uint64

	mu     sync.Mutex // guards out and sample
	sample error      // the first error
}

func (d *demo) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, format+"\n", args...)
}

func (d *demo) failed(err error) {
	d.errors.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sample == nil {
		d.sample = err
	}
}

// startWait bounds the wait for a Leat that has just been started.
const startWait = 2 * time.Minute

// run loads the data, runs the traffic for a while (0: until ctx ends) with an incident beside it, and
// tells what happened. The error says that something went wrong that clients noticed.
func (d *demo) run(ctx context.Context, length time.Duration, incident func(context.Context, time.Duration)) error {
	dbs := map[*onlineStore]*sql.DB{}
	for _, s := range d.stores {
		if err := s.load(ctx, d.say); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		db, err := s.open(s.database)
		if err != nil {
			return err
		}
		defer db.Close()
		dbs[s] = db
		d.work = append(d.work, s.work(&d.stale)...)
	}
	busy, end := context.WithCancel(ctx)
	defer end()
	if length > 0 {
		busy, end = context.WithTimeout(ctx, length)
		defer end()
	}
	before, _ := d.status(ctx)
	began := time.Now()
	var wg sync.WaitGroup
	for _, w := range d.work {
		wg.Go(func() { w.run(busy, dbs[w.store], d.failed) })
	}
	if incident != nil {
		wg.Go(func() { incident(busy, length) })
	}
	d.watch(busy)
	wg.Wait()
	return d.conclude(before, time.Since(began))
}

// status asks the admin port. Where there is none, nothing is known.
func (d *demo) status(ctx context.Context) (admin.Status, error) {
	var s admin.Status
	if d.admin == "" {
		return s, errors.New("no admin port was named")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.admin+"/api/status", nil)
	if err != nil {
		return s, err
	}
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return s, fmt.Errorf("the admin port says %s", res.Status)
	}
	return s, json.NewDecoder(res.Body).Decode(&s)
}

// watch shows a line each second until ctx ends.
func (d *demo) watch(ctx context.Context) {
	began, before := time.Now(), d.counts()
	last, _ := d.status(ctx)
	for pause(ctx, time.Second) {
		now := d.counts()
		s, err := d.status(ctx)
		var second [256]uint64
		for i := range now {
			second[i] = now[i] - before[i]
		}
		line := fmt.Sprintf("%3.0fs  %5d done/s   p50 %-8v p99 %-8v", time.Since(began).Seconds(), total(second),
			short(quantile(second, 0.5)), short(quantile(second, 0.99)))
		if err == nil {
			primary, replica := s.Requests.ToPrimary-last.Requests.ToPrimary, s.Requests.ToReplica-last.Requests.ToReplica
			line += fmt.Sprintf("   on replicas %3.0f %%   servers up %d of %d", 100*float64(replica)/float64(max(1, primary+replica)), up(s), len(s.Servers))
		}
		d.say("%s   stale %d   errors %d", line, d.stale.Load(), d.errors.Load())
		before, last = now, s
	}
}

func up(s admin.Status) (n int) {
	for _, server := range s.Servers {
		if server.State == "up" || server.State == "warming" {
			n++
		}
	}
	return n
}

// counts are those of all kinds of work.
func (d *demo) counts() (sum [256]uint64) {
	for _, w := range d.work {
		for i, n := range w.counts() {
			sum[i] += n
		}
	}
	return sum
}

func short(t time.Duration) time.Duration { return t.Round(10 * time.Microsecond) }

// conclude shows what was sent, where it went, and how it ended.
func (d *demo) conclude(before admin.Status, took time.Duration) error {
	t := newTable("what was sent", "to", "times", "p50", "p99")
	for _, w := range d.work {
		c := w.counts()
		t.AppendRow(table.Row{w.name, w.store.name, total(c), short(quantile(c, 0.5)), short(quantile(c, 0.99))})
	}
	d.say("\n%s\n", t.Render())
	if after, err := d.status(context.Background()); err == nil {
		d.say("%s\n%s", splitOf(before, after).Render(), aboutStates(after))
	}
	d.say("in %s: stale reads %d, errors %d", took.Round(time.Second), d.stale.Load(), d.errors.Load())
	if d.sample != nil {
		return fmt.Errorf("clients noticed %d errors; the first: %w", d.errors.Load(), d.sample)
	}
	if n := d.stale.Load(); n > 0 {
		return fmt.Errorf("clients noticed %d stale reads", n)
	}
	return nil
}

// splitOf is where requests went between two moments. Shares are of the shard's.
func splitOf(before, after admin.Status) table.Writer {
	old := map[string]uint64{}
	for _, s := range before.Servers {
		old[s.Address] = s.Requests
	}
	all := map[string]uint64{} // of a shard
	for _, s := range after.Servers {
		all[s.Shard] += s.Requests - old[s.Address]
	}
	t := newTable("where it went", "shard", "role", "requests", "share", "state", "available")
	for _, s := range after.Servers {
		n := s.Requests - old[s.Address]
		t.AppendRow(table.Row{s.Address, s.Shard, s.Role, n, fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(1, all[s.Shard]))), s.State, fmt.Sprintf("%.2f %%", 100*s.Availability)})
	}
	return t
}

// aboutStates explains the states that may surprise, if a server is in one.
func aboutStates(s admin.Status) string {
	out := ""
	for _, about := range [][2]string{
		{"warming", "it came back, and takes a growing share of the reads until it has its full one (monitor.slow_start, 10s unless set)"},
		{"lagging", "it is further behind than max_lag (2s unless set), and takes no reads while others can"},
		{"down", "it doesn't answer, and nothing is sent to it; leatctl status says why"},
	} {
		if slices.ContainsFunc(s.Servers, func(s admin.Server) bool { return s.State == about[0] }) {
			out += about[0] + ": " + about[1] + "\n"
		}
	}
	return out
}

func newTable(heads ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(heads)
	return t
}
