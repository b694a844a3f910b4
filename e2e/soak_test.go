package e2e

// The soak: clients at work while servers are killed, stopped, and come back. No answer is wrong, no
// acknowledged write is lost, no client misses a write of its own, and nothing leaks.

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leat/internal/localdb"
)

const (
	soakShort = 20 * time.Second
	soakLong  = 10 * time.Minute // with LEAT_LONG set
	soakPace  = 2 * time.Millisecond
)

func TestSoak(t *testing.T) { soakEach(t, localdb.Flavors) }

// TestPostgresSoak takes the oldest version in a short run, and all of them in a long one.
func TestPostgresSoak(t *testing.T) {
	flavors := localdb.PostgresFlavors
	if soakLength(t) <= soakShort {
		flavors = flavors[:1]
	}
	soakEach(t, flavors)
}

func soakEach(t *testing.T, flavors []localdb.Flavor) {
	for _, flavor := range flavors {
		t.Run(string(flavor), func(t *testing.T) {
			length := soakLength(t)
			ctx, cancel := context.WithTimeout(context.Background(), length+testTimeout)
			defer cancel()
			requireFlavor(ctx, t, flavor)
			runSoak(ctx, t, flavor, length)
		})
	}
}

// soakLength is how long it takes. LEAT_SOAK names another duration, e.g. 2m.
func soakLength(t *testing.T) time.Duration {
	switch text := os.Getenv("LEAT_SOAK"); {
	case text != "":
		d, err := time.ParseDuration(text)
		must(t, err)
		return d
	case os.Getenv("LEAT_LONG") != "":
		return soakLong
	}
	return soakShort
}

func runSoak(ctx context.Context, t *testing.T, flavor localdb.Flavor, length time.Duration) {
	top := startServers(ctx, t, localdb.TopologyOptions{Flavor: flavor, Replicas: 2, SemiSync: true})
	l := startLeat(ctx, t, top, leatOptions{PoolSize: 8, Top: []string{"timeouts: {hold: 45s, acquire: 30s}"}})
	s := newSoak(ctx, t, top, l)
	clients, stop := s.startClients()
	var warm resources
	for time.Since(s.began) < length {
		s.befall(&faults[s.round%len(faults)])
		if warm.rss == 0 && time.Since(s.began) > length/3 {
			warm = s.resources()
		}
	}
	stop()
	if end := s.resources(); length >= soakLong && end.rss > warm.rss+rssSlack {
		t.Errorf("resident memory grew from %d to %d KiB", warm.rss>>10, end.rss>>10)
	}
	s.conclude(clients)
}

// newSoak makes the clients' table.
func newSoak(ctx context.Context, t *testing.T, top *localdb.Topology, l *leat) *soak {
	t.Helper()
	d := soakDialects[top.Flavor.Dialect()]
	must(t, top.Primary().ExecIn(ctx, d.setupIn, d.setup))
	must(t, top.WaitSynced(ctx))
	s := &soak{T: t, ctx: ctx, top: top, leat: l, dialect: d, ledger: newLedger(), began: time.Now()}
	s.healthy()
	s.before = s.resources()
	return s
}

// befall lets one fault happen and waits until the servers are well again.
func (s *soak) befall(f *fault) {
	s.Helper()
	s.ledger.setPhase(f.name)
	at := time.Now()
	f.run(s)
	s.healthy()
	s.calm(300)
	s.Logf("%6.1fs %s: took %.1fs, %d operations", at.Sub(s.began).Seconds(), f.name, time.Since(at).Seconds(), s.ledger.ops.Load())
	s.round++
}

// conclude checks everything once the clients are gone.
func (s *soak) conclude(clients []*soakClient) {
	s.Helper()
	s.report()
	s.checkErrors()
	s.checkData(clients)
	s.checkLeaks()
	if len(s.ledger.wrong) > 0 {
		s.Errorf("%d violations:\n%s", len(s.ledger.wrong), strings.Join(s.ledger.wrong, "\n"))
	}
}

// startClients starts the clients, which differ in how they run statements. Stop ends them.
func (s *soak) startClients() (clients []*soakClient, stop func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	turns := make(chan struct{})
	var wg sync.WaitGroup
	var dbs []*sql.DB
	for i := range soakClients {
		db, err := s.dialect.open(s.leat, i)
		must(s.T, err)
		dbs = append(dbs, db)
		c, err := newSoakClient(ctx, s.dialect, s.ledger, db, i)
		must(s.T, err)
		clients = append(clients, c)
		wg.Go(func() { c.run(ctx, turns) })
	}
	wg.Go(func() { // the pace: the machine has other work, too
		tick := time.NewTicker(soakPace)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if s.slow.Load() && n%10 != 0 {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case turns <- struct{}{}:
			}
		}
	})
	return clients, func() {
		cancel()
		wg.Wait()
		for _, db := range dbs {
			db.Close()
		}
	}
}

func (s *soak) report() {
	l := s.ledger
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(l.done)) {
		fmt.Fprintf(&b, "%8d %s\n", l.done[kind], kind)
	}
	for _, what := range slices.Sorted(maps.Keys(l.errors)) {
		fmt.Fprintf(&b, "%8d errors: %s\n", l.errors[what], what)
	}
	st, err := s.leat.Status(s.ctx)
	must(s.T, err)
	s.Logf("%d faults, %d retries, %d operations:\n%s", s.round, st.Requests.Retries, l.ops.Load(), b.String())
}

// checkErrors: reads never fail and no client loses its connection. Writes fail only under way to a primary
// that dies, and transactions that a switchover finds open.
func (s *soak) checkErrors() {
	for what, n := range s.ledger.errors {
		phase, rest, _ := strings.Cut(what, ": ")
		kind, text, _ := strings.Cut(rest, ": ")
		f := faultNamed(phase)
		number, _, _ := strings.Cut(text, " ")
		lost := slices.Contains(s.dialect.lost, number) && !f.planned
		refused := slices.Contains(s.dialect.refused, number) && f.transactions
		cut := slices.Contains(s.dialect.cut, number) && (f.transactions || !f.planned)
		if !(kind == "write" && (lost || cut) || kind == "transaction" && (lost || refused || cut)) {
			s.Errorf("%d operations failed: %s", n, what)
		}
	}
}

// checkData compares the rows of every server with what the clients know.
func (s *soak) checkData(clients []*soakClient) {
	must(s.T, s.top.WaitSynced(s.ctx))
	for _, srv := range s.top.Servers {
		db, err := srv.DB(localdb.AppUser, localdb.AppPassword, s.dialect.database)
		must(s.T, err)
		rows, err := db.QueryContext(s.ctx, "SELECT id, owner, n, payload, sum FROM soak")
		must(s.T, err)
		all := map[int64]soakRow{}
		for rows.Next() {
			var r soakRow
			must(s.T, rows.Scan(&r.id, &r.owner, &r.n, &r.payload, &r.sum))
			all[r.id] = r
		}
		must(s.T, rows.Err())
		db.Close()
		if len(all) != soakClients*soakRows {
			s.Errorf("server %s has %d rows, want %d", srv.Addr(), len(all), soakClients*soakRows)
		}
		for _, c := range clients {
			c.verify(all)
		}
	}
}

// resources are what the program uses.
type resources struct {
	goroutines, descriptors, conns int
	rss                            int64
}

func (s *soak) resources() resources {
	s.Helper()
	all := s.leat.Metrics(s.ctx)
	return resources{
		goroutines: int(all["go_goroutines"]), descriptors: s.leat.Descriptors(),
		conns: int(s.leat.Metric(s.ctx, "leat_server_conns")), rss: s.leat.RSS(),
	}
}

// rssSlack is by how much the memory may grow from a third of a long soak to its end.
const rssSlack = 16 << 20

// checkLeaks: once the clients are gone, so is what they used.
func (s *soak) checkLeaks() {
	before := s.before
	s.Logf("before: %+v, after: %+v", before, s.resources())
	const slack = 4 // the conns of the monitors and of this test come and go
	s.leat.waitStatus(s.ctx, "something is left", func(st *leatStatus) error {
		if st.Clients.Now > 0 || st.Shards[0].HeldReads+st.Shards[0].HeldWrites > 0 {
			return fmt.Errorf("%d clients are connected, %d requests held", st.Clients.Now, st.Shards[0].HeldReads+st.Shards[0].HeldWrites)
		}
		for _, srv := range st.Servers {
			if srv.Conns.Busy+srv.Conns.Waiting > 0 {
				return fmt.Errorf("server %s has %d conns lent, %d requests wait", srv.Address, srv.Conns.Busy, srv.Conns.Waiting)
			}
		}
		now := s.resources()
		if now.goroutines > before.goroutines+slack || now.descriptors-now.conns > before.descriptors-before.conns+slack {
			return fmt.Errorf("resources: %+v, before %+v", now, before)
		}
		return nil
	})
	for _, srv := range s.top.Servers {
		eventually(s.ctx, s.T, "conns leak", func() error { return s.sameConns(srv) })
	}
}

// sameConns compares the conns that a server sees with those that the program counts.
func (s *soak) sameConns(srv *localdb.Server) error {
	st, err := s.leat.Status(s.ctx)
	if err != nil {
		return err
	}
	there, err := srv.Value(s.ctx, s.dialect.conns)
	if err != nil {
		return err
	}
	if here := fmt.Sprint(st.server(srv).Conns.Open); here != there {
		return fmt.Errorf("server %s has %s conns, leat counts %s", srv.Addr(), there, here)
	}
	return nil
}
