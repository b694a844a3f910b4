package e2e

// What all tests share: the built program, and one set of servers per flavor.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"leat/internal/localdb"
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, all := range []map[localdb.Flavor]*sharedTopology{shared, harmed} {
		for _, s := range all {
			if s.top != nil {
				s.top.Close()
			}
		}
	}
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// testTimeout bounds one test with its servers.
const testTimeout = 5 * time.Minute

// eachFlavor runs f on each flavor of MySQL's dialect.
func eachFlavor(t *testing.T, f func(ctx context.Context, t *testing.T, flavor localdb.Flavor)) {
	t.Helper()
	eachOf(t, localdb.Flavors, f)
}

// eachPostgres runs f on each version of PostgreSQL.
func eachPostgres(t *testing.T, f func(ctx context.Context, t *testing.T, flavor localdb.Flavor)) {
	t.Helper()
	eachOf(t, localdb.PostgresFlavors, f)
}

// eachOf runs f on each flavor. Where a server isn't installed the subtest is skipped loudly; on CI it fails.
func eachOf(t *testing.T, flavors []localdb.Flavor, f func(ctx context.Context, t *testing.T, flavor localdb.Flavor)) {
	t.Helper()
	for _, flavor := range flavors {
		t.Run(string(flavor), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			requireFlavor(ctx, t, flavor)
			f(ctx, t, flavor)
		})
	}
}

// requireFlavor skips the test loudly where the flavor's server isn't installed; on CI it fails.
func requireFlavor(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	t.Helper()
	_, err := localdb.Find(ctx, flavor)
	if errors.Is(err, localdb.ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED on %s: %v", flavor, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// shared are the servers that tests use which don't harm them.
var shared = map[localdb.Flavor]*sharedTopology{localdb.MySQL: {}, localdb.MariaDB: {}, localdb.Postgres: {}, localdb.Postgres18: {}}

type sharedTopology struct {
	once sync.Once
	top  *localdb.Topology
	err  error
}

// sharedServers returns a primary with two replicas. A test that stops or reconfigures servers starts its
// own with startServers; one that uses these works in databases of its own.
func sharedServers(ctx context.Context, t *testing.T, flavor localdb.Flavor) *localdb.Topology {
	t.Helper()
	s := shared[flavor]
	s.once.Do(func() { s.top, s.err = localdb.StartTopology(ctx, flavor, 2) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.top
}

// startServers starts servers for one test, to be harmed at will.
func startServers(ctx context.Context, t *testing.T, opts localdb.TopologyOptions) *localdb.Topology {
	t.Helper()
	top, err := localdb.StartTopologyWith(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(top.Close)
	return top
}

var (
	buildOnce sync.Once
	buildDir  string
	errBuild  error
)

// leatProgram is the path of the built program. LEAT_E2E_RACE=1 builds it with the race detector.
func leatProgram(t *testing.T) string {
	t.Helper()
	buildOnce.Do(func() {
		if buildDir, errBuild = os.MkdirTemp("", "leat-e2e-"); errBuild != nil {
			return
		}
		args := []string{"build", "-o", filepath.Join(buildDir, "leat")}
		if os.Getenv("LEAT_E2E_RACE") == "1" {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, "./cmd/leat")...)
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			errBuild = fmt.Errorf("build leat: %w\n%s", err, out)
		}
	})
	if errBuild != nil {
		t.Fatal(errBuild)
	}
	return filepath.Join(buildDir, "leat")
}

// eventually waits until check returns nil, and fails the test with its last error after a minute.
func eventually(ctx context.Context, t *testing.T, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}
