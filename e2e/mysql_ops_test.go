package e2e

// Cases of running Leat: what it shows, how it reloads, and how it stops.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addStageCase(186, "digests are bounded and tell no literals", boundedDigests)
	addStageCase(187, "a reload is whole or nothing", reloads)
	addStageCase(189, "a drain and restarts under load", drains)
	addStageCase(191, "LEAT EXPLAIN", leatExplain)
	addMySQLCase(194, "readiness", readiness)
}

// boundedDigests sends LEAT_DIGESTS different texts (default 3000).
func boundedDigests(s *stage) {
	const bound, secret = 100, "geheim"
	l := startLeat(s.ctx, s.T, s.top, leatOptions{Top: []string{fmt.Sprintf("limits: {digests: %d}", bound), "slow_query: 1us"}})
	p := s.dial(l.Addr, stageDatabase, peerFlags)
	often := func() { p.query("SELECT v FROM t WHERE id = 4711 AND v = '" + secret + "'") }
	send := func(from, to int) {
		for i := from; i < to; i++ {
			p.query(fmt.Sprintf("SELECT '%s %d' AS c%d", secret, i, i))
			if i%20 == 0 {
				often()
			}
		}
	}
	n := int(envNumber("LEAT_DIGESTS", 3000))
	send(0, n/3)
	before := l.RSS()
	send(n/3, n)
	if grown := l.RSS() - before; grown > 48<<20 {
		s.Errorf("memory grew by %d bytes over %d different texts", grown, n-n/3)
	}
	p.number("SELECT nosuch FROM t WHERE v = '" + secret + "'")
	_, body, err := l.Get(s.ctx, "/api/digests")
	must(s.T, err)
	var digests []struct {
		Text  string `json:"text"`
		Count int    `json:"count"`
	}
	must(s.T, json.Unmarshal([]byte(body), &digests))
	if len(digests) > bound || len(digests) < bound/2 {
		s.Errorf("%d digests are kept, want at most %d and not many less", len(digests), bound)
	}
	kept := 0
	for _, d := range digests {
		if strings.Contains(d.Text, "FROM t WHERE id = ?") {
			kept = d.Count
		}
	}
	if kept < n/20 {
		s.Errorf("what ran often is counted %d times, want at least %d", kept, n/20)
	}
	for _, path := range []string{"/api/digests", "/api/sessions", "/api/status", "/metrics"} {
		if _, body, err := l.Get(s.ctx, path); err != nil || strings.Contains(body, secret) || strings.Contains(body, "4711") {
			s.Errorf("%s: %v, or it tells a literal", path, err)
		}
	}
	if log := l.Log(); strings.Contains(log, secret) || !strings.Contains(log, "slow query") {
		s.Errorf("the log tells a literal, or no slow query:\n%s", log)
	}
}

func reloads(s *stage) {
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
	login := func(user string) error {
		c, err := rawmysql.Dial(s.ctx, l.Addr, rawmysql.Options{User: user, Password: localdb.AppPassword, Flags: peerFlags})
		if err == nil {
			c.Close()
		}
		return err
	}
	p := s.dial(l.Addr, stageDatabase, peerFlags)
	p.query("SET @kept = 7, time_zone = '+02:00'")
	running := s.dial(l.Addr, stageDatabase, peerFlags)
	must(s.T, running.Send(append([]byte{rawmysql.ComQuery}, "SELECT SLEEP(1), @@version_comment"...)))

	users := fmt.Sprintf("[{name: %[1]s, password: %[2]s}, {name: second, password: %[2]s, server_user: %[1]s}]", localdb.AppUser, localdb.AppPassword)
	l.WriteConfig(s.top, leatOptions{Users: users, PoolSize: 3})
	if err := login("second"); err == nil {
		s.Error("a user of a config that isn't in force could log in")
	}
	l.Reload()
	eventually(s.ctx, s.T, "the new user can't log in", func() error { return login("second") })
	if r, err := running.ReadReply(rawmysql.ComQuery); err != nil || r.Err() != nil {
		s.Errorf("a query that ran meanwhile: %v, %v", err, r.Err())
	}
	p.wants("SELECT @kept", "7", "SELECT @@time_zone", "+02:00")

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
	must(s.T, login("second"))
	if login("third") == nil {
		s.Error("a config with mistakes is in force")
	}
	p.wants("SELECT @kept", "7")
	l.WriteConfig(s.top, leatOptions{})
	l.Reload()
	failed(0)
	if login("second") == nil {
		s.Error("a user who was taken out can log in")
	}
}

func drains(s *stage) {
	l := startLeat(s.ctx, s.T, s.top, leatOptions{})
	tx, idle := s.dial(l.Addr, stageDatabase, peerFlags), s.dial(l.Addr, stageDatabase, peerFlags)
	tx.query("DELETE FROM c3")
	idle.query("SELECT 1")
	tx.query("BEGIN")
	tx.query("INSERT INTO c3 (k) VALUES (189)")
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	goodbye := func(p *peer) {
		s.Helper()
		r, err := p.ReadReply(rawmysql.ComPing) // sent by nobody
		if n := numberOf(r); n != 1053 || err != nil {
			s.Errorf("goodbye: got error %d (%v), want 1053", n, err)
		}
	}
	goodbye(idle)
	if status, _, err := l.Get(s.ctx, "/readyz"); err != nil || status != http.StatusServiceUnavailable {
		s.Errorf("readiness while draining: %d %v, want 503", status, err)
	}
	tx.query("INSERT INTO c3 (k) VALUES (190)")
	tx.query("COMMIT")
	goodbye(tx)
	select {
	case <-l.done:
	case <-time.After(30 * time.Second):
		s.Fatal("it doesn't end")
	}
	if l.err != nil {
		s.Errorf("it ended with %v", l.err)
	}
	s.client().wants("SELECT COUNT(*) FROM c3", "2")
	s.restarts()
}

// restarts replaces the program three times under clients that connect all the time.
func (s *stage) restarts() {
	s.Helper()
	l := startLeat(s.ctx, s.T, s.top, leatOptions{})
	stop := make(chan struct{})
	var connects, failures atomic.Int64
	var first atomic.Pointer[error]
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				connects.Add(1)
				if err := visit(s.ctx, l.Addr); err != nil {
					failures.Add(1)
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	old := l
	for range 3 {
		next := &leat{t: s.T, dir: s.TempDir(), config: l.config, Addr: l.Addr, Admin: l.Admin}
		next.start(s.ctx)
		eventually(s.ctx, s.T, "the new process doesn't serve", func() error {
			if !strings.Contains(next.Log(), "msg=serving") {
				return errors.New(next.Log())
			}
			return nil
		})
		seen := connects.Load()
		old.Stop()
		eventually(s.ctx, s.T, "nobody connects to the new process", func() error {
			if connects.Load() < seen+20 {
				return errors.New("waiting for connects")
			}
			return nil
		})
		old = next
	}
	close(stop)
	wg.Wait()
	old.Stop()
	if n := failures.Load(); n > 0 {
		s.Errorf("%d of %d visits failed, the first with: %v", n, connects.Load(), *first.Load())
	}
	s.Logf("%d visits over three restarts", connects.Load())
}

// visit connects, asks one question, and leaves.
func visit(ctx context.Context, addr string) error {
	c, err := rawmysql.Dial(ctx, addr, rawmysql.Options{User: localdb.AppUser, Password: localdb.AppPassword, Flags: peerFlags})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer c.Close()
	r, err := c.Query("SELECT 1")
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	return r.Err()
}

// explained is what LEAT EXPLAIN says, by property.
func (p *peer) explained(sql string) map[string]string {
	p.s.Helper()
	all := map[string]string{}
	for _, row := range p.query("LEAT EXPLAIN " + sql).Text() {
		all[row[0]] = row[1]
	}
	return all
}

func leatExplain(s *stage) {
	c := s.client()
	c.query("DELETE FROM c4")
	for _, e := range []struct{ sql, class, role, pin string }{
		{"SELECT * FROM t WHERE id = 4711", "read", "replica", ""},
		{"SELECT * FROM t WHERE id = 4711 FOR UPDATE", "write", "primary", ""},
		{"INSERT INTO c4 (k) VALUES (4711)", "write", "primary", ""},
		{"DROP TABLE c4", "write", "primary", ""},
		{"SET time_zone = '+01:00'", "session", "primary", ""},
		{"SET @a = 1", "session", "primary", "user variables"},
		{"SELECT GET_LOCK('x', 1)", "write", "primary", "named lock"},
		{"CREATE TEMPORARY TABLE x (id INT)", "write", "primary", "temporary table"},
		{"SELECT f_write()", "write", "primary", ""},
		{"GRANT ALL ON *.* TO nobody", "write", "primary", ""},
		{"this is no SQL", "write", "primary", ""},
		{"SELECT 1; DROP TABLE c4", "write", "primary", ""},
		{"/* leat: class=batch */ SELECT * FROM t", "read", "replica", ""},
	} {
		got := c.explained(e.sql)
		if got["class"] != e.class || got["role"] != e.role || e.pin != "" && got["pin"] != e.pin {
			s.Errorf("%s: got %v, want %s, %s, %q", e.sql, got, e.class, e.role, e.pin)
		}
		if got["rule"] == "" || got["shard"] != "main" || got["server"] == "" || got["digest"] == "" || strings.Contains(got["statement"], "4711") {
			s.Errorf("%s: incomplete, or with a literal: %v", e.sql, got)
		}
	}
	for _, sql := range []string{"LEAT EXPLAIN", "LEAT EXPLAIN ;", "LEAT EXPLAIN /* leat: class=x */ SELECT 1"} {
		if r, err := c.Query(sql); err != nil || r.Err() == nil {
			s.Errorf("%s: got %v and a result, want an error that says what to write", sql, err)
		}
	}
	c.wants("SELECT COUNT(*) FROM c4", "0")
	if s.pinned("named lock") > 0 && strings.Contains(fmt.Sprint(c.query("LEAT SHOW PINNED").Text()), "named lock") {
		s.Error("an explained statement was run")
	}
	c.query("BEGIN")
	if got := c.explained("SELECT * FROM t"); got["role"] != "primary" || !strings.Contains(got["rule"], "transaction") {
		s.Errorf("in a transaction: %v", got)
	}
	c.query("ROLLBACK")
}

func readiness(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	f := newFailing(ctx, t, flavor, leatOptions{})
	ready := func(want int) {
		t.Helper()
		eventually(ctx, t, "readiness", func() error {
			status, body, err := f.leat.Get(ctx, "/readyz")
			if err == nil && status != want {
				err = fmt.Errorf("%d %s, want %d", status, body, want)
			}
			return err
		})
	}
	ready(http.StatusOK)
	for _, srv := range f.top.Servers {
		must(t, srv.Pause())
	}
	ready(http.StatusServiceUnavailable)
	if status, _, err := f.leat.Get(ctx, "/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("/healthz: %d %v, want 200: the process is well", status, err)
	}
	for _, srv := range f.top.Servers {
		must(t, srv.Resume())
	}
	ready(http.StatusOK)
}
