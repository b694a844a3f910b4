package e2e

// A running Leat: its config, its process, and what it says of itself.

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"leat/internal/localdb"
)

// leatOptions are what a test may want different in its Leat. Zero values take the program's defaults.
type leatOptions struct {
	// PoolSize is conns per server. Default 2, so that sessions share.
	PoolSize int
	// Users replaces the list of users, in YAML. Default: the application's user.
	Users string
	// Shard are more keys of the shard, in YAML, e.g. "balance: random".
	Shard []string
	// Replica are more keys of each replica, by its place, e.g. "class: batch".
	Replica []string
	// Top are more top-level keys, in YAML.
	Top []string
}

// leat is a running program.
type leat struct {
	t      *testing.T
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has exited
	err    error         // how; to be read after done
	dir    string
	config string // the config file's path

	Addr  string // where clients connect
	Admin string // the admin API's host:port
}

// startLeat starts the program in front of servers, and waits until it is ready. It is stopped at the
// test's end, and must then end in order.
func startLeat(ctx context.Context, t *testing.T, top *localdb.Topology, opts leatOptions) *leat {
	t.Helper()
	l := &leat{t: t, dir: t.TempDir(), Addr: freeAddr(t), Admin: freeAddr(t)}
	l.config = filepath.Join(l.dir, "leat.yaml")
	l.WriteConfig(top, opts)
	l.start(ctx)
	t.Cleanup(func() {
		if l.running() {
			l.Stop()
		}
		l.checkLog()
	})
	return l
}

func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := localdb.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// WriteConfig writes the config file; Reload makes a running Leat read it.
func (l *leat) WriteConfig(top *localdb.Topology, opts leatOptions) {
	l.t.Helper()
	if err := os.WriteFile(l.config, []byte(l.configText(top, opts)), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *leat) configText(top *localdb.Topology, opts leatOptions) string {
	if opts.PoolSize == 0 {
		opts.PoolSize = 2
	}
	if opts.Users == "" {
		opts.Users = fmt.Sprintf("[{name: %s, password: %s}]", localdb.AppUser, localdb.AppPassword)
	}
	var b strings.Builder
	dialect := top.Flavor.Dialect()
	fmt.Fprintf(&b, "listen: {%s: '%s', admin: '%s'}\n", dialect, l.Addr, l.Admin)
	fmt.Fprintf(&b, "users: %s\n", opts.Users)
	fmt.Fprintf(&b, "monitor: {user: %s, password: %s, interval: 200ms}\n", localdb.MonitorUser, localdb.MonitorPassword)
	fmt.Fprintf(&b, "shards:\n  - name: main\n    dialect: %s\n    primary: %s\n    pool: {size: %d}\n", dialect, top.Primary().Addr(), opts.PoolSize)
	if len(top.Replicas()) > 0 {
		b.WriteString("    replicas:\n")
	}
	for i, s := range top.Replicas() {
		more := ""
		if i < len(opts.Replica) && opts.Replica[i] != "" {
			more = ", " + opts.Replica[i]
		}
		fmt.Fprintf(&b, "      - {address: '%s'%s}\n", s.Addr(), more)
	}
	for _, line := range opts.Shard {
		b.WriteString("    " + line + "\n")
	}
	for _, line := range opts.Top {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// start runs the program and waits for readiness.
func (l *leat) start(ctx context.Context) {
	l.t.Helper()
	log, err := os.OpenFile(l.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer log.Close()
	l.cmd = exec.Command(leatProgram(l.t), "serve", "--config", l.config)
	l.cmd.Stdout, l.cmd.Stderr = log, log
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	done := make(chan struct{})
	l.done = done
	go func() {
		l.err = l.cmd.Wait()
		close(done)
	}()
	eventually(ctx, l.t, "leat isn't ready", func() error {
		if !l.running() {
			l.t.Fatalf("leat exited: %v\n%s", l.err, l.Log())
		}
		status, body, err := l.Get(ctx, "/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("/readyz: %d %s", status, body)
		}
		return err
	})
}

func (l *leat) running() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// Stop sends SIGTERM and waits for a clean end.
func (l *leat) Stop() {
	l.t.Helper()
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.done:
		if l.err != nil {
			l.t.Errorf("leat ended with %v", l.err)
		}
	case <-time.After(time.Minute):
		_ = l.cmd.Process.Signal(syscall.SIGQUIT) // shows its goroutines in the log
		<-l.done
		l.t.Errorf("leat didn't stop within a minute of SIGTERM:\n%s", l.Log())
	}
}

// Kill ends it with SIGKILL.
func (l *leat) Kill() {
	_ = l.cmd.Process.Kill()
	<-l.done
}

// Reload sends SIGHUP.
func (l *leat) Reload() { _ = l.cmd.Process.Signal(syscall.SIGHUP) }

// PID of the process.
func (l *leat) PID() int { return l.cmd.Process.Pid }

// RSS is the memory resident, in bytes.
func (l *leat) RSS() int64 {
	l.t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", l.PID()))
	if err != nil {
		l.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// Descriptors is the number of files and sockets open.
func (l *leat) Descriptors() int {
	l.t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", l.PID()))
	if err != nil {
		l.t.Fatal(err)
	}
	return len(fds)
}

// Get asks the admin port.
func (l *leat) Get(ctx context.Context, path string) (status int, body string, err error) {
	return l.do(ctx, http.MethodGet, path)
}

// Post tells the admin port.
func (l *leat) Post(ctx context.Context, path string) (status int, body string, err error) {
	return l.do(ctx, http.MethodPost, path)
}

func (l *leat) do(ctx context.Context, method, path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.Admin+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// Metrics are the samples of /metrics by their full name, labels included.
func (l *leat) Metrics(ctx context.Context) map[string]float64 {
	l.t.Helper()
	_, body, err := l.Get(ctx, "/metrics")
	if err != nil {
		l.t.Fatal(err)
	}
	all := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		line := lines.Text()
		space := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || space < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(line[space+1:], 64); err == nil {
			all[line[:space]] = v
		}
	}
	return all
}

// Metric adds up the samples of a name whose labels include all those given, as in `server="..."`.
func (l *leat) Metric(ctx context.Context, name string, labels ...string) float64 {
	l.t.Helper()
	sum := 0.0
	for key, v := range l.Metrics(ctx) {
		base, rest, _ := strings.Cut(key, "{")
		match := base == name
		for _, label := range labels {
			match = match && strings.Contains(rest, label)
		}
		if match {
			sum += v
		}
	}
	return sum
}

// DSN is what go-sql-driver takes to reach Leat as the application.
func (l *leat) DSN(database string) string {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = localdb.AppUser, localdb.AppPassword, database
	cfg.Net, cfg.Addr, cfg.Timeout = "tcp", l.Addr, 10*time.Second
	return cfg.FormatDSN()
}

// DB opens a pool of connections to Leat, closed at the test's end.
func (l *leat) DB(database string) *sql.DB {
	l.t.Helper()
	db, err := sql.Open("mysql", l.DSN(database))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { db.Close() })
	return db
}

func (l *leat) logFile() string { return filepath.Join(l.dir, "leat.log") }

// Log is the end of what the program wrote, at most 16 KiB.
func (l *leat) Log() string {
	b, err := os.ReadFile(l.logFile())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-16<<10):])
}

// checkLog fails the test for a panic or data race in the log, and shows the log of a test that failed.
func (l *leat) checkLog() {
	b, err := os.ReadFile(l.logFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.t.Error(err)
	}
	for _, bad := range []string{"WARNING: DATA RACE", "panic:", "fatal error:", "goroutine panic"} {
		if i := bytes.Index(b, []byte(bad)); i >= 0 {
			l.t.Errorf("leat's log has %q:\n%s", bad, b[i:min(len(b), i+4000)])
			return
		}
	}
	if l.t.Failed() {
		l.t.Logf("leat's log ends:\n%s", l.Log())
	}
}
