package e2e

// PostgreSQL's own programs as clients: psql, pgbench, pg_dump and pg_restore.

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"leat/internal/localdb"
)

// pgProgram is a command of PostgreSQL's, connected as the application.
func pgProgram(ctx context.Context, address, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	host, port, _ := net.SplitHostPort(address)
	cmd.Env = append(os.Environ(), "PGHOST="+host, "PGPORT="+port, "PGUSER="+localdb.AppUser, "PGPASSWORD="+localdb.AppPassword,
		"PGDATABASE="+pgClientsDatabase, "PSQLRC=/dev/null", "PAGER=", "LC_ALL=C.UTF-8")
	return cmd
}

// TestPostgresPsql compares what psql prints.
func TestPostgresPsql(t *testing.T) {
	_, err := exec.LookPath("psql")
	need(t, true, err)
	runs := []struct {
		name  string
		args  []string
		stdin bool // testdata/clients/check_pg.sql
	}{
		{name: "a session", stdin: true},
		{name: "the session in one transaction", args: []string{"-1", "-v", "ON_ERROR_STOP=1"}, stdin: true},
		{name: "several statements in one text", args: []string{"-c", "SELECT 1; SELECT 2; CREATE TABLE gone (x int); SELECT 1 / 0; SELECT 3"}},
		{name: "several texts", args: []string{"-c", "SELECT to_regclass('gone')", "-c", "SELECT 2", "-c", "SELEC 3", "-c", "SELECT 4"}},
		{name: "several texts in one transaction", args: []string{
			"-1", "-v", "ON_ERROR_STOP=1", "-c", "CREATE TABLE gone (x int)", "-c", "SELECT * FROM gone", "-c", "SELECT 1 / 0", "-c", "SELECT 4",
		}},
		{name: "stop at an error", args: []string{"-v", "ON_ERROR_STOP=1", "-c", "SELECT to_regclass('gone')", "-c", "SELECT * FROM missing", "-c", "SELECT 4"}},
		{name: "list of databases", args: []string{"-X", "-A", "-t", "-c", "\\l leat_clients"}},
	}
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := pgClientServers(ctx, t, flavor)
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 3})
		for _, run := range runs {
			t.Run(run.name, func(t *testing.T) {
				bothWays(ctx, t, top, l, func(ctx context.Context, address string, tr *transcript) error {
					cmd := pgProgram(ctx, address, "psql", run.args...)
					if run.stdin {
						sql, err := os.ReadFile("testdata/clients/check_pg.sql")
						if err != nil {
							return err
						}
						cmd.Stdin = bytes.NewReader(sql)
					}
					return tr.program(cmd)
				})
			})
		}
	})
}

// processNumbers are what differs from run to run in what programs print.
var processNumbers = regexp.MustCompile(`(PID|process|pid) \d+`)

// program writes down what a program prints, and how it ends.
func (tr *transcript) program(cmd *exec.Cmd) error {
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err
	}
	for _, text := range []string{out.String(), errs.String()} {
		for line := range strings.SplitSeq(text, "\n") {
			tr.say("%s", processNumbers.ReplaceAllString(line, "$1 N"))
		}
	}
	tr.say("exit code %d", cmd.ProcessState.ExitCode())
	return nil
}

// TestPostgresPrograms: pgbench in its three modes, and case 50, what pg_dump writes through Leat is the same as
// directly, and what pg_restore makes of it too, while other sessions go on as they were.
func TestPostgresPrograms(t *testing.T) {
	_, err := exec.LookPath("pgbench")
	need(t, true, err)
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := pgClientServers(ctx, t, flavor)
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 4})
		for _, args := range [][]string{
			{"-i", "-q", "-s", "1"},
			{"-M", "simple"}, {"-M", "extended"}, {"-M", "prepared"},
			{"-M", "prepared", "-S"}, {"-M", "prepared", "-b", "simple-update@1", "-b", "select-only@3"},
		} {
			if args[0] != "-i" {
				args = append(args, "-n", "-c", "8", "-j", "2", "-t", "50")
			}
			out, err := pgProgram(ctx, l.Addr, "pgbench", args...).CombinedOutput()
			if err != nil || strings.Contains(string(out), "number of failed transactions: ") && !strings.Contains(string(out), "number of failed transactions: 0 ") {
				t.Errorf("pgbench %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
		checkDump(ctx, t, top, l, flavor)
	})
}

// checkDump dumps both ways, with some of all that there is, and restores through Leat.
func checkDump(ctx context.Context, t *testing.T, top *localdb.Topology, l *leat, flavor localdb.Flavor) {
	t.Helper()
	if flavor == localdb.Postgres18 {
		return // the system's pg_dump is older, and refuses to
	}
	err := top.Primary().ExecIn(ctx, pgClientsDatabase, `SET ROLE app; CREATE SCHEMA extra; CREATE TYPE extra.mood AS ENUM ('sad', 'happy');
		CREATE TABLE extra.odd ("a b" text, m extra.mood, t timestamptz DEFAULT now(), b bytea) PARTITION BY LIST (m);
		CREATE TABLE extra.odd1 PARTITION OF extra.odd DEFAULT; INSERT INTO extra.odd VALUES (E'x\ty\\', 'sad', '2024-05-01', '\x00ff');
		CREATE FUNCTION extra.f(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1'; CREATE SEQUENCE extra.s; SELECT nextval('extra.s');
		SELECT lo_from_bytea(0, '\xdeadbeef')`)
	if err != nil {
		t.Fatal(err)
	}
	if err := top.WaitSynced(ctx); err != nil {
		t.Fatal(err)
	}
	watcher, err := newTeller(ctx, "", l.Addr, false, &transcript{})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.close()
	watch := func() string {
		watcher.do(ctx, "SELECT current_schemas(false), current_setting('DateStyle'), current_setting('statement_timeout'), current_setting('row_security')")
		return (*watcher.tr)[len(*watcher.tr)-1]
	}
	before := watch()

	dump := func(address string, args ...string) string {
		t.Helper()
		// Without privileges: those that root gave aren't the application's to give.
		out, err := pgProgram(ctx, address, "pg_dump", append([]string{"-x"}, args...)...).Output()
		if err != nil {
			t.Fatalf("pg_dump %v: %v", args, err)
		}
		return randomKeys.ReplaceAllString(string(out), "restrict")
	}
	direct := top.Primary().Addr()
	want := dump(direct)
	for _, args := range [][]string{nil, {"--inserts"}} {
		if want, got := dump(direct, args...), dump(l.Addr, args...); got != want {
			t.Errorf("pg_dump %v through Leat wrote %d bytes, want the %d that it writes directly", args, len(got), len(want))
		}
	}
	file := filepath.Join(t.TempDir(), "dump")
	dump(l.Addr, "-Fc", "-f", file)
	out, err := pgProgram(ctx, l.Addr, "pg_restore", "--clean", "--if-exists", "-d", pgClientsDatabase, file).CombinedOutput()
	if err != nil {
		t.Errorf("pg_restore: %v\n%s", err, out)
	}
	if got := dump(direct); got != want {
		t.Errorf("restored: got a dump of %d bytes, want %d", len(got), len(want))
	}
	if got := watch(); got != before {
		t.Errorf("another session's settings: got %s, want %s", got, before)
	}
}

// randomKeys guard a dump's text against commands of psql in it.
var randomKeys = regexp.MustCompile(`(un)?restrict \w+`)
