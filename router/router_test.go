package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"leat/shard"
)

var appFacts = Facts{Database: "app"}

func plan(r *Router, sql string) *Plan {
	var s Scan
	return r.Plan([]byte(sql), &appFacts, &s)
}

func TestPlanIsShared(t *testing.T) {
	r := newRouter(t)
	a := plan(r, "SELECT * FROM t WHERE id = 1")
	b := plan(r, "SELECT *  FROM t WHERE id = 'x' -- trace")
	if a != b {
		t.Errorf("got two plans, want one for both texts: %q, %q", a.Text, b.Text)
	}
	if st := r.Stats(); st.Hits != 1 || st.Misses != 1 || st.Entries != 1 || st.Bytes < planOverhead {
		t.Errorf("got %+v, want 1 hit, 1 miss, 1 entry", st)
	}
}

func TestDigestIsStable(t *testing.T) {
	if got, want := plan(newRouter(t), "SELECT 1").Digest, digest("SELECT ?"); got != want || want == 0 {
		t.Errorf("got %x, want %x in every process", got, want)
	}
}

func TestPlanHitAllocatesNothing(t *testing.T) {
	r := newRouter(t)
	sql := []byte(lookup)
	batch := batchLookup(500)
	var s Scan
	r.Plan(sql, &appFacts, &s)
	r.Plan(batch, &appFacts, &s)
	if n := testing.AllocsPerRun(100, func() {
		r.Plan(sql, &appFacts, &s)
		r.Plan(batch, &appFacts, &s)
	}); n != 0 {
		t.Errorf("got %v allocations for a hit, want 0", n)
	}
}

func TestRouteAllocatesNothing(t *testing.T) {
	r, m := newRouter(t), testMap(t)
	p := plan(r, "SELECT * FROM features.t")
	w := Want{Dialect: shard.MySQL, Database: "features"}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Route(p, &w, m); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations for a route, want 0", n)
	}
}

func TestMisrouted(t *testing.T) {
	r := newRouter(t)
	p := plan(r, "SELECT * FROM writing_view WHERE id = 1")
	if p.Class != ClassRead {
		t.Fatalf("got class %s, want read before a replica refuses it", p.Class)
	}
	r.Misrouted(p)
	if p.Class != ClassRead {
		t.Error("the shared plan was changed")
	}
	serializable := Facts{Database: "other", Mode: AnsiQuotes} // another session's plan of the same text
	var s Scan
	for name, got := range map[string]*Plan{
		"the same session":  plan(r, "SELECT * FROM writing_view WHERE id = 2"),
		"another session":   r.Plan([]byte("SELECT * FROM writing_view WHERE id = 3"), &serializable, &s),
		"after an eviction": replan(r, "SELECT * FROM writing_view WHERE id = 4"),
	} {
		if got.Class != ClassWrite || got.Retriable || got.Rule != ruleMisrouted {
			t.Errorf("%s: got %s, retriable %t, %q; want a write", name, got.Class, got.Retriable, got.Rule)
		}
	}
	if got := r.Stats().Misrouted; got != 1 {
		t.Errorf("got %d texts remembered, want 1", got)
	}
}

// replan plans a text as after its plan was pushed out of the cache.
func replan(r *Router, sql string) *Plan {
	r.plans = newPlanCache(defaultPlanCacheBytes)
	return plan(r, sql)
}

func TestMisroutedIsBounded(t *testing.T) {
	r := newRouter(t)
	for i := range maxMisrouted + 100 {
		r.misrouted.add(fmt.Sprint(i))
	}
	if got := r.Stats().Misrouted; got != maxMisrouted {
		t.Errorf("got %d texts remembered, want %d", got, maxMisrouted)
	}
}

func TestPlanCacheIsBounded(t *testing.T) {
	const limit = 1 << 20
	r, err := New(Config{PlanCacheBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		plan(r, fmt.Sprintf("SHOW TABLES FROM db%d", i))
	}
	st := r.Stats()
	if st.Bytes > limit || st.Bytes < limit/2 || st.Entries >= 20_000 {
		t.Errorf("got %d bytes in %d entries, want nearly %d", st.Bytes, st.Entries, limit)
	}
}

// The bytes counted go up and down with the plans, also when one takes another's place.
func TestPlanCacheCounts(t *testing.T) {
	c := newPlanCache(1 << 20)
	p := &Plan{key: "a"}
	c.put(p)
	before := c.stats().Bytes
	for range 10 {
		again := *p
		c.put(&again)
	}
	if got := c.stats(); got.Bytes != before || got.Entries != 1 {
		t.Errorf("got %+v, want %d bytes and 1 entry", got, before)
	}
	if c.put(&Plan{key: strings.Repeat("x", 1<<20)}); c.stats().Entries != 1 {
		t.Error("a plan larger than its share was kept")
	}
}

func TestPlanConcurrently(t *testing.T) {
	r, err := New(Config{PlanCacheBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var s Scan
			for i := range 200 {
				p := r.Plan(fmt.Appendf(nil, "SELECT a%d FROM t WHERE b = %d", i%50, g), &appFacts, &s)
				if want := fmt.Sprintf("SELECT a%d FROM t WHERE b = ?", i%50); p.Text != want {
					t.Errorf("got the plan of %q, want of %q", p.Text, want)
				}
				if i%17 == 0 {
					r.Misrouted(p)
				}
			}
		})
	}
	wg.Wait()
}

func TestUnparsedIsCountedOnce(t *testing.T) {
	r := newRouter(t)
	for range 3 {
		plan(r, "TABLE t")
		plan(r, "SELECT 'open")
	}
	if got := r.Stats().Unparsed; got != 2 {
		t.Errorf("got %d, want 2: one for each text", got)
	}
}

func TestPureFunctionsMustBeNames(t *testing.T) {
	if _, err := New(Config{PureFunctions: []string{"f()"}}); err == nil {
		t.Error("got no error for f()")
	}
}

// A session's settings make another plan of the same text.
func TestPlanDependsOnFacts(t *testing.T) {
	r := newRouter(t)
	const sql = "SELECT * FROM t"
	var s Scan
	for _, c := range []struct {
		facts Facts
		want  Class
	}{
		{Facts{Database: "app"}, ClassRead},
		{Facts{Database: "app", Mode: Serializable}, ClassWrite},
		{Facts{Database: "performance_schema"}, ClassWrite},
		{Facts{Database: "app"}, ClassRead},
	} {
		if got := r.Plan([]byte(sql), &c.facts, &s).Class; got != c.want {
			t.Errorf("%+v: got %s, want %s", c.facts, got, c.want)
		}
	}
}

func TestScanIsReusedAndBounded(t *testing.T) {
	r := newRouter(t)
	var s Scan
	long := "SELECT " + strings.Repeat("a + ", 50_000) + "1"
	r.Plan([]byte(long), &appFacts, &s)
	r.Plan([]byte("SELECT 'x', 2"), &appFacts, &s)
	if len(s.Literals) != 2 || string(s.Literals[0].Raw) != "'x'" || string(s.Normalized) != "SELECT ?, ?" {
		t.Errorf("got %q with %d literals", s.Normalized, len(s.Literals))
	}
	if cap(s.Normalized) > maxScratch || cap(s.key) > maxScratch {
		t.Errorf("got %d and %d bytes of scratch kept, want %d at most", cap(s.Normalized), cap(s.key), maxScratch)
	}
}
