package e2e

// PostgreSQL's cases that are scripts: testdata/diff_pg, a file per case, named by its number.

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leat/internal/localdb"
)

// TestPostgres runs each script over a direct connection and through Leat: the replies must be the same, message
// by message.
func TestPostgres(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		runPgScripts(t, flavor, func() *pgDiffer { return newPgDiffer(ctx, t, flavor) })
	})
}

// TestPostgresRunner runs the scripts twice over direct connections, and the statements of TestPostgresPrepared over one: what
// differs then is the tests' own fault.
func TestPostgresRunner(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := sharedServers(ctx, t, flavor)
		d := &pgDiffer{top: top, leat: top.Primary().Addr(), setup: pgSetup(t)}
		runPgScripts(t, flavor, func() *pgDiffer { return d })
		runPgModes(ctx, t, top.Primary().Addr())

		lines := []string{"simple SELECT 1", "simple SELECT 2", "simple SELECT pg_backend_pid()", "simple SELECT 3"}
		if got := d.shrink(ctx, &pgScript{lines: lines}, 20).lines; len(got) != 1 || got[0] != lines[2] {
			t.Errorf("shrink: got %q, want %q", got, lines[2])
		}
	})
}

// runPgScripts runs all scripts, one after another on the same conns. After one that failed it makes another differ, so that the
// next has conns without a past.
func runPgScripts(t *testing.T, flavor localdb.Flavor, newDiffer func() *pgDiffer) {
	t.Helper()
	files, err := filepath.Glob("testdata/diff_pg/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var d *pgDiffer
	for _, file := range files {
		ok := t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			s := readPgScript(t, file)
			if s.only != "" && s.only != flavor {
				return
			}
			if d == nil {
				d = newDiffer()
			}
			if err := d.compare(ctx, s); err != nil {
				t.Error(err)
			}
		})
		if !ok {
			d = nil
		}
	}
}

func readPgScript(t *testing.T, file string) *pgScript {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parsePgScript(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
