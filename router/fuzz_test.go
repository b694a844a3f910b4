package router

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// seeds are all statements of the scenario files of a dialect.
func seeds(t testing.TB, dir string) []string {
	var out []string
	for _, file := range scenarioFiles(t, dir) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range splitBlocks(string(text)) {
			if b.statement != "" {
				out = append(out, statementOf(t, b.statement))
			}
		}
	}
	return out
}

// addSeeds adds the scenarios and some pieces of statements.
func addSeeds(f *testing.F) {
	for i, s := range seeds(f, mysqlScenarios) {
		f.Add([]byte(s), uint8(i%8))
	}
	for _, s := range []string{
		"/*!/*!*/", "/*M!*/", "/*+*/", "/*/", "--\x00", "a.", ".5.5", "@", "@@", "@`", "1e", "1e+", "0x", "0xg", "N'", "x'",
		"IN(", "in(1", "values(1),", "values(1),(", "values(1),(2)(3)", "set 1", "by 1,2)", "'a''b", "`a``b", "'\\", "(((", ")))",
		"/* leat: x */", "/*leat:*//*!1*/", "_utf8'x'", "in (_x 'y')", ";;;", "a;b", "@a.b@c.d", "@'a\\'b'", "\xef\xbb\xbf",
	} {
		f.Add([]byte(s), uint8(0))
	}
}

func FuzzNormalize(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, sql []byte, mode uint8) { checkNormalized(t, sql, Mode(mode)) })
}

// checkNormalized holds the lexer and normalizer to what all else relies on.
func checkNormalized(t *testing.T, sql []byte, mode Mode) {
	n := normalizer{limit: 1 << 20}
	n.run(sql, mode)
	for _, l := range n.literals {
		if len(l.Raw) == 0 || !within(l.Raw, sql) {
			t.Errorf("%q: literal %q is not in the text", sql, l.Raw)
		}
	}
	dummies(sql, mode, 1<<20)
	if n.flaw != flawNone || n.tooLong {
		return
	}
	again := normalizer{limit: 4 << 20}
	again.run(n.out, 0)
	if !bytes.Equal(again.out, n.out) || again.flaw != flawNone {
		t.Errorf("%q\nnormalised       %q\nnormalised again %q (flaw %d)", sql, n.out, again.out, again.flaw)
	}
	if again.statements != n.statements {
		t.Errorf("%q: got %d statements of the normalised text, want %d", sql, again.statements, n.statements)
	}
	_, rest := cutLeadHint(string(n.out))
	params := 0
	for _, tok := range tokenize(rest) {
		if tok.kind == tokParam {
			params++
		}
	}
	if params != len(n.literals) {
		t.Errorf("%q: %d literals for %d placeholders in %q", sql, len(n.literals), params, n.out)
	}
}

// within reports whether part aliases whole.
func within(part, whole []byte) bool {
	from := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(part)))
	return at >= from && at+uintptr(len(part)) <= from+uintptr(len(whole))
}

func FuzzPlan(f *testing.F) {
	addSeeds(f)
	r := newRouter(f)
	f.Fuzz(func(t *testing.T, sql []byte, mode uint8) { checkPlan(t, r, sql, Mode(mode)) })
}

func checkPlan(t *testing.T, r *Router, sql []byte, mode Mode) {
	var s Scan
	facts := Facts{Database: "app", Mode: mode}
	p := r.Plan(sql, &facts, &s)
	if p.Rule == "" {
		t.Errorf("%q: no rule", sql)
	}
	if p.Class != ClassRead {
		return
	}
	if p.Pin != "" && p.Pin != PinDiagnostic {
		t.Errorf("%q: a read pins: %s", sql, p.Pin)
	}
	if !p.Retriable || !p.Parsed {
		t.Errorf("%q: got read, retriable %t, parsed %t; want all", sql, p.Retriable, p.Parsed)
	}
	upper := strings.ToUpper(p.Text)
	for _, w := range []string{":=", "/*!", "/*M!"} {
		if strings.Contains(upper, w) && !strings.Contains(upper, "`") {
			t.Errorf("%q: a read with %s", sql, w)
		}
	}
	if again := r.Plan(sql, &facts, &s); again != p && again.Text != p.Text {
		t.Errorf("%q: another plan the second time", sql)
	}
}

// Comments and white space between the tokens of a statement change nothing.
func TestPlanIgnoresDecoration(t *testing.T) {
	r := newRouter(t)
	facts := Facts{Database: "app"}
	decorations := []string{" ", "\n\t", "/* c */", "/**/", "-- c\n", "#'\n", " /* it's */ "}
	count := 0
	for _, sql := range seeds(t, mysqlScenarios) {
		var s Scan
		want := *r.Plan([]byte(sql), &facts, &s)
		wantText := string(s.Normalized)
		decorated, ok := decorate(sql, decorations)
		if !ok || want.Hints != (Hints{}) || strings.HasPrefix(want.Text, "/* leat") {
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

// decorate puts a decoration between all tokens but those around a dot; false if the statement can't
// take any.
func decorate(sql string, decorations []string) (string, bool) {
	l := newLexer([]byte(sql), 0)
	var b strings.Builder
	i, dot := 0, true
	for l.next() {
		if l.kind == tokExec || l.kind == tokHint {
			return "", false
		}
		isDot := l.op() == '.'
		if !dot && !isDot {
			b.WriteString(decorations[i%len(decorations)])
			i++
		}
		if l.kind == tokNumber && i > 0 {
			b.WriteByte(' ') // a dot right before a number
		}
		b.Write(l.text())
		dot = isDot
	}
	return b.String(), l.flaw == flawNone && i > 0
}
