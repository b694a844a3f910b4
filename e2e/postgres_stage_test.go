package e2e

// What PostgreSQL's numbered cases share that aren't scripts: a list of them, one Leat per version before the
// shared servers, and clients that say what they expect.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"leat/internal/localdb"
	"leat/internal/rawpostgres"
)

// pgCase is one numbered case. The number is that of the project's list of cases, and may have several.
type pgCase struct {
	number int
	name   string // in_few_words
	run    func(ctx context.Context, t *testing.T, flavor localdb.Flavor)
	oldest bool // run it on the oldest version alone: it takes its time, and Leat does nothing else on others
}

// pgCases are added by files in their init.
var pgCases []pgCase

func addPgCase(number int, name string, run func(context.Context, *testing.T, localdb.Flavor)) {
	pgCases = append(pgCases, pgCase{number: number, name: strings.ReplaceAll(name, " ", "_"), run: run})
}

// addPgCase15 adds a case that runs on the oldest version alone.
func addPgCase15(number int, name string, run func(context.Context, *testing.T, localdb.Flavor)) {
	addPgCase(number, name, run)
	pgCases[len(pgCases)-1].oldest = true
}

// addPgStageCase adds a case that shares a Leat with others.
func addPgStageCase(number int, name string, run func(*pgStage)) {
	addPgCase(number, name, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) { run(newPgStage(ctx, t, flavor)) })
}

// TestPostgresCases runs them in the order of their numbers.
func TestPostgresCases(t *testing.T) {
	sort.SliceStable(pgCases, func(i, j int) bool { return pgCases[i].number < pgCases[j].number })
	for _, c := range pgCases {
		flavors := localdb.PostgresFlavors
		if c.oldest {
			flavors = flavors[:1]
		}
		t.Run(fmt.Sprintf("%03d_%s", c.number, c.name), func(t *testing.T) { eachOf(t, flavors, c.run) })
	}
}

// pgStageDatabase holds what the cases use.
const pgStageDatabase = "leat_stage"

const pgStageSQL = `
SET ROLE app;
CREATE SCHEMA other;
CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0);
INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 5) i;
CREATE TABLE a (id serial PRIMARY KEY, k int, v text);
CREATE TABLE c1 (k int PRIMARY KEY, v text);
CREATE TABLE many AS SELECT i AS id FROM generate_series(1, 1000) i;
CREATE SEQUENCE seq;
CREATE VIEW plain AS SELECT id FROM t;`

// pgStage is the shared servers behind a Leat that cases share.
type pgStage struct{ *stage }

// newPgStage is the stage of one case, with two conns per server.
func newPgStage(ctx context.Context, t *testing.T, flavor localdb.Flavor) *pgStage {
	t.Helper()
	top := sharedServers(ctx, t, flavor)
	if stageLeats[flavor] == nil {
		stageLeats[flavor] = startPgStage(ctx, t, top)
	}
	l := *stageLeats[flavor]
	l.t = t
	t.Cleanup(l.checkLog)
	return &pgStage{&stage{T: t, ctx: ctx, flavor: flavor, top: top, leat: &l}}
}

func startPgStage(ctx context.Context, t *testing.T, top *localdb.Topology) *leat {
	t.Helper()
	makePgDatabase(ctx, t, top, pgStageDatabase, pgStageSQL)
	leatProgram(t) // makes buildDir, which is removed in the end
	dir, err := os.MkdirTemp(buildDir, "stage-")
	must(t, err)
	l := &leat{t: t, dir: dir, config: dir + "/leat.yaml", Addr: freeAddr(t), Admin: freeAddr(t)}
	l.WriteConfig(top, leatOptions{PoolSize: 2, Top: []string{"pure_functions: [declared]"}})
	l.start(ctx)
	return l
}

// makePgDatabase makes a database anew, also on the replicas.
func makePgDatabase(ctx context.Context, t *testing.T, top *localdb.Topology, name, sql string) {
	t.Helper()
	p := top.Primary()
	must(t, p.ExecIn(ctx, "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"))
	must(t, p.ExecIn(ctx, "postgres", "CREATE DATABASE "+name+" OWNER "+localdb.AppUser))
	must(t, p.ExecIn(ctx, name, sql))
	must(t, top.WaitSynced(ctx))
}

// before has the stage's methods look at another Leat, started for one case.
func (s *pgStage) before(l *leat) *pgStage {
	other := *s.stage
	other.leat = l
	return &pgStage{&other}
}

// atPrimary runs SQL on the primary as root, past Leat.
func (s *pgStage) atPrimary(sql string) {
	s.Helper()
	if err := s.top.Primary().ExecIn(s.ctx, pgStageDatabase, sql); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
}

// pinnedTo waits until so many sessions are pinned for a reason; an empty one stands for all.
func (s *pgStage) pinnedTo(reason string, want int) {
	s.Helper()
	eventually(s.ctx, s.T, "pinned sessions", func() error {
		labels := []string{`reason="` + reason + `"`}
		if reason == "" {
			labels = nil
		}
		if got := int(s.leat.Metric(s.ctx, "leat_pinned_sessions", labels...)); got != want {
			return fmt.Errorf("%d are pinned for %q, want %d", got, reason, want)
		}
		return nil
	})
}

// running is how many of the application's statements with a text in them run on the servers.
func (s *pgStage) running(text string) int {
	s.Helper()
	n := 0
	for _, srv := range s.top.Servers {
		v, err := srv.Value(s.ctx, "SELECT count(*) FROM pg_stat_activity WHERE usename = '"+localdb.AppUser+"' AND state = 'active' AND query LIKE '%"+text+"%'")
		must(s.T, err)
		if v != "0" {
			n++
		}
	}
	return n
}

func (s *pgStage) eventuallyRunning(text string, want int) {
	s.Helper()
	eventually(s.ctx, s.T, "statements with "+text, func() error {
		if got := s.running(text); got != want {
			return fmt.Errorf("%d servers run one, want %d", got, want)
		}
		return nil
	})
}

// pgPeer is one client, of Leat or of a server, that fails the test where it doesn't get what it expects.
type pgPeer struct {
	*rawpostgres.Conn
	s *pgStage
}

// client logs in to Leat, in the stage's database.
func (s *pgStage) client(params ...string) *pgPeer {
	s.Helper()
	return s.dial(s.leat.Addr, params...)
}

func (s *pgStage) dial(address string, params ...string) *pgPeer {
	s.Helper()
	c, err := dialPgStage(s.ctx, address, params...)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Abort() })
	return &pgPeer{c, s}
}

func dialPgStage(ctx context.Context, address string, params ...string) (*rawpostgres.Conn, error) {
	return rawpostgres.Dial(ctx, address, rawpostgres.Options{
		User: localdb.AppUser, Password: localdb.AppPassword, Database: pgStageDatabase, Params: params, Timeout: replyTimeout,
	})
}

// query runs a statement that must succeed.
func (p *pgPeer) query(sql string) *rawpostgres.Reply {
	p.s.Helper()
	r, err := p.Query(sql)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		p.s.Fatalf("%.200s: %v", sql, err)
	}
	return r
}

// value is the first column of a statement's first row; empty if there is none.
func (p *pgPeer) value(sql string) string {
	p.s.Helper()
	return p.query(sql).Value()
}

// wants runs statements that must return these first values.
func (p *pgPeer) wants(sqlAndWant ...string) {
	p.s.Helper()
	for i := 0; i < len(sqlAndWant); i += 2 {
		if got := p.value(sqlAndWant[i]); got != sqlAndWant[i+1] {
			p.s.Errorf("%s: got %q, want %q", sqlAndWant[i], got, sqlAndWant[i+1])
		}
	}
}

// fails runs a statement that must get this SQLSTATE.
func (p *pgPeer) fails(sql, state string) {
	p.s.Helper()
	r, err := p.Query(sql)
	if err != nil {
		p.s.Fatalf("%.200s: %v", sql, err)
	}
	if got := pgState(r.Err()); got != state {
		p.s.Errorf("%.200s: got %v, want %s", sql, r.Err(), state)
	}
}

// later runs a statement in the background. The channel gets the reply's error, or the connection's.
func (p *pgPeer) later(sql string) <-chan error {
	done := make(chan error, 1)
	go func() {
		r, err := p.Query(sql)
		if err == nil {
			err = r.Err()
		}
		done <- err
	}()
	return done
}

// pgState is the SQLSTATE of an error, or empty.
func pgState(err error) string {
	var e *rawpostgres.ServerError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func errWaiting(got, want int) error { return fmt.Errorf("%d wait, want %d", got, want) }
