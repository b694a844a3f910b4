package router

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// Texts made to cost a lot must cost little: each here is megabytes, or nested as deep as it goes.
func TestHostileTexts(t *testing.T) {
	r := newRouter(t)
	// Enough for a busy machine with the race detector; a quadratic pass would take hours.
	const bound = 20 * time.Second
	for _, c := range []struct {
		name  string
		sql   string
		class Class
		pin   string
		text  string // wanted; empty for any
	}{
		{name: "long list", sql: "SELECT * FROM t WHERE id IN (1" + strings.Repeat(",1", 1_300_000) + ")", class: ClassRead, text: "SELECT * FROM t WHERE id IN(?)"},
		{name: "long list with a function at its end", sql: "SELECT * FROM t WHERE id IN (1" + strings.Repeat(",1", 1_300_000) + ",a)", class: ClassWrite},
		{name: "many rows", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(1)", 500_000), class: ClassWrite, text: "INSERT INTO t VALUES(?)"},
		{name: "many rows with functions", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(NOW(),'a@b;c')", 200_000), class: ClassWrite},
		{name: "many equal rows", sql: "INSERT INTO t VALUES (NOW(),1)" + strings.Repeat(",(NOW(),'a@b;c')", 200_000), class: ClassWrite, text: "INSERT INTO t VALUES(NOW(), ?)"},
		{name: "many equal rows with a lock at the end", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(NOW())", 200_000) + ",(Get_Lock(1,1))", class: ClassWrite, pin: PinUserLock},
		{name: "many rows with a lock at the end", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(NOW()),(UUID())", 100_000) + ",(Get_Lock(1,1))", class: ClassWrite, pin: PinUnknown},
		{name: "many rows and a statement", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(NOW()),(UUID())", 100_000) + "; SET x = 1", class: ClassWrite, pin: PinUnknown},
		{name: "many rows and a sequence", sql: "INSERT INTO t VALUES (1)" + strings.Repeat(",(NOW()),(UUID())", 100_000) + ",(NEXT VALUE FOR s)", class: ClassWrite, pin: PinUnknown},
		{name: "long literal", sql: "SELECT '" + strings.Repeat("x", 10<<20) + "'", class: ClassRead, text: "SELECT ?"},
		{name: "long literal of backslashes", sql: "SELECT '" + strings.Repeat(`\\`, 1<<20) + "'", class: ClassRead, text: "SELECT ?"},
		{name: "long literal of quotes", sql: "SELECT '" + strings.Repeat("''", 1<<20) + "'", class: ClassRead, text: "SELECT ?"},
		{name: "many strings in a row", sql: "SELECT " + strings.Repeat("'x' ", 1<<19), class: ClassRead, text: "SELECT ?"},
		{name: "comments", sql: "SELECT " + strings.Repeat("/* */", 100_000) + "1", class: ClassRead, text: "SELECT ?"},
		{name: "openings of comments", sql: "SELECT " + strings.Repeat("/*", 1<<20), class: ClassWrite, pin: PinUnknown},
		{name: "executed comments", sql: "SELECT " + strings.Repeat("/*!1*/", 1<<20), class: ClassWrite, pin: PinUnknown},
		{name: "openings of executed comments", sql: "SELECT " + strings.Repeat("/*!", 1<<20), class: ClassWrite, pin: PinUnknown},
		{name: "openings and one end", sql: "SELECT " + strings.Repeat("/*!", 1<<20) + "*/", class: ClassWrite, pin: PinUnknown},
		{name: "hints", sql: "SELECT " + strings.Repeat("/*+*/", 1<<20) + "1", class: ClassWrite},
		{name: "parentheses", sql: "SELECT " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000), class: ClassWrite},
		{name: "parentheses in a list", sql: "SELECT 1 IN " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000), class: ClassRead},
		{name: "lists in lists", sql: "SELECT " + strings.Repeat("1 IN (1, ", 100_000) + "a" + strings.Repeat(")", 100_000), class: ClassWrite},
		{name: "open parentheses", sql: strings.Repeat("(", 1<<20), class: ClassWrite, pin: PinUnknown},
		{name: "negations", sql: "SELECT " + strings.Repeat("NOT ", 19_000) + "1", class: ClassRead},
		{name: "signs", sql: "SELECT " + strings.Repeat("- ", 100_000) + "1", class: ClassWrite},
		{name: "sum", sql: "SELECT 1" + strings.Repeat("+1", 9_000), class: ClassRead},
		{name: "long sum", sql: "SELECT 1" + strings.Repeat("+1", 60_000), class: ClassWrite},
		{name: "unions", sql: "SELECT 1" + strings.Repeat(" UNION SELECT 1", 6_000), class: ClassRead},
		{name: "nested subqueries", sql: "SELECT " + strings.Repeat("(SELECT ", 190) + "1" + strings.Repeat(")", 190), class: ClassRead},
		{name: "cases", sql: "SELECT " + strings.Repeat("CASE WHEN 1 THEN ", 3_000) + "1" + strings.Repeat(" END", 3_000), class: ClassRead},
		{name: "semicolons", sql: strings.Repeat(";", 1<<20), class: ClassSession, text: ""},
		{name: "statements", sql: strings.Repeat("SELECT 1;", 5_000), class: ClassRead},
		{name: "many statements", sql: strings.Repeat("SELECT 1;", 500_000), class: ClassWrite, pin: PinUnknown},
		{name: "nul bytes", sql: "SELECT " + strings.Repeat("\x00", 1<<20), class: ClassWrite},
		{name: "long name", sql: "SELECT " + strings.Repeat("a", 10<<20), class: ClassWrite},
		{name: "assignments", sql: "SET " + strings.Repeat("a=1,", 60_000) + "b=2", class: ClassWrite, pin: PinUnknown},
		{name: "columns", sql: "SELECT LAST_INSERT_ID()" + strings.Repeat(",LAST_INSERT_ID()", 4_000), class: ClassSession},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Scan
			start := time.Now()
			p := r.Plan([]byte(c.sql), &appFacts, &s)
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

// What is remembered of a long text is bounded.
func TestLongTextIsNotKept(t *testing.T) {
	r := newRouter(t)
	var s Scan
	sql := bytes.Repeat([]byte("INSERT INTO t SELECT a + b - c * d; "), 100_000)
	p := r.Plan(sql, &appFacts, &s)
	if got := len(p.Text); got > 100 {
		t.Errorf("got a text of %d bytes", got)
	}
	if st := r.Stats(); st.Entries != 0 {
		t.Errorf("got %d plans kept, want 0", st.Entries)
	}
	if len(s.Normalized) > defaultMaxParse+100 {
		t.Errorf("got %d bytes normalised, want %d and a bit", len(s.Normalized), defaultMaxParse)
	}
}
