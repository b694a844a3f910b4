package e2e

// Clients that nobody here wrote. LEAT_CLIENTS=all demands every one of them (make clients does); CI demands
// those that its packages have; elsewhere what isn't installed is skipped.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"leat/internal/localdb"
)

const clientsDatabase = "leat_clients"

func TestClients(t *testing.T) {
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := sharedServers(ctx, t, flavor)
		l := startLeat(ctx, t, top, leatOptions{PoolSize: 5})
		setup := "DROP DATABASE IF EXISTS %[1]s; CREATE DATABASE %[1]s CHARACTER SET utf8mb4; " +
			"CREATE PROCEDURE %[1]s.p_out(IN x INT, OUT y INT) BEGIN SELECT x AS given; SELECT x * 2 INTO y; END"
		if err := top.Primary().Exec(ctx, fmt.Sprintf(setup, clientsDatabase)); err != nil {
			t.Fatal(err)
		}
		if err := top.WaitSynced(ctx); err != nil {
			t.Fatal(err)
		}
		t.Run("cli", func(t *testing.T) { checkCLI(ctx, t, l) })
		t.Run("go-sql-driver", func(t *testing.T) { checkGo(ctx, t, l, false) })
		t.Run("go-sql-driver interpolating", func(t *testing.T) { checkGo(ctx, t, l, true) })
		t.Run("gorm", func(t *testing.T) { checkGORM(ctx, t, l) })
		t.Run("pymysql", func(t *testing.T) { checkPython(ctx, t, l, "pymysql") })
		t.Run("sqlalchemy", func(t *testing.T) { checkPython(ctx, t, l, "sqlalchemy") })
		t.Run("mysql2", func(t *testing.T) { checkNode(ctx, t, l) })
		t.Run("jdbc", func(t *testing.T) { checkJDBC(ctx, t, l) })
	})
}

// need skips the test when err says that a client isn't here, unless it is demanded.
func need(t *testing.T, onCI bool, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("LEAT_CLIENTS") == "all", onCI && os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skipf("the client isn't installed (make clients does it): %v", err)
	}
}

// allIsWell runs a client's program, which says so.
func allIsWell(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all is well") {
		t.Errorf("%v: %v\n%s", cmd.Args, err, out)
	}
}

func (l *leat) port() string {
	_, port, _ := strings.Cut(l.Addr, ":")
	return port
}

func checkCLI(ctx context.Context, t *testing.T, l *leat) {
	program, err := exec.LookPath("mariadb")
	need(t, true, err)
	sql, err := os.ReadFile("testdata/clients/check.sql")
	if err != nil {
		t.Fatal(err)
	}
	want := "LAST_INSERT_ID()\n1\nid\tv\n1\tone\n2\tzwei ä\n3\tNULL\nTables_in_leat_clients (cli)\ncli\nCOUNT(*)\n3\nCOUNT(v)\n2\n"
	for _, option := range []string{"--batch", "--compress", "--quick"} {
		cmd := exec.CommandContext(ctx, program, "--no-defaults", "-h127.0.0.1", "-P"+l.port(), "-u"+localdb.AppUser,
			"-p"+localdb.AppPassword, "--default-character-set=utf8mb4", "--batch", option, clientsDatabase)
		cmd.Stdin = strings.NewReader(string(sql))
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("mariadb %s: %v, got\n%s\nwant\n%s", option, err, out, want)
		}
	}
}

func checkGo(ctx context.Context, t *testing.T, l *leat, interpolate bool) {
	cfg, err := mysql.ParseDSN(l.DSN(clientsDatabase))
	if err != nil {
		t.Fatal(err)
	}
	cfg.InterpolateParams = interpolate
	db := openDB(t, cfg)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(ctx, query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	exec("DROP TABLE IF EXISTS godriver")
	exec("CREATE TABLE godriver (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40), b BLOB)")
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 20 { // a session reads its own writes
		res, err := conn.ExecContext(ctx, "INSERT INTO godriver (v, b) VALUES (?, ?)", fmt.Sprint("ä😀", i), []byte{0, 255, '\''})
		if err != nil {
			t.Fatal(err)
		}
		id, _ := res.LastInsertId()
		var v string
		var b []byte
		err = conn.QueryRowContext(ctx, "SELECT v, b FROM godriver WHERE id = ?", id).Scan(&v, &b)
		if err != nil || v != fmt.Sprint("ä😀", i) || string(b) != "\x00\xff'" {
			t.Errorf("row %d: got %q %q, %v", id, v, b, err)
		}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM godriver"); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	var n int
	if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM godriver").Scan(&n); err != nil || n != 20 {
		t.Errorf("after the rollback: got %d rows, %v; want 20", n, err)
	}
}

func checkPython(ctx context.Context, t *testing.T, l *leat, module string) {
	const python = "/usr/bin/python3" // the system's: it has the system's packages
	need(t, module == "pymysql", exec.CommandContext(ctx, python, "-c", "import "+module).Run())
	allIsWell(t, exec.CommandContext(ctx, python, "testdata/clients/check.py", module, l.port()))
}

func checkNode(ctx context.Context, t *testing.T, l *leat) {
	npm, err := exec.LookPath("npm")
	need(t, false, err)
	if os.Getenv("LEAT_CLIENTS") != "all" {
		t.Skip("mysql2 has to be downloaded: make clients does it")
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(ctx, npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "mysql2@3.24.6").CombinedOutput()
	if err != nil {
		t.Fatalf("install mysql2: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, "node", "testdata/clients/check.js", l.port())
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
	allIsWell(t, cmd)
}

func checkJDBC(ctx context.Context, t *testing.T, l *leat) {
	const jar = "/usr/share/java/mariadb-java-client.jar"
	_, err := os.Stat(jar)
	need(t, false, err)
	_, err = exec.LookPath("javac")
	need(t, false, err)
	allIsWell(t, exec.CommandContext(ctx, "java", "-cp", jar, "testdata/clients/Check.java", l.port()))
}
