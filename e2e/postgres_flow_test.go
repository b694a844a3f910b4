package e2e

// Cases 45, 49, 61, 120 and 121: clients that listen, vanish, idle, or read slowly.

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawpostgres"
)

func init() {
	addPgStageCase(45, "notifications while idle", pgListens)
	addPgStageCase(49, "clients that vanish", pgClientsVanish)
	addPgCase(61, "time outs in a transaction", pgTimeouts)
	addPgCase15(120, "idle clients", pgIdleClients)
	addPgStageCase(121, "a slow reader", pgSlowReader)
}

func pgListens(s *pgStage) {
	a, b, c := s.client(), s.client(), s.client()
	a.query("LISTEN news")
	s.pinnedTo("listen", 1)
	hears := func(p *pgPeer, want string) {
		s.Helper()
		r, err := p.ReadUntil("A")
		must(s.T, err)
		got := r.Messages[len(r.Messages)-1].Payload[4:]
		if string(got) != "news\x00"+want+"\x00" {
			s.Errorf("got notification %q, want %q", got, want)
		}
	}
	for i := range 3 { // a reads without having sent anything
		text := fmt.Sprint("number ", i)
		b.query("NOTIFY news, '" + text + "'")
		hears(a, text)
	}
	b.query("BEGIN; NOTIFY news, 'never'; ROLLBACK")
	b.query("SELECT pg_notify('news', 'by function')")
	hears(a, "by function")
	a.wants("SELECT 1", "1")
	a.query("NOTIFY news, 'own'") // within its reply or behind it
	a.query("UNLISTEN news")
	s.pinnedTo("listen", 0)
	b.query("NOTIFY news, 'too late'")
	for _, p := range []*pgPeer{a, c} {
		r := p.query("SELECT pg_sleep(0.05)")
		for _, m := range r.Messages {
			if m.Kind == 'A' {
				s.Errorf("a client that doesn't listen got %q", m.Payload)
			}
		}
	}
	// What listens goes with the server's conn: the client hears of it, and isn't left to wait for ever.
	a.query("LISTEN news")
	pid := a.value("SELECT pg_backend_pid()")
	s.atPrimary("SELECT pg_terminate_backend(" + pid + ")")
	for {
		m, err := a.ReadMessage()
		if err != nil {
			break
		}
		if m.Kind != 'E' {
			s.Errorf("got %c %q", m.Kind, m.Payload)
		}
	}
	s.pinnedTo("listen", 0)
}

// backends are the application's connections to all servers, and the transactions open there.
func (s *pgStage) backends() (conns, open int) {
	s.Helper()
	for _, srv := range s.top.Servers {
		row, err := srv.Row(s.ctx, "SELECT count(*) AS conns, count(*) FILTER (WHERE state <> 'idle') AS open FROM pg_stat_activity WHERE usename = 'app' AND datname = '"+pgStageDatabase+"'")
		must(s.T, err)
		var c, o int
		_, err = fmt.Sscan(row["conns"]+" "+row["open"], &c, &o)
		must(s.T, err)
		conns, open = conns+c, open+o
	}
	return conns, open
}

func pgClientsVanish(s *pgStage) {
	query := rawpostgres.Query
	endless := "SELECT repeat('x', 100000) FROM many, many b"
	for _, sent := range [][][]byte{
		{query("BEGIN; UPDATE t SET n = 49 WHERE id = 1")},
		{query("BEGIN; UPDATE t SET n = 49 WHERE id = 1; SELECT pg_sleep(100)")},
		{query("SELECT pg_sleep(100)")},
		{query(endless)},
		{query("COPY c1 FROM STDIN"), rawpostgres.CopyData([]byte("49\tx\n"))},
		{query("COPY (" + endless + ") TO STDOUT")},
		{rawpostgres.Parse("x", "SELECT 1"), rawpostgres.Describe('S', "x"), rawpostgres.Flush()},
		{rawpostgres.Parse("", endless), rawpostgres.Bind("", "", nil), rawpostgres.Execute("", 3), rawpostgres.Flush()},
		{query("LISTEN news")},
		{query("CREATE TEMPORARY TABLE vanishing (x int)")},
		{query("SELECT pg_advisory_lock(49)")},
		{query("SET work_mem = '1MB'; BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT")},
	} {
		c := s.client()
		must(s.T, c.Send(sent...))
		if text := string(sent[0]); !strings.Contains(text, "pg_sleep") {
			if _, err := c.ReadUntil("GHDZt1"); err != nil {
				s.Fatalf("%q: %v", sent[0], err)
			}
		}
		must(s.T, c.Abort())
	}
	eventually(s.ctx, s.T, "vanished clients leave something behind", func() error {
		conns, open := s.backends()
		if limit := 2 * len(s.top.Servers); conns > limit || open > 0 {
			return fmt.Errorf("%d conns of %d, %d at work or in a transaction", conns, limit, open)
		}
		return nil
	})
	s.pinnedTo("", 0)
	other := s.client()
	other.wants("SELECT n FROM t WHERE id = 1 FOR UPDATE", "0", "SELECT pg_try_advisory_xact_lock(49)", "t", "SELECT count(*) FROM c1 WHERE k = 49", "0", "SHOW work_mem", "4MB",
		"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()", "0")
	for i := range 20 { // every conn is in step
		other.wants(fmt.Sprint("SELECT ", i), fmt.Sprint(i), fmt.Sprint("SELECT ", i, " FOR UPDATE"), fmt.Sprint(i))
	}
}

func pgTimeouts(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	base := newPgStage(ctx, t, flavor)
	s := base.before(startLeat(ctx, t, base.top, leatOptions{PoolSize: 1, Top: []string{"timeouts: {acquire: 500ms, pool_lifetime: 300ms, tx_idle: 20s}"}}))

	// The client's own limit: the server ends the connection, and says why. Through Leat a client with an open transaction hears of
	// it when it goes on, since nobody reads from its conn until then.
	for _, set := range []string{"idle_in_transaction_session_timeout", "idle_session_timeout"} {
		for _, address := range []string{s.top.Primary().Addr(), s.leat.Addr} {
			c := s.dial(address)
			begin, want := "BEGIN", "25P03"
			if set == "idle_session_timeout" {
				begin, want = "SELECT 1", "57P05"
			}
			c.query("SET " + set + " = '200ms'")
			c.query(begin)
			if begin == "BEGIN" && address == s.leat.Addr {
				eventually(ctx, t, "the server's limit", func() error {
					if _, open := s.backends(); open > 0 {
						return fmt.Errorf("%d transactions are open", open)
					}
					return nil
				})
				must(t, c.Send(rawpostgres.Query("SELECT 1")))
			}
			m, err := c.ReadMessage()
			if err != nil {
				t.Fatalf("%s at %s: %v", set, address, err)
			}
			e := (&rawpostgres.Reply{Messages: []rawpostgres.Message{m}}).Err()
			if pgState(e) != want || e.(*rawpostgres.ServerError).Severity != "FATAL" {
				t.Errorf("%s at %s: got %v, want FATAL %s", set, address, e, want)
			}
			if _, err := c.ReadMessage(); err == nil {
				t.Errorf("%s at %s: the connection is still open", set, address)
			}
		}
	}

	// A conn whose time is over stays with its transaction.
	c, other := s.client(), s.client()
	c.query("BEGIN")
	pid := c.value("SELECT pg_backend_pid()")
	c.wants("SELECT pg_sleep(0.5)", "", "SELECT pg_backend_pid()", pid)

	// Whoever waits too long for a conn is told so, and goes on.
	began := time.Now()
	other.fails("SELECT 1 FOR UPDATE", "53300")
	within(t, "waiting for a conn", began, 5*time.Second)
	c.wants("SELECT pg_backend_pid()", pid)
	c.query("COMMIT")
	other.query("SELECT 1 FOR UPDATE")
}

// pgIdleClients measures what a client costs that does nothing: LEAT_IDLE_CLIENTS of them (default 1000).
func pgIdleClients(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	base := newPgStage(ctx, t, flavor)
	s := base.before(startLeat(ctx, t, base.top, leatOptions{PoolSize: 4}))
	n := int(envNumber("LEAT_IDLE_CLIENTS", 1000))
	clients := make([]*pgPeer, n)
	var wg sync.WaitGroup
	connect := func(from, to int) {
		for worker := range 4 {
			wg.Go(func() {
				for i := from + worker; i < to; i += 4 {
					c, err := dialPgStage(ctx, s.leat.Addr)
					if err != nil {
						t.Error(err)
						return
					}
					clients[i] = &pgPeer{c, s}
					if r, err := c.Query("SELECT v FROM t WHERE id = 2"); err != nil || r.Value() != "v2" {
						t.Errorf("%v %v", err, r.Err())
					}
				}
			})
		}
		wg.Wait()
	}
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.Abort()
			}
		}
	}()
	connect(0, n/10)
	before := s.leat.RSS()
	connect(n/10, n)
	if t.Failed() {
		return
	}
	each := (s.leat.RSS() - before) / int64(n-n/10)
	t.Logf("%d idle clients: %d bytes each", n, each)
	if each > 20<<10 {
		t.Errorf("an idle client takes %d bytes resident, want at most 20 KiB", each)
	}
	for i := 0; i < n; i += 50 {
		clients[i].wants("SELECT v FROM t WHERE id = 3", "v3")
	}
}

func pgSlowReader(s *pgStage) {
	const rows, limit = 300, 32 << 20
	other := s.client()
	other.query("SELECT 1")
	before := s.leat.RSS()
	slow := s.client()
	must(s.T, slow.Send(rawpostgres.Query(fmt.Sprintf("SELECT repeat('x', 1000000) FROM many LIMIT %d", rows))))
	most, count := int64(0), 0
	for {
		m, err := slow.ReadMessage()
		must(s.T, err)
		if m.Kind == 'Z' {
			break
		}
		if m.Kind != 'D' {
			continue
		}
		if len(m.Payload) != 1_000_000+6 {
			s.Fatalf("row %d has %d bytes", count, len(m.Payload))
		}
		if count++; count%20 == 1 {
			for range 20 { // the others go on while this one doesn't read
				other.wants("SELECT v FROM t WHERE id = 2", "v2")
			}
			most = max(most, s.leat.RSS())
		}
	}
	if count != rows {
		s.Errorf("%d rows, want %d", count, rows)
	}
	if grown := most - before; grown > limit {
		s.Errorf("memory grew by %d MB while a result of %d MB was read slowly, want at most %d", grown>>20, rows, limit>>20)
	} else {
		s.Logf("memory grew by %d KiB", grown>>10)
	}
	must(s.T, slow.Close())
}
