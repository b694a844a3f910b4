package e2e

// Cases of state that keeps a conn, and of what a client leaves behind.

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addStageCase(102, "user variables keep their conn", userVariables)
	addStageCase(104, "SET GLOBAL goes to the primary alone", setGlobal)
	addStageCase(107, "nothing of a client outlives it", nothingOutlives)
	addStageCase(108, "pins are shown and end", pinsEnd)
	addStageCase(111, "wait_timeout by Leat's clock", waitTimeout)
}

func userVariables(s *stage) {
	s.same(
		"query SET @a = 5, @b := 'x'",
		"2: query SELECT @a, @b",
		"query SELECT @a, @b",
		"query SELECT id INTO @c FROM t WHERE id = 2",
		"2: query SELECT @c",
		"query SELECT @c, @a",
		"query SELECT @d := 7",
		"query CALL p_out(4, @e)",
		"query SELECT @d, @e",
		"query SET @a = @a + 1, time_zone = '+01:00'",
		"2: query SELECT @@time_zone, @a",
		"query SELECT @a, @@time_zone",
		"prepare s SET @f = ?",
		"execute s 'bound'",
		"query SELECT @f",
		"2: query SELECT @f",
	)
	c := s.client()
	c.query("SELECT id INTO @c FROM t WHERE id = 2")
	if n := s.pinned("user variables"); n == 0 {
		s.Error("no session is pinned for its user variables")
	}
}

// setGlobal needs a user who may; the application's may not.
func setGlobal(s *stage) {
	const variable = "max_error_count"
	normal := s.client().value("SELECT @@GLOBAL." + variable)
	s.atPrimary("CREATE USER IF NOT EXISTS stage_admin@'127.0.0.1' IDENTIFIED BY 'app-secret'; GRANT ALL ON *.* TO stage_admin@'127.0.0.1'")
	s.sync()
	l := startLeat(s.ctx, s.T, s.top, leatOptions{PoolSize: 1, Users: "[{name: stage_admin, password: app-secret}]"})
	c, err := rawmysql.Dial(s.ctx, l.Addr, rawmysql.Options{User: "stage_admin", Password: localdb.AppPassword, Flags: peerFlags})
	if err != nil {
		s.Fatal(err)
	}
	p := &peer{c, s}
	defer p.Close()
	defer s.atPrimary("SET GLOBAL " + variable + " = DEFAULT")
	global := func(want ...string) {
		s.Helper()
		for i, srv := range append([]*localdb.Server{s.top.Primary()}, s.top.Replicas()...) {
			if got, err := srv.Value(s.ctx, "SELECT @@GLOBAL."+variable); err != nil || got != want[min(i, len(want)-1)] {
				s.Errorf("server %d: got %s %v, want %s", i, got, err, want[min(i, len(want)-1)])
			}
		}
	}
	for _, sql := range []string{"SET GLOBAL max_error_count = 33", "SET @@GLOBAL.max_error_count = 34", "SET time_zone = '+01:00', GLOBAL max_error_count = 35"} {
		p.query(sql)
		global(sql[len(sql)-2:], normal)
		p.wants("SELECT @@SESSION."+variable, normal, "SELECT COUNT(*) FROM leat_stage.t", "6")
	}
	p.wants("SELECT @@time_zone", "+01:00")
	if s.flavor == localdb.MySQL {
		p.query("SET PERSIST max_error_count = 36")
		global("36", normal)
		p.query("RESET PERSIST max_error_count")
	}
}

// leavings are what clients may leave behind.
var leavings = []string{
	"BEGIN; INSERT INTO c1 (k) VALUES (4107)",
	"SET autocommit = 0; UPDATE c1 SET v = 'left' WHERE id = 1",
	"SELECT GET_LOCK('leat_stage_107', 0)",
	"CREATE TEMPORARY TABLE tmp107 (id INT); INSERT INTO tmp107 VALUES (1)",
	"SET @left = 1",
	"SELECT id INTO @left FROM t WHERE id = 1",
	"SET foreign_key_checks = 0",
	"SET unique_checks = 0, foreign_key_checks = OFF, time_zone = '+05:00'",
	"SET @@foreign_key_checks = 0, @@sql_mode = ''",
	"SET sql_mode = 'ANSI_QUOTES', sql_select_limit = 1",
	"SET timestamp = 1",
	"SET SESSION TRANSACTION READ ONLY",
	"SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
	"SET TRANSACTION READ ONLY",
	"SET NAMES latin1",
	"USE information_schema",
	"LOCK TABLES t READ",
	"HANDLER t OPEN",
	"PREPARE left107 FROM 'SELECT 1'",
	"SET ROLE NONE",
	"SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1",
	"SET insert_id = 4107",
	"XA START 'left107'; INSERT INTO c1 (k) VALUES (4108); XA END 'left107'",
	"SET character_set_database = latin1",
	"SET SESSION wait_timeout = 2",
	"CALL p_out(1, @left)",
	"SET session_track_system_variables = ''",
}

// canary are questions to a conn as another client finds it. Inside a transaction they ask the primary.
const canary = "SELECT @left, @@foreign_key_checks, @@unique_checks, @@sql_mode, @@sql_select_limit, @@time_zone, @@autocommit, @@wait_timeout, " +
	"@@character_set_client, @@character_set_results, @@collation_connection, @@character_set_database, DATABASE(), " +
	"IS_USED_LOCK('leat_stage_107'), NOW() > '2020-01-01', (SELECT COUNT(*) FROM leat_stage.c1 WHERE k > 4000 OR v = 'left'), %s"

var canaryOf = map[localdb.Flavor]string{
	localdb.MySQL:   "@@transaction_isolation, @@SESSION.sql_log_bin, @@SESSION.gtid_next, CURRENT_ROLE()",
	localdb.MariaDB: "@@tx_isolation, @@SESSION.sql_log_bin, @@SESSION.skip_replication, CURRENT_ROLE()",
}

func nothingOutlives(s *stage) {
	l := startLeat(s.ctx, s.T, s.top, leatOptions{PoolSize: 1})
	question := fmt.Sprintf(canary, canaryOf[s.flavor])
	ask := func() []string {
		s.Helper()
		p := s.dial(l.Addr, stageDatabase, peerFlags)
		defer p.Close()
		var all []string
		for _, sql := range []string{"BEGIN", question, "COMMIT", question} {
			for _, row := range p.query(sql).Text() {
				all = append(all, row...)
			}
		}
		for sql, want := range map[string]uint16{"SELECT * FROM tmp107": 1146, "EXECUTE left107": 1243, "HANDLER t READ FIRST": 1109} {
			p.fails(sql, want)
		}
		p.query("UPDATE leat_stage.c5 SET v = v WHERE id = 1") // needs no lock that was left, nor a mode
		return all
	}
	want := ask()
	for i, left := range leavings {
		p := s.dial(l.Addr, stageDatabase, peerFlags)
		for _, sql := range strings.Split(left, "; ") {
			p.number(sql) // what a flavor refuses leaves nothing behind
		}
		if i%2 == 0 {
			_ = p.Abort()
		} else {
			_ = p.Close()
		}
		for i, got := range ask() {
			if got != want[i] {
				s.Errorf("after a client who left %q behind, value %d: got %s, want %s", left, i, got, want[i])
			}
		}
	}
}

func pinsEnd(s *stage) {
	other := s.client()
	c := s.client()
	id := c.value("SELECT CONNECTION_ID()")
	reasons := func() string {
		for _, row := range other.query("LEAT SHOW PINNED").Text() {
			if row[0] == id {
				return row[4]
			}
		}
		return ""
	}
	const reset = "" // COM_RESET_CONNECTION, for what no statement ends yet
	for _, pin := range []struct{ begin, reason, end string }{
		{"LOCK TABLES t READ", "table locks", "UNLOCK TABLES"},
		{"SELECT GET_LOCK('leat_stage_108', 0)", "named lock", "SELECT RELEASE_ALL_LOCKS()"},
		{"BEGIN", "transaction", "ROLLBACK"},
		{"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "next transaction's characteristics", "BEGIN; COMMIT"},
		{"XA START 'x108'", "xa transaction", "XA END 'x108'; XA ROLLBACK 'x108'"},
		{"SET @a = 5", "user variables", reset},
		{"CREATE TEMPORARY TABLE tmp108 (id INT)", "temporary table", reset},
		{"HANDLER t OPEN", "open handler", reset},
		{"PREPARE p FROM 'SELECT 1'", "text prepared statement", reset},
		{"CALL p_many()", "stored procedure", reset},
		{"SET timestamp = 1", "session variable that can't be restored", reset},
		{"SET ROLE NONE", "role", reset},
	} {
		c.query(pin.begin)
		if got := reasons(); !strings.Contains(got, pin.reason) {
			s.Errorf("%s: shown as pinned for %q, want %q", pin.begin, got, pin.reason)
		}
		if s.pinned(pin.reason) == 0 {
			s.Errorf("%s: no metric for %q", pin.begin, pin.reason)
		}
		if pin.end == reset {
			c.do([]byte{rawmysql.ComResetConnection})
		} else {
			for _, sql := range strings.Split(pin.end, "; ") {
				c.query(sql)
			}
		}
		if got := reasons(); got != "" {
			s.Errorf("%s: still pinned for %q after %q", pin.begin, got, pin.end)
		}
	}
	s.cursorPin(c, reasons)
}

// cursorPin: an open cursor keeps its conn until its statement is closed.
func (s *stage) cursorPin(c *peer, reasons func() string) {
	s.Helper()
	id := c.prepare("SELECT id FROM t ORDER BY id")
	payload, err := rawmysql.ExecutePayload(id, rawmysql.ReadOnlyCursor)
	if err != nil {
		s.Fatal(err)
	}
	c.do(payload)
	if got := reasons(); !strings.Contains(got, "open cursor") {
		s.Errorf("a cursor: shown as pinned for %q", got)
	}
	if _, err := c.Do(rawmysql.ClosePayload(id)); err != nil {
		s.Fatal(err)
	}
	c.do([]byte{rawmysql.ComPing})
	if got := reasons(); got != "" {
		s.Errorf("still pinned for %q after the cursor's statement was closed", got)
	}
}

// waitTimeout: what a client is told who was silent for longer than it wished, free and pinned; and its conns
// don't fail those who come after it.
func waitTimeout(s *stage) {
	goodbye := func(address string, statements ...string) string {
		s.Helper()
		p := s.dial(address, stageDatabase, peerFlags)
		for _, sql := range statements {
			p.query(sql)
		}
		began := time.Now()
		r, err := p.ReadReply(rawmysql.ComPing) // sent by nobody: the reply is the goodbye
		if took := time.Since(began); took < 500*time.Millisecond || took > 20*time.Second {
			s.Errorf("%s: closed after %s, want about a second", address, took)
		}
		var all []byte
		for _, f := range r.Frames {
			all = fmt.Appendf(all, "%d %q ", f.Seq, bytes.TrimSpace(f.Payload))
		}
		return fmt.Sprintf("%s%v", all, err != nil)
	}
	other := s.client()
	for _, statements := range [][]string{
		{"SET wait_timeout = 1"},
		{"SET @@SESSION.wait_timeout = 1", "SET @a = 1"},
		{"SET wait_timeout = 1", "BEGIN"},
	} {
		want, got := goodbye(s.top.Primary().Addr(), statements...), goodbye(s.leat.Addr, statements...)
		if got != want {
			s.Errorf("after %q: got %s, want %s", statements, got, want)
		}
		for range 10 { // over conns that their servers may have closed
			if n := other.number("UPDATE c4 SET v = v WHERE id = 1"); n != 0 {
				s.Error(errors.New("a write of another client failed"))
			}
			other.query("SELECT COUNT(*) FROM t")
		}
	}
}
