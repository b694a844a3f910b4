package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"leat/proxy/wire"
	"leat/shard"
)

func pgPlan(r *Router, sql string) *Plan {
	var s Scan
	return r.Plan([]byte(sql), &pgFacts, &s)
}

// One router serves both dialects: the same text has a plan in each.
func TestDialectsDontShare(t *testing.T) {
	r := newRouter(t)
	if a, b := plan(r, "SELECT * FROM t"), pgPlan(r, "SELECT * FROM t"); a == b {
		t.Errorf("got one plan for both dialects: %q", a.Text)
	}
	for _, sql := range []string{"SELECT connection_id()", "SELECT 'never", "REPLACE INTO t VALUES (1)", "SELECT \"a\""} {
		a, b := plan(r, sql), pgPlan(r, sql)
		if a.Text == b.Text && a == b {
			t.Errorf("%q: got one plan for both dialects", sql)
		}
		if again := pgPlan(r, sql); again.Rule != b.Rule {
			t.Errorf("%q: got rule %q the second time, want %q", sql, again.Rule, b.Rule)
		}
	}
}

func TestPlanHitAllocatesNothingPostgres(t *testing.T) {
	r := newRouter(t)
	facts := pgFacts
	facts.Catalog, facts.Schemas = testCatalog, []string{"app", "public"}
	var s Scan
	for _, sql := range []string{
		feastLookup, string(batchLookup(500)), "SELECT stable_fn(count(*)), lower(a) FROM t", "SELECT mixed_fn(1)",
		"INSERT INTO t VALUES ($1, 'x'::text), ($2, DEFAULT) ON CONFLICT DO NOTHING", "SET search_path = app, public",
	} {
		text := []byte(sql)
		r.Plan(text, &facts, &s)
		if n := testing.AllocsPerRun(100, func() { r.Plan(text, &facts, &s) }); n != 0 {
			t.Errorf("%.60q: got %v allocations for a hit, want 0", sql, n)
		}
	}
}

// What a catalog says holds for the sessions that have it, whoever asked first.
func TestCatalogIsTheSessions(t *testing.T) {
	r := newRouter(t)
	var s Scan
	sql := []byte("SELECT stable_fn(1) FROM t")
	with, elsewhere := pgFacts, pgFacts
	with.Catalog, with.Schemas = testCatalog, []string{"public"}
	elsewhere.Catalog, elsewhere.Schemas = testCatalog, []string{"nosuch"}
	for range 2 {
		for _, c := range []struct {
			name string
			f    *Facts
			want Class
		}{{"without", &pgFacts, ClassWrite}, {"with", &with, ClassRead}, {"in another schema", &elsewhere, ClassWrite}} {
			p := r.Plan(sql, c.f, &s)
			if p.Class != c.want || p.Taints != (c.want == ClassWrite) || len(p.Tables) != 1 || p.Digest == 0 {
				t.Errorf("%s: got %s, taints %t, want %s", c.name, p.Class, p.Taints, c.want)
			}
		}
	}
	r.Misrouted(r.Plan(sql, &with, &s))
	if p := r.Plan(sql, &with, &s); p.Class != ClassWrite || p.Rule != ruleMisrouted {
		t.Errorf("got %s (%s) after a replica refused it, want a write", p.Class, p.Rule)
	}
}

// Several statements of one request are as strict as the strictest.
func TestTogetherPostgres(t *testing.T) {
	r := newRouter(t)
	read, begin := pgPlan(r, "SELECT 1 FROM t"), pgPlan(r, "BEGIN")
	set := pgPlan(r, "SELECT set_config('a.b', 'c', false)")
	lock := pgPlan(r, "SELECT pg_advisory_lock(1)")
	if p := Together(read, pgPlan(r, "SELECT 2 FROM u")); p.Class != ClassRead || p.Statements != 2 {
		t.Errorf("got %s of %d statements, want a read of 2", p.Class, p.Statements)
	}
	for _, sql := range []string{"UPDATE t SET x = 1", "SELECT nextval('s')", "SELECT 1 FROM t FOR UPDATE", "SELECT unknown()", "VACUUM", "no SQL"} {
		write := pgPlan(r, sql)
		for _, p := range []*Plan{Together(read, write), Together(write, read), Together(Together(read, read), write)} {
			if p.Class != ClassWrite || p.Retriable && !write.Retriable {
				t.Errorf("a read and %s: got a %s (retriable: %t), want a write", sql, p.Class, p.Retriable)
			}
		}
	}
	p := Together(Together(read, begin), Together(set, lock))
	if p.Class != ClassWrite || !p.MixesTx || p.Pin != PinAdvisory || !slices.Equal(p.Untracked, []string{"a.b"}) {
		t.Errorf("got %s, mixes %t, pin %q, learn %v", p.Class, p.MixesTx, p.Pin, p.Untracked)
	}
	if define := pgPlan(r, "CREATE FUNCTION f() RETURNS int AS 'x' LANGUAGE sql; SELECT 1"); !define.Defines() || !Together(read, define).Defines() || p.Defines() {
		t.Error("a definition among several statements is not told, or told of others")
	}
	if begin.MixesTx || begin.Kind != KindBegin || len(read.Untracked) > 0 {
		t.Error("a plan was changed")
	}
}

// What is asked for after one text is bounded.
func TestLearnedIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "SET a.b%d = 1;", i)
	}
	p := pgPlan(newRouter(t), b.String())
	if len(p.Untracked) > maxLearned || p.Pin != PinVariable {
		t.Errorf("got %d names and pin %q, want %d and %q", len(p.Untracked), p.Pin, maxLearned, PinVariable)
	}
}

func TestRoutePostgres(t *testing.T) {
	r, m := newRouter(t), testMap(t)
	for _, c := range []struct {
		sql  string
		want Want
		role wire.Role
	}{
		{"SELECT * FROM profiles.t", Want{}, wire.Replica},
		{"SELECT now()", Want{}, wire.Replica},
		{"BEGIN READ ONLY", Want{}, wire.Replica},
		{"BEGIN", Want{ReadOnlyTx: true}, wire.Replica},
		{"BEGIN READ WRITE", Want{ReadOnlyTx: true}, wire.Primary},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE", Want{ReadOnlyTx: true}, wire.Primary},
		{"SHOW transaction_read_only", Want{}, wire.Primary},
		{"SELECT pg_is_in_recovery()", Want{}, wire.Primary},
		{"COPY t TO STDOUT", Want{}, wire.Replica},
		{"SELECT 1; DELETE FROM t", Want{}, wire.Primary},
	} {
		c.want.Dialect, c.want.Database = shard.Postgres, "anything"
		got, err := r.Route(pgPlan(r, c.sql), &c.want, m)
		if err != nil || got.Shard != "p" || got.Role != c.role {
			t.Errorf("%s: got %+v, %v; want %s of p", c.sql, got, err, c.role)
		}
	}
}
