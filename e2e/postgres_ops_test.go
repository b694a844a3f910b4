package e2e

// Cases 117, 118, 122 and 123: reloading, stopping, what is told of clients' secrets, and hostile texts.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawpostgres"
)

func init() {
	addPgStageCase(117, "a reload is whole or nothing", pgReloads)
	addPgStageCase(118, "a drain", pgDrains)
	addPgCase15(118, "restarts under pgbench", pgRestarts)
	addPgStageCase(122, "nothing tells secrets", pgSecrets)
	addPgCase15(123, "hostile texts", func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		pgHostileTexts(newPgStage(ctx, t, flavor))
	})
}

func (s *pgStage) loginAs(l *leat, user string) error {
	c, err := rawpostgres.Dial(s.ctx, l.Addr, rawpostgres.Options{User: user, Password: localdb.AppPassword, Database: pgStageDatabase, Timeout: replyTimeout})
	if err == nil {
		c.Close()
	}
	return err
}

func pgReloads(s *pgStage) {
	l := startLeat(s.ctx, s.T, s.top, leatOptions{})
	failed := func(want float64) {
		s.Helper()
		eventually(s.ctx, s.T, "the reload", func() error {
			if got := l.Metric(s.ctx, "leat_config_reload_failed"); got != want {
				return fmt.Errorf("leat_config_reload_failed is %v, want %v", got, want)
			}
			return nil
		})
	}
	p, running, inTx := s.dial(l.Addr), s.dial(l.Addr), s.dial(l.Addr)
	p.query("SET TimeZone = 'Asia/Tokyo'")
	inTx.query("BEGIN; SELECT 1")
	must(s.T, running.Send(rawpostgres.Query("SELECT pg_sleep(1)")))

	users := fmt.Sprintf("[{name: %[1]s, password: %[2]s}, {name: second, password: %[2]s, server_user: %[1]s}]", localdb.AppUser, localdb.AppPassword)
	l.WriteConfig(s.top, leatOptions{Users: users, PoolSize: 3})
	if s.loginAs(l, "second") == nil {
		s.Error("a user of a config that isn't in force could log in")
	}
	l.Reload()
	eventually(s.ctx, s.T, "the new user can't log in", func() error { return s.loginAs(l, "second") })
	if r, err := running.ReadReply(1); err != nil || r.Err() != nil {
		s.Errorf("a query that ran meanwhile: %v, %v", err, r.Err())
	}
	p.wants("SHOW TimeZone", "Asia/Tokyo")
	inTx.query("COMMIT")

	l.WriteConfig(s.top, leatOptions{Users: "[{name: third, password: x}]", Shard: []string{"balance: nosuch"}, Top: []string{"nonsense: 1"}})
	l.Reload()
	failed(1)
	_, status, err := l.Get(s.ctx, "/api/status")
	must(s.T, err)
	for _, want := range []string{"leat.yaml:", "nosuch", "nonsense"} {
		if !strings.Contains(status, want) || !strings.Contains(l.Log(), want) {
			s.Errorf("status and log don't both name %q", want)
		}
	}
	must(s.T, s.loginAs(l, "second"))
	p.wants("SHOW TimeZone", "Asia/Tokyo")
	l.WriteConfig(s.top, leatOptions{})
	l.Reload()
	failed(0)
	if got := pgState(s.loginAs(l, "second")); got != "28P01" {
		s.Errorf("a user who was taken out: got %q, want 28P01", got)
	}
}

// goodbye reads what an idle client is told at the end.
func (p *pgPeer) goodbye() {
	p.s.Helper()
	m, err := p.ReadMessage()
	if err != nil {
		p.s.Errorf("goodbye: %v", err)
		return
	}
	if e := (&rawpostgres.Reply{Messages: []rawpostgres.Message{m}}).Err(); pgState(e) != "57P01" {
		p.s.Errorf("goodbye: got %c %v, want 57P01", m.Kind, e)
	}
}

func pgDrains(s *pgStage) {
	l := startLeat(s.ctx, s.T, s.top, leatOptions{})
	tx, idle := s.dial(l.Addr), s.dial(l.Addr)
	tx.query("DELETE FROM a")
	idle.query("SELECT 1")
	tx.query("BEGIN")
	tx.query("INSERT INTO a (k) VALUES (118)")
	must(s.T, l.cmd.Process.Signal(syscall.SIGTERM))
	idle.goodbye()
	if status, _, err := l.Get(s.ctx, "/readyz"); err != nil || status != http.StatusServiceUnavailable {
		s.Errorf("readiness while draining: %d %v, want 503", status, err)
	}
	tx.query("INSERT INTO a (k) VALUES (119)")
	tx.query("COMMIT")
	tx.goodbye()
	select {
	case <-l.done:
	case <-time.After(30 * time.Second):
		s.Fatal("it doesn't end")
	}
	if l.err != nil {
		s.Errorf("it ended with %v", l.err)
	}
	s.client().wants("WITH w AS (DELETE FROM a RETURNING k) SELECT count(*) FROM w", "2")
}

// pgRestarts replaces the program three times while pgbench connects for each transaction.
func pgRestarts(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	pgbench, err := exec.LookPath("pgbench")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
		if len(found) == 0 {
			need(t, true, err)
		}
		pgbench = found[0]
	}
	s := newPgStage(ctx, t, flavor)
	l := startLeat(ctx, t, s.top, leatOptions{PoolSize: 4})
	script := filepath.Join(t.TempDir(), "visit.sql")
	must(t, os.WriteFile(script, []byte("\\set i random(1, 5)\nSELECT v FROM t WHERE id = :i;\nUPDATE t SET n = n + 1 WHERE id = :i;\n"), 0o600))
	host, port, err := net.SplitHostPort(l.Addr)
	must(t, err)
	var out strings.Builder
	bench := exec.Command(pgbench, "-n", "-C", "-M", "extended", "-c", "4", "-T", "600", "-f", script, "-h", host, "-p", port, "-U", localdb.AppUser, pgStageDatabase)
	bench.Env = append(os.Environ(), "PGPASSWORD="+localdb.AppPassword)
	bench.Stdout, bench.Stderr = &out, &out
	bench.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, bench.Start())
	var ended atomic.Bool
	done := make(chan error, 1)
	go func() { done <- bench.Wait(); ended.Store(true) }()
	visits := func(l *leat, n float64) {
		t.Helper()
		eventually(ctx, t, "pgbench doesn't get on", func() error {
			switch got := l.Metric(ctx, "leat_requests_total"); {
			case ended.Load():
				t.Fatalf("pgbench has ended:\n%s", out.String())
			case got < n:
				return fmt.Errorf("%v requests", got)
			}
			return nil
		})
	}
	old := l
	for range 3 {
		visits(old, 100)
		next := &leat{t: t, dir: t.TempDir(), config: l.config, Addr: l.Addr, Admin: l.Admin}
		next.start(ctx)
		eventually(ctx, t, "the new process doesn't serve", func() error {
			if !strings.Contains(next.Log(), "msg=serving") {
				return errors.New(next.Log())
			}
			return nil
		})
		old.Stop()
		old = next
	}
	visits(old, 100)
	must(t, bench.Process.Signal(syscall.SIGINT))
	<-done
	if text := out.String(); strings.Contains(text, "error") || strings.Contains(text, "FATAL") || strings.Contains(text, "aborted") {
		t.Errorf("pgbench:\n%s", text)
	}
	old.Stop()
	t.Logf("%s", out.String())
}

func pgSecrets(s *pgStage) {
	const secret = "geheim"
	l := startLeat(s.ctx, s.T, s.top, leatOptions{Top: []string{"slow_query: 1us", "log: {level: debug}"}})
	p := s.dial(l.Addr)
	send := func(messages ...[]byte) {
		s.Helper()
		_, err := p.Do(messages...)
		must(s.T, err)
	}
	text := []rawpostgres.Arg{{Value: []byte(secret)}}
	for _, sql := range []string{
		"SELECT v FROM t WHERE id = 4711 AND v = '" + secret + "'", "SELECT nosuch FROM t WHERE v = '" + secret + "'", "SELECT $$" + secret + "$$", "SELECT E'" + secret + "', U&'" + secret + "', B'0', N'" + secret + "'",
		"SET application_name = '" + secret + "'", "SET app.x = '" + secret + "'", "SELECT set_config('app.y', '" + secret + "', false)", "ALTER ROLE nosuch PASSWORD '" + secret + "'",
		"CREATE USER nosuch PASSWORD '" + secret + "' SUPERUSER", "NOTIFY n, '" + secret + "'", "SELECT '" + secret, "SELECT 4711; SELECT '" + secret + "'", "COMMENT ON TABLE t IS '" + secret + "'",
		"PREPARE x AS SELECT '" + secret + "'", "DEALLOCATE x", "DO $$ BEGIN RAISE NOTICE '" + secret + "'; END $$", "SELECT '" + secret + "'::int", "frobnicate '" + secret + "'",
	} {
		send(rawpostgres.Query(sql))
	}
	send(rawpostgres.Parse("", "SELECT v FROM t WHERE v = $1"), rawpostgres.Bind("", "", text), rawpostgres.Execute("", 0), rawpostgres.Sync())
	send(rawpostgres.Parse("", "SELECT $1::int"), rawpostgres.Bind("", "", text), rawpostgres.Execute("", 0), rawpostgres.Sync())
	send(rawpostgres.Query("COPY c1 FROM STDIN"), rawpostgres.CopyData([]byte(secret+"\t"+secret+"\n")), rawpostgres.CopyDone())
	for _, password := range []string{secret, ""} {
		_, err := rawpostgres.Dial(s.ctx, l.Addr, rawpostgres.Options{User: localdb.AppUser, Password: password, Database: pgStageDatabase, Timeout: replyTimeout})
		if err == nil {
			s.Error("a wrong password is taken")
		}
	}
	for _, path := range []string{"/api/digests", "/api/sessions", "/api/status", "/metrics"} {
		if _, body, err := l.Get(s.ctx, path); err != nil || tells(body, secret) {
			s.Errorf("%s: %v, or it tells a secret", path, err)
		}
	}
	log, err := os.ReadFile(l.logFile())
	must(s.T, err)
	if tells(string(log), secret) || !strings.Contains(string(log), "slow query") {
		s.Errorf("the log tells a secret, or no slow query:\n%s", log)
	}
}

func tells(text string, secret string) bool {
	for _, s := range []string{secret, "4711", localdb.AppPassword, localdb.MonitorPassword, "SCRAM-SHA-256$"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

func pgHostileTexts(s *pgStage) {
	direct := s.dial(s.top.Primary().Addr())
	c, other := s.client(), s.client()
	before := s.leat.RSS()
	for name, sql := range map[string]string{ // nested comments take PostgreSQL the square of their number
		"a list of 200,000":     "SELECT count(*) FROM t WHERE id IN (" + strings.Repeat("1,", 200_000) + "2)",
		"a literal of 10 MiB":   "SELECT length('" + strings.Repeat("x", 10<<20) + "')",
		"1,000 comments":        strings.Repeat("/*", 1000) + strings.Repeat("*/", 1000) + " SELECT 1",
		"unclosed comments":     strings.Repeat("/*", 1000) + " SELECT 1",
		"5,000 parentheses":     "SELECT " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000),
		"unclosed parentheses":  "SELECT " + strings.Repeat("(", 5000),
		"100,000 parentheses":   "SELECT " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000),
		"5,000 selects":         strings.Repeat("SELECT (", 5000) + "1" + strings.Repeat(")", 5000),
		"20,000 statements":     strings.Repeat("SELECT 1;", 20_000),
		"100,000 semicolons":    strings.Repeat(";", 100_000),
		"100,000 quotes":        "SELECT " + strings.Repeat("''", 100_000),
		"a long operator chain": "SELECT 1" + strings.Repeat("+1", 5000),
		"minus signs":           "SELECT " + strings.Repeat("- ", 5000) + "1",
		"NOTs":                  "SELECT " + strings.Repeat("NOT ", 5000) + "true",
		"dollar quotes":         strings.Repeat("$a$", 100_001),
		"a long name":           "SELECT 1 AS " + strings.Repeat("n", 1<<20),
		"many columns":          "SELECT 1" + strings.Repeat(",1", 1600),
	} {
		want, err := direct.Query(sql)
		if err != nil {
			s.Fatalf("%s, direct: %v", name, err)
		}
		began := time.Now()
		got, err := c.Query(sql)
		if err != nil {
			s.Fatalf("%s: %v", name, err)
		}
		within(s.T, name, began, 20*time.Second)
		if got.Shape() != want.Shape() || fmt.Sprint(got.Masked().Err()) != fmt.Sprint(want.Masked().Err()) || got.Value() != want.Value() {
			s.Errorf("%s: got %s %v, want %s %v", name, got.Shape(), got.Err(), want.Shape(), want.Err())
		}
		other.wants("SELECT 1", "1")
	}
	grown := s.leat.RSS() - before
	s.Logf("memory grew by %d KiB", grown>>10)
	if grown > 256<<20 {
		s.Errorf("memory grew by %d MB", grown>>20)
	}
	must(s.T, c.Close())
	s.pinnedTo("", 0)
}
