package e2e

// Python's drivers for PostgreSQL: testdata/clients/check_pg.py.

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leat/internal/localdb"
)

// python is the system's: it has the system's packages.
const python = "/usr/bin/python3"

// pgPython are the drivers. CI has those marked so.
var pgPython = []struct {
	driver  string
	modules string
	onCI    bool
	newer   bool // than what some systems have
}{
	{"psycopg2", "psycopg2", true, false},
	{"psycopg", "psycopg", true, false},
	{"feast", "psycopg", true, false},
	{"asyncpg", "asyncpg", false, false},
	{"sqlalchemy-psycopg2", "sqlalchemy, psycopg2", false, false},
	{"sqlalchemy-psycopg", "psycopg, sqlalchemy.dialects.postgresql.psycopg", false, true},
	{"sqlalchemy-asyncpg", "sqlalchemy.ext.asyncio, asyncpg, greenlet", false, false},
}

func TestPostgresPython(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := pgClientServers(ctx, t, flavor)
		cert := top.Primary().ServerCert()
		tls := fmt.Sprintf("tls: {cert: '%s', key: '%s'}", cert, filepath.Join(filepath.Dir(cert), "server.key"))
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 4, Top: []string{tls}})
		for _, p := range pgPython {
			t.Run(p.driver, func(t *testing.T) {
				err := exec.CommandContext(ctx, python, "-c", "import "+p.modules).Run()
				if err != nil && p.newer {
					t.Skipf("the system's packages are too old for it: %v", err)
				}
				need(t, p.onCI, err)
				bothWays(ctx, t, top, l, func(ctx context.Context, address string, tr *transcript) error {
					_, port, _ := net.SplitHostPort(address)
					return tr.wellDone(exec.CommandContext(ctx, python, "testdata/clients/check_pg.py", p.driver, port))
				})
			})
		}
	})
}

// wellDone writes down what a program prints, which has to end by saying that all is well.
func (tr *transcript) wellDone(cmd *exec.Cmd) error {
	if err := tr.program(cmd); err != nil {
		return err
	}
	if !slices.Contains(*tr, "all is well") {
		return errNotWell(strings.Join((*tr)[max(0, len(*tr)-15):], "\n"))
	}
	return nil
}

// errNotWell is the end of what a program printed that failed.
type errNotWell string

func (e errNotWell) Error() string { return "it failed: " + string(e) }
