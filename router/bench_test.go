package router

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"leat/shard"
)

// lookup is a feature lookup as Feast sends it: some 150 bytes.
const lookup = "SELECT feature_name, value, event_ts FROM demo_driver_stats WHERE entity_key = " +
	"'0200000002000000090000006472697665725f69640400000008000000e903000000000000'"

// batchLookup is a lookup of many rows at once.
func batchLookup(n int) []byte {
	var b bytes.Buffer
	b.WriteString("SELECT f1, f2 FROM user_features WHERE tenant_id = 7 AND user_id IN (")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, 1000+i)
	}
	b.WriteByte(')')
	return b.Bytes()
}

func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct {
		name string
		sql  []byte
	}{
		{"lookup", []byte(lookup)},
		{"prepared", []byte("SELECT f1, f2 FROM user_features WHERE tenant_id = ? AND user_id = ?")},
		{"in100", batchLookup(100)},
		{"blob64k", []byte("INSERT INTO t VALUES (1, '" + strings.Repeat("x\\'y", 16<<10) + "')")},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.sql)))
			var s Scan
			for b.Loop() {
				n := s.begin(defaultMaxParse)
				n.run(c.sql, 0)
				s.end(n)
			}
		})
	}
}

func BenchmarkPlanHit(b *testing.B) {
	r := newRouter(b)
	f := Facts{Database: "app"}
	sql := []byte(lookup)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var s Scan
		for pb.Next() {
			r.Plan(sql, &f, &s)
		}
	})
}

func BenchmarkPlanMiss(b *testing.B) {
	r := newRouter(b)
	f := Facts{Database: "app"}
	var s Scan
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		r.Plan(fmt.Appendf(nil, "SELECT a%d, b FROM t WHERE c = 'x' AND d IN (1,2,3) ORDER BY a", i), &f, &s)
	}
}

func BenchmarkRoute(b *testing.B) {
	r := newRouter(b)
	m := testMap(b)
	f := Facts{Database: "profiles"}
	var s Scan
	p := r.Plan([]byte(lookup), &f, &s)
	w := Want{Dialect: shard.MySQL, Database: "profiles"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Route(p, &w, m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNormalizePostgres(b *testing.B) {
	for _, c := range []struct {
		name string
		sql  []byte
	}{
		{"lookup", []byte(lookup)},
		{"prepared", []byte("SELECT f1, f2 FROM user_features WHERE tenant_id = $1 AND user_id = $2")},
		{"feast", []byte(feastLookup)},
		{"in100", batchLookup(100)},
		{"blob64k", []byte("INSERT INTO t VALUES (1, E'" + strings.Repeat("x\\'y", 16<<10) + "')")},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.sql)))
			var s Scan
			for b.Loop() {
				n := s.beginPg(defaultMaxParse)
				n.run(c.sql, 0)
				s.endPg(n)
			}
		})
	}
}

// feastLookup is a feature lookup as Feast sends it to PostgreSQL: some 150 bytes.
const feastLookup = "\n    SELECT entity_key, feature_name, value, event_ts FROM \"demo_driver_stats\"" +
	" WHERE entity_key = ANY($1) AND feature_name = ANY($2);"

func BenchmarkPlanHitPostgres(b *testing.B) {
	r := newRouter(b)
	sql := []byte(feastLookup)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var s Scan
		for pb.Next() {
			r.Plan(sql, &pgFacts, &s)
		}
	})
}

func BenchmarkPlanMissPostgres(b *testing.B) {
	r := newRouter(b)
	var s Scan
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		r.Plan(fmt.Appendf(nil, "SELECT a%d, b FROM t WHERE c = 'x' AND d IN (1,2,3) ORDER BY a", i), &pgFacts, &s)
	}
}
