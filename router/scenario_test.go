package router

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"leat/proxy/wire"
)

var update = flag.Bool("update", false, "rewrite the scenario files in testdata with what the router says")

// A scenario file has one statement on each line that begins with >, Go-quoted if it begins with a
// double quote, and below it what the router makes of it. A line that begins with @ sets the facts
// for the statements that follow.
func TestScenarios(t *testing.T) {
	for _, dir := range []string{mysqlScenarios, postgresScenarios} {
		for _, file := range scenarioFiles(t, dir) {
			t.Run(strings.TrimSuffix(file, ".txt"), func(t *testing.T) { runScenarios(t, file) })
		}
	}
}

// Where the scenarios of a dialect are.
const (
	mysqlScenarios    = "testdata"
	postgresScenarios = "testdata/postgres"
)

func scenarioFiles(t testing.TB, dir string) []string {
	files, err := filepath.Glob(dir + "/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario files: %v", err)
	}
	return files
}

func runScenarios(t *testing.T, file string) {
	r := newRouter(t)
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var facts Facts
	blocks := splitBlocks(string(want))
	for _, b := range blocks {
		out.WriteString(b.head)
		if b.facts != "" {
			facts = parseFacts(t, b.facts)
		}
		if b.statement == "" {
			continue
		}
		var s Scan
		got := describe(r.Plan([]byte(statementOf(t, b.statement)), &facts, &s), &s)
		out.WriteString(got)
		if got != b.want && !*update {
			t.Errorf("%s\n got %swant %s", b.statement, got, b.want)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// block is a line of a scenario file with what the router said below it.
type block struct {
	head      string // the line and comments, verbatim
	facts     string
	statement string
	want      string
}

func splitBlocks(text string) []block {
	var blocks []block
	for _, line := range strings.SplitAfter(text, "\n") {
		if strings.HasPrefix(line, "    ") && len(blocks) > 0 {
			blocks[len(blocks)-1].want += line
			continue
		}
		b := block{head: line}
		if rest, ok := strings.CutPrefix(line, "> "); ok {
			b.statement = strings.TrimSuffix(rest, "\n")
		}
		if rest, ok := strings.CutPrefix(line, "@"); ok {
			b.facts = " " + strings.TrimSpace(rest)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func statementOf(t testing.TB, s string) string {
	if !strings.HasPrefix(s, `"`) {
		return s
	}
	out, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return out
}

func parseFacts(t *testing.T, s string) Facts {
	f := Facts{Database: "app"}
	modes := map[string]Mode{
		"ansi": AnsiQuotes, "nobackslash": NoBackslashEscapes, "unsafe": UnsafeCharset,
		"multi": MultiStatements, "serializable": Serializable, "backslash": BackslashEscapes,
	}
	for _, w := range strings.Fields(s) {
		if db, ok := strings.CutPrefix(w, "database="); ok {
			f.Database = db
			continue
		}
		switch w {
		case "postgres":
			f.Flavor = wire.FlavorPostgres
			continue
		case "catalog":
			f.Catalog, f.Schemas = testCatalog, []string{"app", "public"}
			continue
		}
		m, ok := modes[w]
		if !ok {
			t.Fatalf("no such fact: %s", w)
		}
		f.Mode |= m
	}
	return f
}

// testCatalog is what the scenarios' database says of its functions.
var testCatalog = wire.NewCatalog(1, map[wire.Function]wire.Volatility{
	{Schema: "public", Name: "stable_fn"}:  wire.Harmless,
	{Schema: "public", Name: "mixed_fn"}:   wire.Volatile,
	{Schema: "app", Name: "stable_fn"}:     wire.Harmless,
	{Schema: "app", Name: "hidden"}:        wire.Volatile,
	{Schema: "public", Name: "hidden"}:     wire.Harmless,
	{Schema: "other", Name: "stable_only"}: wire.Harmless,
	{Schema: "public", Name: "upper"}:      wire.Volatile,
	{Schema: "public", Name: "lower"}:      wire.Harmless,
})

// describe writes a plan as a scenario file shows it: only what isn't usual.
func describe(p *Plan, s *Scan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "    %s: %s", p.Class, p.Rule)
	add := func(show bool, format string, args ...any) {
		if show {
			b.WriteString("; ")
			fmt.Fprintf(&b, format, args...)
		}
	}
	add(p.Kind != KindPlain, "kind %s", p.Kind)
	add(p.Pin != "", "pin %s", p.Pin)
	add(p.Unpin != "", "unpin %s", p.Unpin)
	add(p.MayUnpin != "", "may unpin %s", p.MayUnpin)
	add(p.Untracked != nil && s.pgPass.sql != nil, "learn %v", p.Untracked)
	add(p.Resets != nil, "resets %v", p.Resets)
	add(p.ResetsAll, "resets all")
	add(p.Taints, "taints")
	add(p.MixesTx && s.pgPass.sql != nil, "mixes transactions")
	add(p.Deallocate != "", "deallocates %s", p.Deallocate)
	add(p.Needs != 0, "needs %s", valueNames(p.Needs))
	add(p.Bare != nil, "bare %v %q", p.Bare, p.BareNames)
	add(p.SetsInsertID, "sets the insert id")
	add(!p.Parsed, "unparsed")
	add(p.Retriable && p.Class != ClassRead, "retriable")
	add(!p.Retriable && p.Class == ClassRead, "not retriable")
	add(p.Statements != 1, "%d statements", p.Statements)
	add(p.Tables != nil, "tables %s", tableNames(p.Tables))
	add(p.Hints != Hints{}, "hints %+v", p.Hints)
	add(p.Kind == KindKill, "%+v", p.Kill)
	add(p.Leat != LeatCommand{}, "%+v", p.Leat)
	add(p.Trackers != nil, "trackers %v", p.Trackers)
	text := p.Text
	if text != strconv.Quote(text)[1:len(strconv.Quote(text))-1] {
		text = strconv.Quote(text)
	}
	fmt.Fprintf(&b, "\n    %s\n", text)
	if n := len(s.Literals); n > 0 {
		b.WriteString("   ")
		for _, l := range s.Literals {
			fmt.Fprintf(&b, " %s", strings.Trim(strconv.Quote(string(l.Raw)), `"`))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func valueNames(v Value) string {
	var names []string
	for i, n := range []string{"connection id", "last insert id", "row count", "found rows", "diagnostics"} {
		if v&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ", ")
}

func tableNames(tables []Table) string {
	var names []string
	for _, t := range tables {
		names = append(names, strings.TrimPrefix(t.Database+t.Schema+"."+t.Name, "."))
	}
	return strings.Join(names, ", ")
}

func newRouter(t testing.TB) *Router {
	r, err := New(Config{PureFunctions: []string{"my_pure", "lib.Pure"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
