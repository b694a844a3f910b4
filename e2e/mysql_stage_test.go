package e2e

// What numbered cases share that look at where a statement ran: one Leat per flavor before the shared servers,
// clients that say what they expect, and who answered.

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

// stageDatabase has the function which(), the id of the server that runs it, declared to Leat as pure.
const stageDatabase = "leat_stage"

// stage is the shared servers behind a Leat that cases share.
type stage struct {
	*testing.T
	ctx    context.Context
	flavor localdb.Flavor
	top    *localdb.Topology
	leat   *leat
}

// stageLeats are the programs running, started when first needed. They end with the tests' process.
var stageLeats = map[localdb.Flavor]*leat{}

// newStage is the stage of one case, with two conns per server.
func newStage(ctx context.Context, t *testing.T, flavor localdb.Flavor) *stage {
	t.Helper()
	top := sharedServers(ctx, t, flavor)
	if stageLeats[flavor] == nil {
		stageLeats[flavor] = startStage(ctx, t, top)
	}
	l := *stageLeats[flavor]
	l.t = t
	t.Cleanup(l.checkLog)
	return &stage{T: t, ctx: ctx, flavor: flavor, top: top, leat: &l}
}

func startStage(ctx context.Context, t *testing.T, top *localdb.Topology) *leat {
	t.Helper()
	setup, err := os.ReadFile("testdata/setup.sql")
	if err != nil {
		t.Fatal(err)
	}
	sql := "DROP DATABASE IF EXISTS leat_stage; CREATE DATABASE leat_stage CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci; USE leat_stage; " +
		"CREATE FUNCTION which() RETURNS INT NO SQL RETURN @@server_id; " + string(setup)
	if err := top.Primary().Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
	if err := top.WaitSynced(ctx); err != nil {
		t.Fatal(err)
	}
	leatProgram(t) // makes buildDir, which is removed in the end
	dir, err := os.MkdirTemp(buildDir, "stage-")
	if err != nil {
		t.Fatal(err)
	}
	l := &leat{t: t, dir: dir, config: filepath.Join(dir, "leat.yaml"), Addr: freeAddr(t), Admin: freeAddr(t)}
	l.WriteConfig(top, leatOptions{PoolSize: 2, Top: []string{"pure_functions: [which, leat_stage.which, declared]"}})
	l.start(ctx)
	return l
}

// same runs a script both ways, in a database of its own, and reports every difference.
func (s *stage) same(lines ...string) {
	s.Helper()
	s.sameAs([]string{"deprecate_eof", "multi_statements"}, lines...)
}

// sameFramed is same for clients that read EOF packets as well as for those that don't.
func (s *stage) sameFramed(lines ...string) {
	s.Helper()
	s.sameAs([]string{"multi_statements"}, lines...)
	s.same(lines...)
}

func (s *stage) sameAs(flags []string, lines ...string) {
	s.Helper()
	setup, err := os.ReadFile("testdata/setup.sql")
	if err != nil {
		s.Fatal(err)
	}
	d := &differ{top: s.top, leat: s.leat, setup: string(setup)}
	if err := d.compare(s.ctx, flags, lines); err != nil {
		s.Error(err)
	}
}

// sync waits until the replicas have all that the primary has.
func (s *stage) sync() {
	s.Helper()
	if err := s.top.WaitSynced(s.ctx); err != nil {
		s.Fatal(err)
	}
}

// atPrimary runs SQL on the primary as root, past Leat.
func (s *stage) atPrimary(sql string) {
	s.Helper()
	if err := s.top.Primary().Exec(s.ctx, "USE leat_stage; "+sql); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
}

// status is a global status counter of a server.
func (s *stage) status(srv *localdb.Server, name string) string {
	s.Helper()
	row, err := srv.Row(s.ctx, "SHOW GLOBAL STATUS LIKE '"+name+"'")
	if err != nil {
		s.Fatal(err)
	}
	return row["Value"]
}

// pinned is the number of sessions that keep their conn for a reason.
func (s *stage) pinned(reason string) int {
	return int(s.leat.Metric(s.ctx, "leat_pinned_sessions", `reason="`+reason+`"`))
}

// took runs f and returns how many requests each server took meanwhile, by its place in the topology.
func (s *stage) took(f func()) []int {
	s.Helper()
	count := func() []int {
		all := s.leat.Metrics(s.ctx)
		n := make([]int, len(s.top.Servers))
		for i, srv := range s.top.Servers {
			for key, v := range all {
				if strings.HasPrefix(key, "leat_server_requests_total{") && strings.Contains(key, `server="`+srv.Addr()+`"`) {
					n[i] += int(v)
				}
			}
		}
		return n
	}
	before := count()
	f()
	after := count()
	for i := range after {
		after[i] -= before[i]
	}
	return after
}

// peer is one client, of Leat or of a server, that fails the test where it doesn't get what it expects.
type peer struct {
	*rawmysql.Conn
	s *stage
}

const peerFlags = rawmysql.MultiStatements | rawmysql.MultiResults | rawmysql.PSMultiResults | rawmysql.DeprecateEOF

// client logs in to Leat, in the stage's database.
func (s *stage) client() *peer { s.Helper(); return s.dial(s.leat.Addr, stageDatabase, peerFlags) }

func (s *stage) dial(address, database string, flags uint32) *peer {
	s.Helper()
	c, err := rawmysql.Dial(s.ctx, address, rawmysql.Options{User: localdb.AppUser, Password: localdb.AppPassword, Database: database, Flags: flags})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	return &peer{c, s}
}

// query runs a statement that must succeed.
func (p *peer) query(sql string) *rawmysql.Reply {
	p.s.Helper()
	return p.do(append([]byte{rawmysql.ComQuery}, sql...))
}

func (p *peer) do(payload []byte) *rawmysql.Reply {
	p.s.Helper()
	r, err := p.Do(payload)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		p.s.Fatalf("%q: %v", payload[:min(len(payload), 200)], err)
	}
	return r
}

// value is the first column of a statement's first row; empty if there is none.
func (p *peer) value(sql string) string {
	p.s.Helper()
	rows := p.query(sql).Text()
	if len(rows) == 0 || len(rows[0]) == 0 {
		return ""
	}
	return rows[0][0]
}

// wants runs statements that must return these first values.
func (p *peer) wants(sqlAndWant ...string) {
	p.s.Helper()
	for i := 0; i < len(sqlAndWant); i += 2 {
		if got := p.value(sqlAndWant[i]); got != sqlAndWant[i+1] {
			p.s.Errorf("%s: got %q, want %q", sqlAndWant[i], got, sqlAndWant[i+1])
		}
	}
}

// number is the error that a statement gets, or 0.
func (p *peer) number(sql string) uint16 {
	p.s.Helper()
	r, err := p.Query(sql)
	if err != nil {
		p.s.Fatalf("%s: %v", sql, err)
	}
	return numberOf(r)
}

func numberOf(r *rawmysql.Reply) uint16 {
	var e *rawmysql.ServerError
	if errors.As(r.Err(), &e) {
		return e.Number
	}
	return 0
}

// fails runs a statement that must get this error.
func (p *peer) fails(sql string, number uint16) {
	p.s.Helper()
	if got := p.number(sql); got != number {
		p.s.Errorf("%s: got error %d, want %d", sql, got, number)
	}
}

// inTx asks by a ping whether a transaction is open.
func (p *peer) inTx() bool {
	p.s.Helper()
	return p.do([]byte{rawmysql.ComPing}).Status()&rawmysql.StatusInTrans != 0
}

// prepare prepares a statement and returns its id.
func (p *peer) prepare(sql string) uint32 {
	p.s.Helper()
	id, _, ok := p.do(rawmysql.PreparePayload(sql)).StatementID()
	if !ok {
		p.s.Fatalf("%s: no statement", sql)
	}
	return id
}

// execute runs a prepared statement that must succeed.
func (p *peer) execute(id uint32, args ...any) *rawmysql.Reply {
	p.s.Helper()
	payload, err := rawmysql.ExecutePayload(id, rawmysql.NoCursor, args...)
	if err != nil {
		p.s.Fatal(err)
	}
	return p.do(payload)
}
