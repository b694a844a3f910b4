package e2e

// What happens to the servers in the soak, one fault after the other. Each ends with all servers well.

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"leat/internal/localdb"
)

// fault is one thing that befalls the servers.
type fault struct {
	name string
	// planned faults cost no write anything; in others the statements under way may fail.
	planned bool
	// transactions may fail although the fault is planned.
	transactions bool
	run          func(*soak)
}

// faults in their order: what the short soak must see comes first.
var faults = []fault{
	{name: "primary killed, replica promoted", run: (*soak).killPrimary},
	{name: "replica paused", planned: true, run: (*soak).pauseReplica},
	{name: "replica killed", planned: true, run: (*soak).killReplica},
	{name: "switchover", planned: true, transactions: true, run: (*soak).switchover},
	{name: "replication stopped", planned: true, run: (*soak).stopReplication},
	{name: "primary killed, restarted", run: (*soak).restartPrimary},
	{name: "drained switchover", planned: true, run: (*soak).drainedSwitchover},
	{name: "reload", planned: true, run: (*soak).reload},
	{name: "clients vanish", planned: true, run: (*soak).clientsVanish},
	{name: "primary paused", run: (*soak).pausePrimary},
}

func faultNamed(name string) *fault {
	for i := range faults {
		if faults[i].name == name {
			return &faults[i]
		}
	}
	return nil
}

// soak is the servers and the Leat that the clients use.
type soak struct {
	*testing.T
	ctx     context.Context
	top     *localdb.Topology
	leat    *leat
	dialect *soakDialect
	ledger  *ledger
	began   time.Time
	before  resources
	round   int
	slow    atomic.Bool // the clients hold back
}

func (s *soak) replica() *localdb.Server {
	all := s.top.Replicas()
	return all[s.round%len(all)]
}

// calm lets the clients do a number of operations.
func (s *soak) calm(operations int64) {
	s.Helper()
	goal := s.ledger.ops.Load() + operations
	eventually(s.ctx, s.T, "the clients don't get on", func() error {
		if done := s.ledger.ops.Load(); done < goal {
			return fmt.Errorf("%d operations of %d done", operations-(goal-done), operations)
		}
		return nil
	})
}

func (s *soak) healthy() { s.Helper(); s.leat.waitHealthy(s.ctx, s.top) }

// killPrimary: a replica takes over, and the old primary follows it. If it has writes that nobody else has,
// it is made anew.
func (s *soak) killPrimary() {
	old := s.top.Primary()
	old.Kill()
	best, err := s.top.MostAdvanced(s.ctx)
	must(s.T, err)
	must(s.T, s.top.Promote(s.ctx, best))
	s.leat.waitStatus(s.ctx, "no new primary", func(st *leatStatus) error {
		if st.Shards[0].Primary != s.top.Primary().Addr() {
			return fmt.Errorf("it is %q: %s", st.Shards[0].Primary, st.Shards[0].Reason)
		}
		return nil
	})
	s.slow.Store(true) // a server made anew has all history to catch up with
	defer s.slow.Store(false)
	must(s.T, s.top.Rejoin(s.ctx, s.top.Index(old)))
	for began := time.Now(); ; began = time.Now() {
		must(s.T, s.top.WaitSynced(s.ctx))
		if time.Since(began) < 2*time.Second {
			return
		}
	}
}

func (s *soak) pauseReplica() {
	r := s.replica()
	must(s.T, r.Pause())
	s.leat.waitState(s.ctx, r, "down")
	s.calm(100)
	must(s.T, r.Resume())
}

func (s *soak) killReplica() {
	r := s.replica()
	r.Kill()
	s.leat.waitState(s.ctx, r, "down")
	s.calm(100)
	must(s.T, r.Restart(s.ctx))
}

func (s *soak) switchover() {
	must(s.T, s.top.Switchover(s.ctx, s.top.Index(s.replica())))
}

// drainedSwitchover takes the old primary out first, so that open transactions end in peace.
func (s *soak) drainedSwitchover() {
	old := s.top.Primary()
	drainServer(s.ctx, s.leat, old)
	must(s.T, s.top.Switchover(s.ctx, s.top.Index(s.replica())))
	postOK(s.ctx, s.leat, "/api/servers/undrain?address="+old.Addr())
}

// drainServer takes a server out and waits until no request and no transaction is left on it.
func drainServer(ctx context.Context, l *leat, srv *localdb.Server) {
	l.t.Helper()
	postOK(ctx, l, "/api/servers/drain?address="+srv.Addr())
	l.waitStatus(ctx, "the server isn't left", func(st *leatStatus) error {
		if s := st.server(srv); s.State != "draining" || s.Conns.Open > 0 {
			return fmt.Errorf("it is %s, with %d conns", s.State, s.Conns.Open)
		}
		return nil
	})
}

func postOK(ctx context.Context, l *leat, path string) {
	l.t.Helper()
	if code, body, err := l.Post(ctx, path); err != nil || code/100 != 2 {
		l.t.Fatalf("%s: %d %s %v", path, code, body, err)
	}
}

func (s *soak) stopReplication() {
	r := s.replica()
	must(s.T, s.top.StopReplication(s.ctx, s.top.Index(r)))
	s.leat.waitState(s.ctx, r, "lagging")
	s.calm(100)
	must(s.T, s.top.StartReplication(s.ctx, s.top.Index(r)))
}

func (s *soak) restartPrimary() {
	p := s.top.Primary()
	p.Kill()
	must(s.T, p.Restart(s.ctx))
}

func (s *soak) reload() {
	s.leat.Reload()
	s.calm(100)
}

func (s *soak) pausePrimary() {
	p := s.top.Primary()
	must(s.T, p.Pause())
	s.leat.waitState(s.ctx, p, "down")
	must(s.T, p.Resume())
}

// clientsVanish: clients that close their connection in a statement leave nothing behind, be it a read, a
// write, or a transaction with a lock that others wait for.
func (s *soak) clientsVanish() {
	marker := s.dialect.sleep
	ctx, cancel := context.WithCancel(s.ctx)
	db, err := s.dialect.open(s.leat, 0)
	must(s.T, err)
	defer db.Close()
	lock := fmt.Sprintf("SELECT * FROM soak WHERE id = %d FOR UPDATE", soakID(0, 0))
	for _, script := range [][]string{{"SELECT " + marker}, {s.dialect.sleepWriting}, {"BEGIN", lock, "SELECT " + marker}} {
		conn, err := db.Conn(ctx)
		must(s.T, err)
		last := len(script) - 1
		for _, query := range script[:last] {
			_, err := conn.ExecContext(ctx, query)
			must(s.T, err)
		}
		go func() {
			_, _ = conn.ExecContext(ctx, script[last]) // it is cut
			conn.Close()
		}()
	}
	s.atWork(marker, "3")
	cancel()
	s.atWork(marker, "0")
}

// atWork waits until so many statements with a text run on the servers.
func (s *soak) atWork(text, want string) {
	s.Helper()
	eventually(s.ctx, s.T, "statements at work", func() error {
		sum := 0
		for _, srv := range s.top.Servers {
			n, err := srv.Value(s.ctx, fmt.Sprintf(s.dialect.running, text))
			if err != nil {
				return err
			}
			k, _ := strconv.Atoi(n)
			sum += k
		}
		if got := strconv.Itoa(sum); got != want {
			return fmt.Errorf("%s run %s, want %s", got, text, want)
		}
		return nil
	})
}
