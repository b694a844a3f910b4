package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leat/internal/localdb"
)

// TestDiff runs each script of testdata/diff over a direct connection and through Leat: the replies must be
// the same, frame by frame.
func TestDiff(t *testing.T) {
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		d := newDiffer(ctx, t, flavor)
		files, err := filepath.Glob("testdata/diff/*.txt")
		if err != nil || len(files) == 0 {
			t.Fatalf("no scripts: %v", err)
		}
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				s, err := parseScript(string(text))
				if err != nil {
					t.Fatal(err)
				}
				if s.only != "" && s.only != flavor {
					return
				}
				for _, flags := range s.flagSets() {
					s.flags = flags
					if err := d.compareScript(ctx, s); err != nil {
						t.Error(err)
					}
				}
			})
		}
	})
}

// newDiffer starts Leat before the shared servers, with two conns per server.
func newDiffer(ctx context.Context, t *testing.T, flavor localdb.Flavor) *differ {
	t.Helper()
	return newDifferWith(ctx, t, flavor, leatOptions{PoolSize: 2, Top: []string{"local_infile: true"}})
}

func newDifferWith(ctx context.Context, t *testing.T, flavor localdb.Flavor, opts leatOptions) *differ {
	t.Helper()
	setup, err := os.ReadFile("testdata/setup.sql")
	if err != nil {
		t.Fatal(err)
	}
	top := sharedServers(ctx, t, flavor)
	l := startLeat(ctx, t, top, opts)
	return &differ{top: top, leat: l, setup: string(setup)}
}

// TestDiffRunner runs the scripts twice over direct connections: what differs then is the scripts' own fault.
// It is part of make test-long.
func TestDiffRunner(t *testing.T) {
	if os.Getenv("LEAT_LONG") != "1" {
		t.Skip("LEAT_LONG=1 runs it")
	}
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		setup, err := os.ReadFile("testdata/setup.sql")
		if err != nil {
			t.Fatal(err)
		}
		top := sharedServers(ctx, t, flavor)
		d := &differ{top: top, leat: &leat{Addr: top.Primary().Addr()}, setup: string(setup)}
		files, _ := filepath.Glob("testdata/diff/*.txt")
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseScript(string(text))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if s.only != "" && s.only != flavor {
				continue
			}
			if s.flags == nil {
				s.flags = flagSets[1]
			}
			if err := d.compareScript(ctx, s); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		for seed := range uint64(10) {
			s := &script{flags: flagSets[0], lines: randomScript(seed, flavor, 60)}
			if err := d.compareScript(ctx, s); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
		lines := []string{"query SELECT 1", "query SELECT 2", "query SELECT UUID()", "query SELECT 3", "ping"}
		if got := d.shrink(ctx, &script{lines: lines}, 20).lines; len(got) != 1 || got[0] != lines[2] {
			t.Errorf("shrink: got %q, want %q", got, lines[2])
		}
	})
}
