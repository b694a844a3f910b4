package localdb

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// eachFlavor runs f as a subtest on each flavor of MySQL's dialect.
func eachFlavor(t *testing.T, f func(t *testing.T, ctx context.Context, flavor Flavor)) {
	eachOf(t, Flavors, f)
}

// eachOf runs f as a subtest on each flavor. Where a server isn't installed the subtest is skipped
// loudly, and on CI it fails.
func eachOf(t *testing.T, flavors []Flavor, f func(t *testing.T, ctx context.Context, flavor Flavor)) {
	for _, flavor := range flavors {
		t.Run(string(flavor), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			defer cancel()
			_, err := Find(ctx, flavor)
			if errors.Is(err, ErrNotInstalled) && os.Getenv("CI") != "true" {
				t.Skipf("NOT TESTED on %s: %v", flavor, err)
			}
			if err != nil {
				t.Fatal(err)
			}
			f(t, ctx, flavor)
		})
	}
}

func TestServer(t *testing.T) {
	eachFlavor(t, func(t *testing.T, ctx context.Context, flavor Flavor) {
		s, err := Start(ctx, Options{Flavor: flavor})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		must(t, s.Exec(ctx, "CREATE TABLE test.t (id INT PRIMARY KEY); INSERT INTO test.t VALUES (1)"))
		checkApp(t, ctx, s)

		port := s.Port
		s.Kill()
		if got := s.PID(); got != 0 {
			t.Errorf("PID after Kill = %d, want 0", got)
		}
		must(t, s.Restart(ctx))
		if s.Port != port {
			t.Errorf("port after Restart = %d, want %d", s.Port, port)
		}
		checkValue(t, ctx, s, "SELECT COUNT(*) FROM test.t", "1")

		must(t, s.Pause())
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		if err := s.Exec(short, "DO 1"); err == nil {
			t.Error("a paused server answered")
		}
		cancel()
		must(t, s.Resume())
		checkValue(t, ctx, s, "SELECT 1", "1")
		must(t, s.Stop(ctx))
		must(t, s.Restart(ctx))
		checkValue(t, ctx, s, "SELECT COUNT(*) FROM test.t", "1")
	})
}

// checkApp logs in as the application would.
func checkApp(t *testing.T, ctx context.Context, s *Server) {
	t.Helper()
	db, err := s.DB(AppUser, AppPassword, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM t").Scan(&n); err != nil || n != 1 {
		t.Errorf("the application read %d rows, %v; want 1", n, err)
	}
}

func checkValue(t *testing.T, ctx context.Context, s *Server, query, want string) {
	t.Helper()
	if got, err := s.Value(ctx, query); err != nil || got != want {
		t.Errorf("%s on port %d: got %q, %v; want %q", query, s.Port, got, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStartError(t *testing.T) {
	eachOf(t, append(PostgresFlavors, Flavors...), func(t *testing.T, ctx context.Context, flavor Flavor) {
		s, err := Start(ctx, Options{Flavor: flavor, Extra: []string{"--no-such-option"}})
		if err == nil {
			s.Close()
			t.Fatal("a wrong option was accepted")
		}
		t.Log(err)
	})
}
