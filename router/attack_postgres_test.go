package router

import (
	"strings"
	"testing"
	"time"

	"leat/proxy/wire"
)

var pgFacts = Facts{Flavor: wire.FlavorPostgres, Database: "app"}

// Texts made to cost a lot must cost little: each here is megabytes, or nested as deep as it goes.
func TestHostileTextsPostgres(t *testing.T) {
	r := newRouter(t)
	const bound = 20 * time.Second
	for _, c := range []struct {
		name  string
		sql   string
		class Class
		pin   string
		text  string // wanted; empty for any
	}{
		{name: "long list", sql: "SELECT * FROM t WHERE id IN (1" + strings.Repeat(",1", 1_300_000) + ")", class: ClassRead, text: "SELECT * FROM t WHERE id IN($1)"},
		{name: "long list with a function at its end", sql: "SELECT * FROM t WHERE id IN (1" + strings.Repeat(",1", 1_300_000) + ",a)", class: ClassWrite},
		{name: "long array", sql: "SELECT ARRAY[1" + strings.Repeat(",1", 1_300_000) + "]", class: ClassRead, text: "SELECT ARRAY[$1]"},
		{name: "many rows", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(1)", 500_000), class: ClassWrite, text: "INSERT INTO t VALUES($1)"},
		{name: "many rows with functions", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(now(),'a@b;c')", 200_000), class: ClassWrite},
		{name: "many rows with a lock at the end", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(now())", 200_000) + ",(Pg_Advisory_Lock(1))", class: ClassWrite, pin: PinUnknown},
		{name: "many rows with a setting at the end", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(now())", 200_000) + `,("set_config"('a.b','c',false))`, class: ClassWrite, pin: PinUnknown},
		{name: "many rows and a statement", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(now())", 200_000) + "; SET x = 1", class: ClassWrite, pin: PinUnknown},
		{name: "long literal", sql: "SELECT '" + strings.Repeat("x", 10<<20) + "'", class: ClassRead, text: "SELECT $1"},
		{name: "long literal of backslashes", sql: "SELECT E'" + strings.Repeat(`\\`, 1<<20) + "'", class: ClassRead, text: "SELECT $1"},
		{name: "long literal of quotes", sql: "SELECT '" + strings.Repeat("''", 1<<20) + "'", class: ClassRead, text: "SELECT $1"},
		{name: "a literal in many pieces", sql: "SELECT 'x'" + strings.Repeat("\n'x'", 1<<19), class: ClassRead, text: "SELECT $1"},
		{name: "many strings in a row", sql: "SELECT " + strings.Repeat("'x' ", 1<<19), class: ClassWrite},
		{name: "comments", sql: "SELECT " + strings.Repeat("/* */", 100_000) + "1", class: ClassRead, text: "SELECT $1"},
		{name: "line comments behind a string", sql: "SELECT 'x'" + strings.Repeat("--\n", 1<<20), class: ClassRead, text: "SELECT $1"},
		{name: "strings and line comments", sql: "SELECT 'x'" + strings.Repeat("--\n,'x'", 1<<17), class: ClassWrite},
		{name: "nested comments", sql: "SELECT " + strings.Repeat("/*", 100_000) + strings.Repeat("*/", 100_000) + "1", class: ClassRead, text: "SELECT $1"},
		{name: "openings of comments", sql: "SELECT " + strings.Repeat("/*", 1<<20), class: ClassWrite, pin: PinUnknown},
		{name: "dollars", sql: "SELECT " + strings.Repeat("$", 1<<20), class: ClassWrite},
		{name: "dollar quotes", sql: "SELECT " + strings.Repeat("$a$ $b$ $a$,", 100_000) + "1", class: ClassWrite},
		{name: "tags", sql: "SELECT " + strings.Repeat("$a ", 1<<19), class: ClassWrite},
		{name: "long tag", sql: "SELECT $" + strings.Repeat("a", 1<<20) + "$ x", class: ClassWrite, pin: PinUnknown},
		{name: "parentheses", sql: "SELECT " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000), class: ClassWrite},
		{name: "brackets", sql: "SELECT " + strings.Repeat("ARRAY[", 15_000) + "1" + strings.Repeat("]", 15_000), class: ClassWrite},
		{name: "lists in lists", sql: "SELECT " + strings.Repeat("1 IN (1, ", 100_000) + "a" + strings.Repeat(")", 100_000), class: ClassWrite},
		{name: "open parentheses", sql: strings.Repeat("(", 1<<20), class: ClassWrite, pin: PinUnknown},
		{name: "negations", sql: "SELECT " + strings.Repeat("NOT ", 19_000) + "1", class: ClassRead},
		{name: "signs", sql: "SELECT " + strings.Repeat("+", 1<<20) + "1", class: ClassWrite},
		{name: "signs with an end", sql: "SELECT 1 " + strings.Repeat("+-", 1<<20) + "@1", class: ClassWrite},
		{name: "operator", sql: "SELECT 1 " + strings.Repeat("@", 1<<20) + " 1", class: ClassWrite},
		{name: "sum", sql: "SELECT 1" + strings.Repeat("+1", 6_000), class: ClassRead},
		{name: "long sum", sql: "SELECT 1" + strings.Repeat("+1", 60_000), class: ClassWrite},
		{name: "unions", sql: "SELECT 1" + strings.Repeat(" UNION SELECT 1", 4_000), class: ClassRead},
		{name: "nested subqueries", sql: "SELECT " + strings.Repeat("(SELECT ", 190) + "1" + strings.Repeat(")", 190), class: ClassRead},
		{name: "cases", sql: "SELECT " + strings.Repeat("CASE WHEN true THEN ", 3_000) + "1" + strings.Repeat(" END", 3_000), class: ClassRead},
		{name: "semicolons", sql: strings.Repeat(";", 1<<20), class: ClassSession, text: ""},
		{name: "statements", sql: strings.Repeat("SELECT 1;", 5_000), class: ClassRead},
		{name: "many statements", sql: strings.Repeat("SELECT 1;", 500_000), class: ClassWrite, pin: PinUnknown},
		{name: "nul bytes", sql: "SELECT " + strings.Repeat("\x00", 1<<20), class: ClassWrite, pin: PinUnknown},
		{name: "long name", sql: "SELECT " + strings.Repeat("a", 10<<20), class: ClassWrite},
		{name: "casts", sql: "SELECT 1" + strings.Repeat("::int", 9_000), class: ClassRead},
		{name: "functions", sql: "SELECT " + strings.Repeat("f(),", 6_000) + "1", class: ClassWrite},
		{name: "different functions", sql: "SELECT " + manyCalls(4_000) + "1", class: ClassWrite},
		{name: "common table expressions", sql: "WITH " + manyCTEs(1_500) + " SELECT 1", class: ClassRead},
		{name: "bodies", sql: "CREATE FUNCTION f() BEGIN ATOMIC " + strings.Repeat("SELECT CASE 1 WHEN 2 THEN 3 END;", 5_000) + " END", class: ClassWrite},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Scan
			start := time.Now()
			p := r.Plan([]byte(c.sql), &pgFacts, &s)
			if took := time.Since(start); took > bound {
				t.Errorf("took %s, want %s at most", took, bound)
			} else if took > 100*time.Millisecond {
				t.Logf("took %s for %d bytes", took, len(c.sql))
			}
			if p.Class != c.class || p.Pin != c.pin || c.text != "" && p.Text != c.text {
				t.Errorf("got %s (%s), pin %q, %.60q; want %s, pin %q, %q", p.Class, p.Rule, p.Pin, p.Text, c.class, c.pin, c.text)
			}
		})
	}
}

func manyCalls(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("f" + strings.Repeat("a", i%40) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + "(),")
	}
	return b.String()
}

func manyCTEs(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("c" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + " AS (SELECT * FROM t)")
	}
	return b.String()
}
