package router

import (
	"bytes"
	"strings"
	"testing"

	"leat/proxy/wire"
)

// addPgSeeds adds the scenarios and some pieces of statements.
func addPgSeeds(f *testing.F) {
	for i, s := range seeds(f, postgresScenarios) {
		f.Add([]byte(s), i%2 == 0)
	}
	for _, s := range []string{
		"/*/**/*/", "/*/", "--", "--\r1", "a.", ".5.5", "$", "$$", "$1$", "$a$b$a$", "$a$$a$", "a$1", "1e", "1e+", "0x", "0xg", "1_", "1__2",
		"N'", "x'", "b'1''0'", "e'\\", "E'a'\n'\\", "U&'a'uescape'!'", "U&\"a\"", "IN(", "in(1", "in((1", "array[1", "array[1)", "values(1),",
		"values(1),(", "values(1),(2)(3)", "values(1),(2::int[])", "in('a'::reg)", "set 1", "by 1,2)", "'a''b", `"a""b`, "(((", ")))", ");", "(;",
		"/* leat: x */", "/*leat:*//*x*/", "+-+", "*-", "@-", "<--", "a/*b*/+/*", "::", ":::", "a:=b", "a..b", "[::]", "set_config('x'", "set_config('a''b',1,1)",
		"set search_path='a'\n'b'", "create function begin atomic case end;end;end;", "create function as begin atomic;a", "\xef\xbb\xbf", "set_config(E'a',", `"set_config"('a',b,c)`,
		"a :: reg", "1::int", "? ?| ?&", "=>", "!=-1", "a@-1", "a - -1", "$1::x", "date'x'", "in (date 'x', null)", "x'1'\n'2'",
	} {
		f.Add([]byte(s), false)
	}
}

func pgMode(backslash bool) Mode {
	if backslash {
		return BackslashEscapes
	}
	return 0
}

func FuzzNormalizePostgres(f *testing.F) {
	addPgSeeds(f)
	f.Fuzz(func(t *testing.T, sql []byte, backslash bool) { checkPgNormalized(t, sql, pgMode(backslash)) })
}

// checkPgNormalized holds the lexer and normalizer to what all else relies on.
func checkPgNormalized(t *testing.T, sql []byte, mode Mode) {
	n := pgNormalizer{limit: 1 << 20}
	n.run(sql, mode)
	for _, l := range n.literals {
		if len(l.Raw) == 0 || !within(l.Raw, sql) {
			t.Errorf("%q: literal %q is not in the text", sql, l.Raw)
		}
	}
	if got := len(pgDummies(sql, mode, 1<<20)); got != n.statements && !n.tooLong {
		t.Errorf("%q: got %d statements for the parser, want %d", sql, got, n.statements)
	}
	if n.flaw != flawNone || n.tooLong {
		return
	}
	again := pgNormalizer{limit: 4 << 20}
	again.run(n.out, 0)
	if !bytes.Equal(again.out, n.out) || again.flaw != flawNone {
		t.Errorf("%q\nnormalised       %q\nnormalised again %q (flaw %d)", sql, n.out, again.out, again.flaw)
	}
	_, rest := cutLeadHint(string(n.out))
	list := pgTokenize(rest)
	if again.statements != n.statements || len(list) != n.statements {
		t.Errorf("%q: got %d and %d statements of the normalised text, want %d", sql, again.statements, len(list), n.statements)
	}
	params := 0
	for _, s := range list {
		for _, tok := range s {
			if tok.kind == tokParam {
				params++
			}
		}
	}
	if params != len(n.literals) {
		t.Errorf("%q: %d literals for %d placeholders in %q", sql, len(n.literals), params, n.out)
	}
}

func FuzzPlanPostgres(f *testing.F) {
	addPgSeeds(f)
	r := newRouter(f)
	f.Fuzz(func(t *testing.T, sql []byte, backslash bool) {
		var s Scan
		facts := Facts{Flavor: wire.FlavorPostgres, Mode: pgMode(backslash), Database: "mysql"}
		p := r.Plan(sql, &facts, &s)
		if p.Rule == "" {
			t.Errorf("%q: no rule", sql)
		}
		if p.Class == ClassRead && (p.Pin != "" || !p.Retriable || !p.Parsed || p.Taints || p.Untracked != nil) {
			t.Errorf("%q: got a read with pin %q, retriable %t, parsed %t, taints %t, learn %v", sql, p.Pin, p.Retriable, p.Parsed, p.Taints, p.Untracked)
		}
		if again := r.Plan(sql, &facts, &s); again != p && again.Text != p.Text {
			t.Errorf("%q: another plan the second time", sql)
		}
		facts.Catalog, facts.Schemas = testCatalog, []string{"app", "public"}
		if q := r.Plan(sql, &facts, &s); q.Kind != p.Kind || q.Pin != p.Pin || q.Text != p.Text {
			t.Errorf("%q: with a catalog got kind %s, pin %q, want %s, %q", sql, q.Kind, q.Pin, p.Kind, p.Pin)
		}
	})
}

// Comments and white space between the tokens of a statement change nothing.
func TestPlanIgnoresDecorationPostgres(t *testing.T) {
	r := newRouter(t)
	facts := Facts{Flavor: wire.FlavorPostgres}
	decorations := []string{" ", "\n\t", "/* c */", "/*/**/*/ ", "-- c\n", " /* it's */ "}
	count := 0
	for _, sql := range seeds(t, postgresScenarios) {
		var s Scan
		want := *r.Plan([]byte(sql), &facts, &s)
		wantText := string(s.Normalized)
		decorated, ok := decoratePg(sql, decorations)
		if !ok || want.Hints != (Hints{}) || strings.HasPrefix(strings.ToUpper(want.Text), "LEAT") {
			continue
		}
		count++
		got := r.Plan([]byte(decorated), &facts, &s)
		if string(s.Normalized) != wantText || got.Class != want.Class || got.Pin != want.Pin || got.Kind != want.Kind {
			t.Errorf("%q\ndecorated %q\n got %s %s %s %q\nwant %s %s %s %q", sql, decorated,
				got.Class, got.Kind, got.Pin, s.Normalized, want.Class, want.Kind, want.Pin, wantText)
		}
	}
	if count < 300 {
		t.Errorf("got %d statements that can be decorated, want 300 and more", count)
	}
}

// decoratePg puts a decoration between all tokens; false if the statement can't take any. Between two strings
// no line may end, since the second would go on the first.
func decoratePg(sql string, decorations []string) (string, bool) {
	l := newPgLexer([]byte(sql), 0)
	var b strings.Builder
	i, last := 0, tokNone
	for l.next() {
		d := decorations[i%len(decorations)]
		if last == tokString || last == tokHex {
			d = " "
		}
		if i > 0 {
			b.WriteString(" " + d)
		}
		b.Write(l.text())
		i, last = i+1, l.kind
	}
	return b.String(), l.flaw == flawNone && i > 0
}
