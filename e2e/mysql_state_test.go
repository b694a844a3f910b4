package e2e

// Session state on shared conns: what one client sets, every statement of it sees, and nobody else's.

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"leat/internal/localdb"
)

func init() {
	addMySQLCase(97, "matrix of session variables", testVariableMatrix)
	for n, c := range stateScripts {
		addStageCase(n, c.name, func(s *stage) { s.check(c.script) })
	}
}

// check runs a script both ways under each set of flags, or those that it names.
func (s *stage) check(text string) {
	s.Helper()
	parsed, err := parseScript(text)
	if err != nil {
		s.Fatal(err)
	}
	var lines []string
	for _, line := range parsed.lines { // a line for one flavor begins with its name
		if only, rest, ok := strings.Cut(line, "| "); ok && (only == string(localdb.MySQL) || only == string(localdb.MariaDB)) {
			if only != string(s.flavor) {
				continue
			}
			line = rest
		}
		lines = append(lines, line)
	}
	sets := flagSets
	if parsed.flags != nil {
		sets = [][]string{parsed.flags}
	}
	for _, flags := range sets {
		s.sameAs(flags, lines...)
	}
}

// testVariableMatrix has three clients set, read and reset each variable in turn, on one conn per server,
// so that every switch between them restores.
func testVariableMatrix(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	d := newDifferWith(ctx, t, flavor, leatOptions{PoolSize: 1, Top: []string{"timeouts: {acquire: 1s}"}})
	for n, scope := range []string{"SESSION ", "", "@@", "@@SESSION."} {
		var lines []string
		for i, v := range append(commonVariables, flavorVariables[flavor]...) {
			if n == 0 || i%3+1 == n { // every variable once by its scope, and once by one of the other spellings
				lines = append(lines, matrixLines(v, scope)...)
			}
		}
		if err := d.compare(ctx, flagSets[1], lines); err != nil {
			t.Errorf("SET %sx: %v", scope, err)
		}
	}
}

func matrixLines(v sessionVariable, scope string) []string {
	if scope == "@@" && (strings.HasPrefix(v.name, "tx_") || strings.HasPrefix(v.name, "transaction_")) {
		scope = "SESSION " // the spelling for the next transaction alone, which keeps the conn
	}
	read := "SELECT @@" + v.name
	var lines []string
	query := func(client int, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%d: query ", client)+fmt.Sprintf(format, args...))
	}
	query(1, "%s", read)
	query(2, "SET %s%s = %s", scope, v.name, v.a)
	query(1, "%s", read)
	query(3, "SET %s%s = %s", scope, v.name, v.b)
	query(2, "%s, 1 / 3", read)
	query(3, "%s", read)
	query(1, "%s", read)
	query(2, "SET %s%s = DEFAULT", scope, v.name)
	query(3, "%s", read)
	query(2, "%s", read)
	query(3, "SET %s%s = @@GLOBAL.%s", scope, v.name, v.name)
	query(2, "%s", read)
	query(3, "%s", read)
	return append(lines, "2: reset-connection", "3: reset-connection", "2: query "+read)
}
