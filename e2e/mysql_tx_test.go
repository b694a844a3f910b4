package e2e

// Cases 66 to 81: transactions.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addStageCase(66, "the server's flags decide", flagsDecide)
	addStageCase(67, "autocommit off", autocommitOff)
	addStageCase(68, "implicit commits", implicitCommits)
	addStageCase(69, "temporary tables in transactions", temporaryInTx)
	addStageCase(70, "errors that end transactions and errors that don't", txErrors)
	addStageCase(71, "read only transactions", readOnlyTx)
	addStageCase(72, "characteristics of the next transaction", nextTransaction)
	addStageCase(73, "savepoints", savepoints)
	addStageCase(74, "COMMIT and its forms", commitForms)
	addStageCase(75, "SERIALIZABLE", serializable)
	addStageCase(76, "XA", xaTransactions)
	addStageCase(77, "table locks", tableLocks)
	addStageCase(78, "a client drops in a transaction", droppedInTx)
	addStageCase(79, "consistent snapshots", consistentSnapshots)
	addMySQLCase(80, "transactions over their time", overdueTx)
	addStageCase(81, "COMMIT goes to the transaction's server", oneCommit)
}

func flagsDecide(s *stage) {
	s.sameFramed("query CREATE PROCEDURE p_begin() BEGIN START TRANSACTION; INSERT INTO a (k) VALUES (660); END", "query CALL p_begin()", "query DO 0",
		"query SELECT COUNT(*) FROM a", "query ROLLBACK", "query SELECT COUNT(*) FROM a",
		"query CREATE PROCEDURE p_commit() BEGIN INSERT INTO a (k) VALUES (661); COMMIT; END", "query BEGIN", "query CALL p_commit()",
		"query ROLLBACK", "query SELECT COUNT(*) FROM a", "prepare c CALL p_begin()", "execute c", "query DO 0", "query COMMIT",
		"query SELECT COUNT(*) FROM a", "query SELECT 1; BEGIN; INSERT INTO a (k) VALUES (662)", "query DO 0", "query ROLLBACK",
		"query SELECT COUNT(*) FROM a", "query /*!50000 BEGIN */", "query DO 0", "query INSERT INTO a (k) VALUES (663)", "query /* x */ ROLLBACK",
		"query SELECT COUNT(*) FROM a", "query BEGIN; SELECT nosuch; COMMIT", "query DO 0", "query COMMIT")
}

func autocommitOff(s *stage) {
	s.same("query SET autocommit = 0", "query SELECT 1", "query DO 0", "query SELECT COUNT(*) FROM t", "query DO 0",
		"2: query INSERT INTO a (k) VALUES (670)", "query SELECT COUNT(*) FROM a", "query COMMIT", "query SELECT COUNT(*) FROM a", "query INSERT INTO a (k) VALUES (671)",
		"2: query SELECT COUNT(*) FROM a", "query COMMIT", "2: query SELECT COUNT(*) FROM a FOR UPDATE", "query SET autocommit = 1", "query DO 0")
	c, other := s.client(), s.client()
	c.query("SET autocommit = 0")
	c.query("SELECT COUNT(*) FROM t")
	conn := c.value("SELECT CONNECTION_ID() + 0")
	for range 5 {
		other.query("SELECT COUNT(*) FROM t FOR UPDATE")
		c.wants("SELECT which()", "1", "SELECT CONNECTION_ID() + 0", conn)
	}
	if !c.inTx() {
		s.Error("a SELECT of a table with autocommit off opened no transaction")
	}
	c.query("COMMIT")
	if c.inTx() {
		s.Error("COMMIT left a transaction open")
	}
}

func implicitCommits(s *stage) {
	begin := func(k int, end string) []string {
		return []string{"query BEGIN", fmt.Sprint("query INSERT INTO a (k) VALUES (", k, ")"), "query " + end, "query DO 0", "query ROLLBACK", "query SELECT COUNT(*) FROM a"}
	}
	var lines []string
	for i, end := range []string{
		"BEGIN", "START TRANSACTION READ ONLY", "CREATE TABLE n1 (id INT)", "ALTER TABLE n1 ADD COLUMN v INT", "TRUNCATE n1", "DROP TABLE n1",
		"SET autocommit = 1", "LOCK TABLES t READ", "UNLOCK TABLES", "CREATE VIEW n2 AS SELECT 1", "ANALYZE TABLE nosuch", "FLUSH STATUS",
	} {
		lines = append(lines, begin(680+i, end)...)
		lines = append(lines, "query UNLOCK TABLES")
	}
	lines = append(lines, "query SET autocommit = 0", "query INSERT INTO a (k) VALUES (699)", "query SET autocommit = 1", "query ROLLBACK", "query SELECT COUNT(*) FROM a")
	s.same(lines...)
}

func temporaryInTx(s *stage) {
	s.same("query BEGIN", "query INSERT INTO a (k) VALUES (690)", "query CREATE TEMPORARY TABLE tmp (id INT)", "query DO 0",
		"query INSERT INTO tmp VALUES (1)", "query SELECT * FROM tmp", "2: query SELECT COUNT(*) FROM a", "query ROLLBACK", "query DO 0",
		"query SELECT COUNT(*) FROM a", "query SELECT COUNT(*) FROM tmp", "query BEGIN", "query INSERT INTO a (k) VALUES (691)",
		"query DROP TEMPORARY TABLE tmp", "query DO 0", "query ROLLBACK", "query SELECT COUNT(*) FROM a")
}

func txErrors(s *stage) {
	const setup = "CREATE OR REPLACE VIEW one AS SELECT 1; DROP TABLE IF EXISTS locked; CREATE TABLE locked (id INT PRIMARY KEY, n INT); INSERT INTO locked VALUES (1, 0), (2, 0)"
	s.atPrimary(setup)
	a, b := s.client(), s.client()
	for _, c := range []*peer{a, b} {
		c.query("SET innodb_lock_wait_timeout = 50")
		c.query("BEGIN")
	}
	a.query("UPDATE locked SET n = 1 WHERE id = 1")
	b.query("UPDATE locked SET n = 2 WHERE id = 2")
	const blocked = "UPDATE locked SET n = 3 WHERE id = 2"
	if err := a.Send(append([]byte{rawmysql.ComQuery}, blocked...)); err != nil {
		s.Fatal(err)
	}
	s.waitForLock()
	rb, err := b.Query("UPDATE locked SET n = 4 WHERE id = 1")
	if err != nil {
		s.Fatal(err)
	}
	ra, err := a.ReadReply(rawmysql.ComQuery)
	if err != nil {
		s.Fatal(err)
	}
	victim, winner, lost := b, a, numberOf(rb)
	if lost == 0 {
		victim, winner, lost = a, b, numberOf(ra)
	}
	if lost != 1213 || victim.inTx() || !winner.inTx() {
		s.Fatalf("deadlock: got error %d, victim in a transaction: %v, other: %v; want 1213, false, true", lost, victim.inTx(), winner.inTx())
	}
	winner.query("ROLLBACK")
	s.atPrimary("UPDATE locked SET n = 0")

	a.query("SET innodb_lock_wait_timeout = 1")
	for _, c := range []*peer{a, b} {
		c.query("BEGIN")
	}
	b.query("UPDATE locked SET n = 5 WHERE id = 2")
	a.query("UPDATE locked SET n = 6 WHERE id = 1")
	a.fails("UPDATE locked SET n = 6 WHERE id = 2", 1205)
	if !a.inTx() {
		s.Error("a lock wait's time-out ended the transaction, want it alive")
	}
	a.wants("SELECT n FROM locked WHERE id = 1", "6")
	a.query("ROLLBACK")
	b.query("ROLLBACK")
	a.wants("SELECT GROUP_CONCAT(n) FROM locked FOR UPDATE", "0,0")
	s.same("query BEGIN", "query INSERT INTO a (k) VALUES (1)", "query DO 0", "query INSERT INTO a (k) VALUES (703)", "query SELEC", "query DO 0", "query ROLLBACK",
		"query INSERT INTO a (k) VALUES (1)", "query DO 0", "query SELECT COUNT(*) FROM a", "query SET autocommit = 0", "query INSERT INTO a (k) VALUES (1)",
		"query DO 0", "query COMMIT")
}

// waitForLock waits until a transaction on the primary waits for a row's lock.
func (s *stage) waitForLock() {
	s.Helper()
	eventually(s.ctx, s.T, "no transaction waits for a lock", func() error {
		n, err := s.top.Primary().Value(s.ctx, "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
		if err == nil && n == "0" {
			err = errors.New("none yet")
		}
		return err
	})
}

func readOnlyTx(s *stage) {
	s.sync()
	servers := map[string]bool{}
	for _, begin := range []string{"START TRANSACTION READ ONLY", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", "BEGIN"} {
		c := s.client()
		if begin == "BEGIN" {
			c.query("SET SESSION TRANSACTION READ ONLY")
		}
		for range 8 {
			r := c.query(begin)
			if want := rawmysql.StatusInTrans | rawmysql.StatusInTransReadOnly; r.Status()&want != want {
				s.Errorf("%s: got flags %x, want %x among them", begin, r.Status(), want)
			}
			first := c.value("SELECT which()")
			servers[first] = true
			took := s.took(func() {
				for range 5 {
					c.wants("SELECT which()", first, "SELECT COUNT(*) FROM t", "6")
				}
				c.fails("INSERT INTO a (k) VALUES (710)", 1792)
			})
			if took[0] > 0 || first == "1" {
				s.Errorf("%s: on server %s, and the primary took %d requests, want a replica and none", begin, first, took[0])
			}
			c.wants("SELECT which()", first)
			c.query("COMMIT")
		}
	}
	if len(servers) != 2 {
		s.Errorf("the transactions were on %v, want both replicas", servers)
	}
	readOnlyTxOnPrimary(s)
	s.same("query START TRANSACTION READ ONLY", "query SELECT COUNT(*) FROM a", "query INSERT INTO a (k) VALUES (711)", "query UPDATE t SET n = 1", "query DO 0",
		"query SELECT COUNT(*) FROM t FOR UPDATE", "query COMMIT", "query SET SESSION TRANSACTION READ ONLY", "query INSERT INTO a (k) VALUES (712)", "query BEGIN", "query INSERT INTO a (k) VALUES (712)",
		"query DO 0", "query ROLLBACK", "query START TRANSACTION READ WRITE", "query INSERT INTO a (k) VALUES (713)", "query COMMIT",
		"query SET SESSION TRANSACTION READ WRITE", "query INSERT INTO a (k) VALUES (714)", "query SELECT COUNT(*) FROM a",
		"query START TRANSACTION READ ONLY", "query CREATE TEMPORARY TABLE tmp (id INT)", "query INSERT INTO tmp VALUES (1)", "query SELECT * FROM tmp", "query COMMIT", "query SELECT * FROM tmp")
}

// readOnlyTxOnPrimary: what locks, or stays on its conn, takes a READ ONLY transaction to the primary.
func readOnlyTxOnPrimary(s *stage) {
	for _, first := range []string{"SELECT GET_LOCK('ro', 0)", "SET @ro = 1", "SELECT COUNT(*) FROM t LOCK IN SHARE MODE", "LOCK TABLES t READ"} {
		c := s.client()
		c.query("START TRANSACTION READ ONLY")
		c.query(first)
		if got := c.value("SELECT @@server_id"); got != "1" {
			s.Errorf("after %s the transaction is on server %s, want the primary", first, got)
		}
		c.query("COMMIT")
		c.query("UNLOCK TABLES")
		c.query("INSERT INTO a (k) VALUES (720)")
		c.query("DELETE FROM a WHERE k = 720")
		c.Close()
	}
	c := s.client()
	c.query("START TRANSACTION READ ONLY")
	c.value("SELECT which()")
	c.fails("SET @ro = 1", 1792)
	c.query("COMMIT")
	c.query("START TRANSACTION READ ONLY")
	c.wants("SELECT which()", "1")
	c.query("SET @ro = 1")
	c.query("COMMIT")
	c.query("INSERT INTO a (k) VALUES (720 + @ro)")
	c.query("DELETE FROM a WHERE k = 721")
	c.Close()
}

func nextTransaction(s *stage) {
	isolation := "@@transaction_isolation"
	if s.flavor == localdb.MariaDB {
		isolation = "@@tx_isolation"
	}
	shared := []string{
		"query SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "query SELECT " + isolation, "2: query SELECT " + isolation,
		"query BEGIN", "query SELECT COUNT(*) FROM a", "2: query INSERT INTO a (k) VALUES (720)", "query SELECT COUNT(*) FROM a",
		"query SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "query COMMIT", "query SELECT " + isolation, "query BEGIN", "query SELECT COUNT(*) FROM a",
		"2: query INSERT INTO a (k) VALUES (721)", "query SELECT COUNT(*) FROM a", "query COMMIT",
		"query SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "2: query SELECT " + isolation, "query SELECT " + isolation,
		"query BEGIN", "query SELECT COUNT(*) FROM a", "2: query INSERT INTO a (k) VALUES (722)", "query SELECT COUNT(*) FROM a", "query COMMIT",
		"query SET TRANSACTION READ ONLY", "query INSERT INTO a (k) VALUES (723)", "query INSERT INTO a (k) VALUES (724)", "query SELECT COUNT(*) FROM a",
		"query SET TRANSACTION READ ONLY", "query BEGIN", "query INSERT INTO a (k) VALUES (725)", "query COMMIT", "query INSERT INTO a (k) VALUES (726)",
	}
	s.same(shared...)
	if s.flavor == localdb.MySQL {
		s.same("query SET @@transaction_isolation = 'SERIALIZABLE'", "query SELECT @@transaction_isolation", "2: query SELECT 1", "query BEGIN",
			"query SET transaction_isolation = 'READ-COMMITTED'", "query SET @@transaction_isolation = 'READ-COMMITTED'", "query COMMIT",
			"query SET SESSION transaction_isolation = 'READ-COMMITTED'", "query SELECT @@transaction_isolation", "2: query SELECT @@transaction_isolation")
	}
	a, b := s.client(), s.client()
	b.query("SET innodb_lock_wait_timeout = 1")
	a.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
	b.query("SELECT COUNT(*) FROM t FOR UPDATE")
	a.query("BEGIN")
	a.query("SELECT * FROM t WHERE id = 1")
	b.fails("UPDATE t SET n = 1 WHERE id = 1", 1205)
	a.query("COMMIT")
	a.query("BEGIN")
	a.query("SELECT * FROM t WHERE id = 1")
	b.query("UPDATE t SET n = 10 WHERE id = 1")
	a.query("COMMIT")
	if n := s.pinned("next transaction's characteristics"); n != 0 {
		s.Errorf("%d sessions are pinned after the transaction, want none", n)
	}
}

func savepoints(s *stage) {
	for _, begin := range []string{"query BEGIN", "query SET autocommit = 0"} {
		s.same(begin, "query INSERT INTO a (k) VALUES (730)", "query SAVEPOINT s", "query INSERT INTO a (k) VALUES (731)", "query SAVEPOINT t",
			"query INSERT INTO a (k) VALUES (732)", "query ROLLBACK TO SAVEPOINT t", "2: query SELECT 1", "query SELECT COUNT(*) FROM a", "query ROLLBACK WORK TO s",
			"query SELECT COUNT(*) FROM a", "query ROLLBACK TO t", "query RELEASE SAVEPOINT s", "query RELEASE SAVEPOINT s", "query ROLLBACK TO nosuch", "query DO 0",
			"query COMMIT", "query SELECT COUNT(*) FROM a", "query DO 0")
	}
	s.same("query SAVEPOINT outside", "query ROLLBACK TO outside", "query RELEASE SAVEPOINT outside", "query DO 0")
}

func commitForms(s *stage) {
	s.same("query BEGIN", "query INSERT INTO a (k) VALUES (740)", "query COMMIT AND CHAIN", "query DO 0", "query INSERT INTO a (k) VALUES (741)", "query ROLLBACK AND CHAIN",
		"query DO 0", "query ROLLBACK", "query SELECT COUNT(*) FROM a", "query COMMIT AND CHAIN", "query DO 0", "query COMMIT AND NO CHAIN NO RELEASE", "query DO 0",
		"query SET completion_type = 1", "query BEGIN", "query COMMIT", "query DO 0", "query COMMIT AND NO CHAIN", "query DO 0", "query SET completion_type = 0",
		"query COMMIT", "query ROLLBACK", "query BEGIN WORK", "query INSERT INTO a (k) VALUES (742)", "query COMMIT WORK", "query SELECT COUNT(*) FROM a",
		"query COMMIT; BEGIN; COMMIT", "query COMMIT AND CHAIN RELEASE", "query DO 0")
	s.same("query BEGIN", "query INSERT INTO a (k) VALUES (743)", "query COMMIT RELEASE", "query SELECT 1", "2: query SELECT COUNT(*) FROM a FOR UPDATE")
	s.same("query ROLLBACK RELEASE", "query SELECT 1")
	s.same("query SET completion_type = 2", "query BEGIN", "query COMMIT", "query SELECT 1")
}

func serializable(s *stage) {
	s.sync()
	c := s.client()
	c.query("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
	for range 5 {
		c.wants("SELECT which()", "1")
	}
	c.query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
	for range 5 {
		if got := c.value("SELECT which()"); got == "1" {
			s.Errorf("with REPEATABLE READ again: got the primary, want a replica")
		}
	}
}

func xaTransactions(s *stage) {
	s.same("query XA START 'x1'", "query INSERT INTO a (k) VALUES (760)", "2: query SELECT COUNT(*) FROM a", "query SELECT COUNT(*) FROM a", "query COMMIT", "query XA END 'x1'", "query XA ROLLBACK 'x1'", "query DO 0",
		"query SELECT COUNT(*) FROM a", "query XA START 'x2'", "query INSERT INTO a (k) VALUES (761)", "query XA END 'x2'", "query XA COMMIT 'x2' ONE PHASE",
		"query SELECT COUNT(*) FROM a", "query XA START 'x3'", "query INSERT INTO a (k) VALUES (762)", "query XA END 'x3'", "query XA PREPARE 'x3'", "query DO 0",
		"2: query XA COMMIT 'x3'", "query XA COMMIT 'x3'", "query SELECT COUNT(*) FROM a", "query BEGIN", "query XA START 'x4'", "query COMMIT", "query XA COMMIT 'nosuch'", "query DO 0")
	c := s.client()
	for _, sql := range []string{"XA START 'left'", "INSERT INTO a (k) VALUES (763)", "XA END 'left'", "XA PREPARE 'left'"} {
		c.query(sql)
	}
	c.Abort()
	eventually(s.ctx, s.T, "the prepared transaction", func() error { // MariaDB lets others commit it once its client is gone
		r, err := s.client().Query("XA COMMIT 'left'")
		if err == nil {
			err = r.Err()
		}
		return err
	})
	s.client().wants("SELECT COUNT(*) FROM a WHERE k = 763 FOR UPDATE", "1")
	s.atPrimary("DELETE FROM a WHERE k = 763")
}

func tableLocks(s *stage) {
	s.same("query LOCK TABLES a WRITE, t READ", "query INSERT INTO a (k) VALUES (770)", "query SELECT COUNT(*) FROM a", "query SELECT COUNT(*) FROM c1",
		"query UPDATE t SET n = 1", "query UNLOCK TABLES", "query SELECT COUNT(*) FROM c1", "query LOCK TABLES t READ", "query BEGIN", "query SELECT COUNT(*) FROM c1",
		"query COMMIT", "query LOCK TABLES nosuch READ", "query SELECT COUNT(*) FROM c1", "query LOCK TABLE t READ LOCAL", "query LOCK TABLES a READ", "query SELECT COUNT(*) FROM t", "query UNLOCK TABLES")
	c := s.client()
	held := []struct{ reason, lock, unlock string }{
		{"table locks", "LOCK TABLES t READ", "UNLOCK TABLES"},
		{"table locks", "LOCK TABLES t WRITE", "BEGIN; ROLLBACK"},
		{"global read lock", "FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES"},
		{"table locks", "FLUSH TABLES t WITH READ LOCK", "UNLOCK TABLES"},
		{"table locks", "FLUSH TABLES t FOR EXPORT", "UNLOCK TABLES"},
	}
	if s.flavor == localdb.MariaDB {
		held = append(held, struct{ reason, lock, unlock string }{"backup lock", "BACKUP LOCK t", "BACKUP UNLOCK"})
	}
	for _, h := range held {
		c.query(h.lock)
		conn := c.value("SELECT CONNECTION_ID() + 0")
		c.wants("SELECT CONNECTION_ID() + 0", conn)
		if n := s.pinned(h.reason); n != 1 {
			s.Errorf("%s: %d sessions are pinned for %s, want 1", h.lock, n, h.reason)
		}
		c.query(h.unlock)
		if n := s.pinned(h.reason); n != 0 {
			s.Errorf("%s: %d sessions are pinned for %s, want none", h.unlock, n, h.reason)
		}
	}
}

func droppedInTx(s *stage) {
	s.atPrimary("DROP TABLE IF EXISTS dropped; CREATE TABLE dropped (id INT PRIMARY KEY, n INT); INSERT INTO dropped VALUES (1, 0)")
	for i, leave := range []func(*peer){func(c *peer) { c.Abort() }, func(c *peer) { c.Close() }, func(c *peer) { c.do([]byte{rawmysql.ComResetConnection}) }} {
		a, b := s.client(), s.client()
		a.query("BEGIN")
		a.query("UPDATE dropped SET n = 5 WHERE id = 1")
		leave(a)
		b.query("UPDATE dropped SET n = n + 1 WHERE id = 1")
		b.wants("SELECT n FROM dropped", fmt.Sprint(i+1))
		if b.inTx() {
			s.Error("the next client is in a transaction")
		}
	}
	a, b := s.client(), s.client()
	a.query("LOCK TABLES dropped WRITE")
	a.Abort()
	b.query("UPDATE dropped SET n = 9")
	// with a statement under way
	a = s.client()
	a.query("BEGIN")
	a.query("UPDATE dropped SET n = 8")
	if err := a.Send(append([]byte{rawmysql.ComQuery}, "SELECT SLEEP(60) FROM dropped"...)); err != nil {
		s.Fatal(err)
	}
	a.Abort()
	b.query("UPDATE dropped SET n = n + 1")
	b.wants("SELECT n FROM dropped", "10")
}

func consistentSnapshots(s *stage) {
	s.same("query START TRANSACTION WITH CONSISTENT SNAPSHOT", "2: query INSERT INTO a (k) VALUES (790)", "query SELECT COUNT(*) FROM a", "2: query SELECT COUNT(*) FROM a",
		"query SELECT COUNT(*) FROM a", "query COMMIT", "query SELECT COUNT(*) FROM a FOR UPDATE")
	c, other := s.client(), s.client()
	for _, begin := range []string{"START TRANSACTION WITH CONSISTENT SNAPSHOT", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"} {
		c.query(begin)
		conn, server := c.value("SELECT CONNECTION_ID() + 0"), c.value("SELECT which()")
		for range 10 {
			other.query("SELECT COUNT(*) FROM t")
			c.wants("SELECT CONNECTION_ID() + 0", conn, "SELECT which()", server)
		}
		c.query("COMMIT")
	}
}

func overdueTx(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	s := newStage(ctx, t, flavor)
	s.atPrimary("DROP TABLE IF EXISTS overdue; CREATE TABLE overdue (id INT PRIMARY KEY, n INT); INSERT INTO overdue VALUES (1, 0)")
	for _, tt := range []struct {
		limit, sql string
		says       string
	}{
		{"tx_idle: 300ms", "", "timeouts.tx_idle"},
		{"tx: 500ms", "", "timeouts.tx"},
		{"tx: 500ms", "UPDATE overdue SET n = n + SLEEP(60)", "maximum statement execution time exceeded"},
	} {
		l := startLeat(ctx, t, s.top, leatOptions{Top: []string{"timeouts: {" + tt.limit + "}"}})
		a := s.dial(l.Addr, stageDatabase, peerFlags)
		a.query("BEGIN")
		a.query("UPDATE overdue SET n = 5 WHERE id = 1")
		var r *rawmysql.Reply
		var err error
		if tt.sql != "" {
			r, err = a.Query(tt.sql)
		} else {
			r, err = a.ReadReply(rawmysql.ComPing)
		}
		if err != nil || r.Err() == nil || !strings.Contains(r.Err().Error(), tt.says) {
			t.Errorf("%s: got %v, %v, want an error that says %q", tt.limit, r.Err(), err, tt.says)
		}
		b := s.dial(l.Addr, stageDatabase, peerFlags)
		b.query("UPDATE overdue SET n = n + 1 WHERE id = 1")
		b.wants("SELECT n FROM overdue FOR UPDATE", "1")
		b.query("UPDATE overdue SET n = 0 WHERE id = 1")
	}
}

func oneCommit(s *stage) {
	s.sync()
	c := s.client()
	for range 10 { // it has used conns of every server
		c.query("SELECT COUNT(*) FROM t")
		c.query("SELECT COUNT(*) FROM t FOR UPDATE")
	}
	c.query("BEGIN")
	c.query("INSERT INTO a (k) VALUES (810)")
	took := s.took(func() { c.query("COMMIT") })
	if fmt.Sprint(took) != "[1 0 0]" {
		s.Errorf("COMMIT: the servers took %v requests, want [1 0 0]", took)
	}
	took = s.took(func() { c.query("COMMIT"); c.query("ROLLBACK") })
	if fmt.Sprint(took) != "[0 0 0]" {
		s.Errorf("COMMIT without a transaction: the servers took %v requests, want none", took)
	}
	c.query("DELETE FROM a WHERE k = 810")
}
