package e2e

// Cases 82 to 96: what is a read and what isn't. The function which() says where a statement ran; where none can
// be called the servers' counts of requests do.

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addStageCase(82, "locking reads", lockingReads)
	addStageCase(83, "SELECT with somewhere to go", selectInto)
	addStageCase(84, "functions with an effect", effectfulFunctions)
	addStageCase(85, "stored functions", storedFunctions)
	addStageCase(86, "comments that are executed", executedComments)
	addStageCase(87, "WITH before a write", withWrites)
	addStageCase(88, "MariaDB's own forms", mariadbForms)
	addStageCase(89, "EXPLAIN and ANALYZE", explains)
	addStageCase(90, "HANDLER", handlers)
	addStageCase(91, "SHOW and server variables", showTargets)
	addStageCase(92, "temporary tables", temporaryTables)
	addStageCase(93, "what the parser can't read", unparsedForms)
	addMySQLCase(94, "a read that turns out to write", misrouted)
	addStageCase(95, "hints", routeHints)
	addStageCase(96, "quoting modes and charsets", quotingModes)
}

// onPrimary and onReplica check where statements go. Each must succeed, or fail with an error of the server's.
func (s *stage) onPrimary(c *peer, statements ...string) { s.Helper(); s.goes(c, true, statements) }

func (s *stage) onReplica(c *peer, statements ...string) { s.Helper(); s.goes(c, false, statements) }

func (s *stage) goes(c *peer, primary bool, statements []string) {
	s.Helper()
	for _, sql := range statements {
		var r *rawmysql.Reply
		took := s.took(func() {
			var err error
			if r, err = c.Query(sql); err != nil {
				s.Fatalf("%s: %v", sql, err)
			}
		})
		if toPrimary, toReplicas := took[0], took[1]+took[2]; (toPrimary > 0) != primary || (toReplicas > 0) == primary {
			s.Errorf("%s: the servers took %v requests, want it on the primary: %v (%v)", sql, took, primary, r.Err())
		}
	}
}

func lockingReads(s *stage) {
	s.sync()
	c := s.client()
	s.onPrimary(c, "SELECT * FROM t FOR UPDATE", "SELECT * FROM t LOCK IN SHARE MODE", "select id from t where id = 1 for update",
		"(SELECT * FROM t FOR UPDATE)", "SELECT * FROM (SELECT id FROM t FOR UPDATE) x", "SELECT id FROM t WHERE id IN (SELECT id FROM a LOCK IN SHARE MODE)",
		"SELECT 1 UNION ALL (SELECT id FROM t FOR UPDATE)", "WITH x AS (SELECT id FROM t FOR UPDATE) SELECT * FROM x", "SELECT /* FOR */ id FROM t FOR /* x */ UPDATE",
		"SELECT * FROM t FOR UPDATE NOWAIT", "SELECT * FROM t FOR UPDATE SKIP LOCKED")
	if s.flavor == localdb.MySQL {
		s.onPrimary(c, "SELECT * FROM t FOR SHARE", "SELECT * FROM t FOR SHARE OF t SKIP LOCKED", "TABLE t FOR UPDATE", "SELECT * FROM t, a FOR UPDATE OF a")
	}
	s.onReplica(c, "SELECT 'for update' FROM t", "SELECT id AS `for update` FROM t", "SELECT id FROM t -- FOR UPDATE", "SELECT id FROM t", "(SELECT id FROM t)",
		"WITH x AS (SELECT id FROM t) SELECT * FROM x", "SELECT id FROM t UNION SELECT id FROM a", "SELECT 1")
}

func selectInto(s *stage) {
	s.same("query SELECT id INTO @b FROM t WHERE id = 2", "2: query SELECT @b", "query SELECT @b", "query SELECT @c := id FROM t WHERE id = 3", "2: query SELECT 1",
		"query SELECT @c", "query SELECT 1 INTO @d", "query SELECT @d", "query SELECT id FROM t WHERE id = 4 INTO @e", "query SELECT @e + @d",
		"query SELECT id, v INTO @x, @y FROM t LIMIT 2", "query SELECT @x, @y")
	for _, sql := range []string{"SELECT id INTO @b FROM t WHERE id = 2", "SELECT @c := 5", "SELECT id FROM t WHERE id = 1 INTO @e"} {
		c := s.client()
		s.onPrimary(c, sql)
		if n := s.pinned("user variables"); n != 1 {
			s.Errorf("%s: %d sessions are pinned, want 1", sql, n)
		}
		c.do([]byte{rawmysql.ComResetConnection})
	}
	c := s.client()
	s.onPrimary(c, "SELECT 1 INTO OUTFILE '/nosuch/x'", "SELECT 1 INTO DUMPFILE '/nosuch/x'", "SELECT id INTO OUTFILE '/nosuch/x' FROM t")
	if n := s.leat.Metric(s.ctx, "leat_pinned_sessions"); n != 0 {
		s.Errorf("%v sessions are pinned, want none", n)
	}
}

func effectfulFunctions(s *stage) {
	s.sync()
	c := s.client()
	s.onPrimary(c, "SELECT GET_LOCK('leat_84', 0)", "SELECT IS_FREE_LOCK('leat_84')", "SELECT IS_USED_LOCK('leat_84')", "SELECT RELEASE_LOCK('leat_84')", "SELECT RELEASE_ALL_LOCKS()",
		"DO GET_LOCK('leat_84', 0)", "DO RELEASE_ALL_LOCKS()", "SELECT id FROM t WHERE GET_LOCK('leat_84', 0) AND id = 1", "DO RELEASE_ALL_LOCKS()")
	if n := s.leat.Metric(s.ctx, "leat_pinned_sessions"); n != 0 {
		s.Errorf("after RELEASE_ALL_LOCKS: %v sessions are pinned, want none", n)
	}
	s.onReplica(c, "SELECT SLEEP(0)", "SELECT BENCHMARK(1, 1)", "SELECT NOW(), RAND(), UUID()", "SELECT VERSION(), DATABASE(), USER()", "SELECT MD5('x'), JSON_EXTRACT('[1]', '$[0]')",
		"SELECT MAX(id), GROUP_CONCAT(v ORDER BY id) FROM t", "SELECT `sleep` FROM (SELECT 1 AS `sleep`) x")
	if s.flavor == localdb.MySQL {
		s.onPrimary(c, "SELECT WAIT_FOR_EXECUTED_GTID_SET('', 0)", "SELECT SOURCE_POS_WAIT('x', 1, 0.01)")
	} else {
		s.onPrimary(c, "SELECT MASTER_GTID_WAIT('', 0)", "SELECT MASTER_POS_WAIT('x', 1, 0.01)", "CREATE OR REPLACE SEQUENCE s84", "SELECT NEXTVAL(s84)",
			"SELECT NEXT VALUE FOR s84", "SELECT LASTVAL(s84)", "SELECT SETVAL(s84, 50)", "DROP SEQUENCE s84")
	}
	s.same("query INSERT INTO a (k) VALUES (840)", "2: query INSERT INTO a (k) VALUES (841), (842)", "query SELECT LAST_INSERT_ID()", "2: query SELECT LAST_INSERT_ID()",
		"query SELECT ROW_COUNT()", "query UPDATE a SET v = 'z' WHERE k > 840", "query SELECT ROW_COUNT()", "query SELECT id FROM t LIMIT 3", "query SELECT FOUND_ROWS()",
		"query SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1", "2: query SELECT id FROM t", "query SELECT FOUND_ROWS()", "query SELECT id FROM t WHERE id = LAST_INSERT_ID()")
}

func storedFunctions(s *stage) {
	s.atPrimary("DROP FUNCTION IF EXISTS fw; DROP FUNCTION IF EXISTS pure; DROP TABLE IF EXISTS written; CREATE TABLE written (id INT AUTO_INCREMENT PRIMARY KEY);" +
		"CREATE FUNCTION fw() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO written VALUES (); RETURN @@server_id; END; CREATE FUNCTION pure() RETURNS INT NO SQL RETURN @@server_id")
	s.sync()
	c := s.client()
	for _, sql := range []string{
		"SELECT fw()", "SELECT pure()", "SELECT leat_stage.fw()", "SELECT `fw`()", "SELECT fw ()", "SELECT id, fw() FROM t WHERE id = 1",
		"SELECT (SELECT fw())", "SELECT * FROM (SELECT fw()) x", "SELECT 1 FROM t WHERE id = 1 AND fw() > 0", "WITH x AS (SELECT fw()) SELECT * FROM x", "SET @x = fw()", "DO fw()",
	} {
		s.onPrimary(c, sql)
	}
	c.do([]byte{rawmysql.ComResetConnection})
	c.wants("SELECT COUNT(*) FROM written FOR UPDATE", "11")
	s.sync()
	c = s.client() // with no write to wait for
	for range 5 {  // declared pure
		if got := c.value("SELECT which()"); got == "1" {
			s.Error("a function that is declared pure ran on the primary")
		}
		if got := c.value("SELECT leat_stage.which()"); got == "1" {
			s.Error("a qualified function that is declared pure ran on the primary")
		}
	}
}

func executedComments(s *stage) {
	s.sync()
	s.same("query /*!50001 INSERT INTO a (k) VALUES (860) */", "query SELECT COUNT(*) FROM a", "query SELECT 1 /*!50001 INTO @x */", "2: query SELECT 1", "query SELECT @x",
		"query /*! DELETE FROM a WHERE k = 860 */", "query SELECT COUNT(*) FROM a", "query -- x\\nINSERT INTO a (k) VALUES (861)", "query # x\\nSELECT COUNT(*) FROM a",
		"query /* a */ /* b */ SELECT COUNT(*) FROM a", "query \\n\\n  SELECT 1", "query (SELECT 1)", "query ((SELECT 1))", "query SELECT 1 /*!99999 + 1 */",
		"query SELECT /*!50001 1 + */ 1", "query /*!99999 DELETE FROM a */", "query /*!50001 SELECT */ COUNT(*) FROM a", "query SELECT 1 /* unfinished", "query --\\tx\\nSELECT 2",
		"query SELECT 5--1", "query /*!50001 SET @z = 5 */", "2: query SELECT 1", "query SELECT @z", "query /*M!50001 SELECT 3 */", "query SELECT 1 /*!50001 FROM t FOR UPDATE */ LIMIT 1")
	c := s.client()
	s.onPrimary(c, "/*!50001 INSERT INTO a (k) VALUES (862) */", "SELECT 1 /*!50001 INTO @x */", "/* x */ DELETE FROM a WHERE k = 862", "-- x\nDELETE FROM a WHERE k = 862",
		"#\nDELETE FROM a WHERE k = 862", "\n\tDELETE FROM a WHERE k = 862")
	s.onReplica(s.client(), "-- c\nSELECT 1", "# c\nSELECT 1", "/* c */SELECT 1", "\n\nSELECT 1", "(SELECT 1)", "/* /* */ SELECT 1", "/*+ x */ SELECT 1", "SELECT 1 -- ; DELETE FROM a")
}

func withWrites(s *stage) {
	if s.flavor == localdb.MySQL {
		s.same("query WITH x AS (SELECT 1 AS k) DELETE FROM a WHERE k IN (SELECT k FROM x)", "query SELECT COUNT(*) FROM a",
			"query WITH x AS (SELECT 2 AS k) UPDATE a, x SET v = 'w' WHERE a.k = x.k", "query SELECT v FROM a WHERE k = 2", "query WITH x AS (SELECT 1) SELECT * FROM x")
		s.onPrimary(s.client(), "WITH x AS (SELECT 870 AS k) DELETE FROM a WHERE k IN (SELECT k FROM x)", "WITH x AS (SELECT 870 AS k) UPDATE a SET v = 'x' WHERE k IN (SELECT k FROM x)")
	}
	s.onPrimary(s.client(), "INSERT INTO a (k) WITH x AS (SELECT 870 AS k) SELECT k FROM x", "DELETE FROM a WHERE k = 870", "REPLACE INTO a (id, k) SELECT 870, 870", "DELETE FROM a WHERE k = 870")
	s.onReplica(s.client(), "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n")
}

func mariadbForms(s *stage) {
	if s.flavor != localdb.MariaDB {
		return
	}
	s.same("query INSERT INTO a (k) VALUES (880), (881) RETURNING k", "~query ANALYZE DELETE FROM a WHERE k = 880",
		"query SELECT COUNT(*) FROM a", "query SET STATEMENT max_statement_time = 5 FOR DELETE FROM a WHERE k = 881", "query SELECT COUNT(*) FROM a",
		"query BEGIN NOT ATOMIC INSERT INTO a (k) VALUES (882); SELECT 5; END", "query SELECT COUNT(*) FROM a", "query EXECUTE IMMEDIATE 'DELETE FROM a WHERE k = 882'",
		"query SELECT COUNT(*) FROM a", "query CREATE OR REPLACE TEMPORARY TABLE tmp (id INT)", "2: query SELECT 1", "query SELECT * FROM tmp",
		"query DELETE FROM a WHERE k = 1 RETURNING v", "query REPLACE INTO a (id, k) VALUES (2, 9) RETURNING id", "query SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR SELECT \"id\" FROM t LIMIT 1",
		"query SELECT @@sql_mode", "query EXECUTE IMMEDIATE 'SET @q = 4'", "2: query SELECT 1", "query SELECT @q", "query BEGIN NOT ATOMIC SET @r = 8; END", "2: query SELECT 1", "query SELECT @r")
	c := s.client()
	s.onPrimary(c, "ANALYZE DELETE FROM a WHERE k = 99999", "SET STATEMENT max_statement_time = 5 FOR DELETE FROM a WHERE k = 99999", "SET STATEMENT max_statement_time = 5 FOR SELECT 1",
		"INSERT INTO a (k) VALUES (883) RETURNING k", "DELETE FROM a WHERE k = 883 RETURNING k", "BEGIN NOT ATOMIC DELETE FROM a WHERE k = 883; END")
}

func explains(s *stage) {
	s.same("~query EXPLAIN DELETE FROM a", "query SELECT COUNT(*) FROM a", "~query EXPLAIN SELECT * FROM t", "~query DESCRIBE t", "~query DESC t v", "~query EXPLAIN FORMAT=JSON SELECT * FROM t WHERE id = 1")
	if s.flavor == localdb.MySQL {
		s.same("~query EXPLAIN ANALYZE SELECT * FROM t", "~query EXPLAIN ANALYZE DELETE FROM a WHERE k = 1", "query SELECT COUNT(*) FROM a")
	} else {
		s.same("~query ANALYZE SELECT * FROM t", "~query ANALYZE UPDATE a SET v = 'q'", "query SELECT v FROM a")
	}
	s.sync()
	c := s.client()
	s.onReplica(c, "EXPLAIN SELECT * FROM t", "DESCRIBE t", "EXPLAIN t")
	s.onPrimary(c, "EXPLAIN SELECT f_write()", "EXPLAIN SELECT * FROM t FOR UPDATE")
}

func handlers(s *stage) {
	s.same("query HANDLER t OPEN", "2: query SELECT 1", "query HANDLER t READ FIRST", "2: query HANDLER t READ FIRST", "query HANDLER t READ NEXT", "query SELECT COUNT(*) FROM a", "query HANDLER t READ NEXT",
		"query HANDLER t CLOSE", "query HANDLER t READ NEXT", "query HANDLER nosuch OPEN", "query HANDLER t OPEN AS h", "query HANDLER h READ `PRIMARY` = (3)", "query HANDLER h CLOSE")
	c := s.client()
	s.onPrimary(c, "HANDLER t OPEN", "SELECT 1")
	if n := s.pinned("open handler"); n != 1 {
		s.Errorf("%d sessions are pinned, want 1", n)
	}
}

func showTargets(s *stage) {
	s.sync()
	c := s.client()
	s.onPrimary(c, "SHOW PROCESSLIST", "SHOW STATUS LIKE 'Uptime'", "SHOW GLOBAL VARIABLES LIKE 'read_only'", "SELECT @@read_only", "SELECT @@global.read_only", "SELECT @@hostname", "SELECT @@server_id",
		"SELECT @@port", "SHOW BINARY LOGS", "SHOW VARIABLES LIKE 'server_id'", "SHOW ENGINE INNODB STATUS", "SHOW GRANTS", "SELECT * FROM information_schema.processlist LIMIT 1")
	c.wants("SELECT @@server_id", "1", "SELECT @@read_only", "0")
	s.onReplica(c, "SHOW TABLES", "SHOW CREATE TABLE t", "SHOW COLUMNS FROM t", "SHOW INDEX FROM t", "SHOW DATABASES", "SHOW FULL TABLES", "SELECT @@version", "SELECT @@sql_mode", "SELECT @@max_allowed_packet")
	if s.flavor == localdb.MySQL {
		s.onPrimary(c, "SHOW BINARY LOG STATUS")
		s.onReplica(c, "SHOW REPLICA STATUS")
	} else {
		s.onPrimary(c, "SHOW MASTER STATUS")
		s.onReplica(c, "SHOW SLAVE STATUS", "SHOW REPLICA STATUS")
	}
}

func temporaryTables(s *stage) {
	s.same("query CREATE TEMPORARY TABLE tmp (id INT)", "query INSERT INTO tmp VALUES (1)", "2: query SELECT 1", "query SELECT * FROM tmp", "2: query SELECT * FROM tmp",
		"prepare p SELECT * FROM tmp", "execute p", "query SELECT * FROM t JOIN tmp USING (id)", "query CREATE TEMPORARY TABLE t (z INT)", "query SELECT * FROM t",
		"2: query SELECT COUNT(*) FROM t", "prepare q SELECT COUNT(*) FROM t", "execute q", "query DROP TEMPORARY TABLE t", "query SELECT COUNT(*) FROM t", "execute q",
		"query CREATE TEMPORARY TABLE made AS SELECT id FROM t WHERE id < 3", "query SELECT * FROM made", "query DROP TABLE made, tmp", "query SELECT * FROM made", "reset-connection",
		"query CREATE TEMPORARY TABLE IF NOT EXISTS tmp2 (id INT)", "query ALTER TABLE tmp2 ADD COLUMN x INT", "query SELECT * FROM tmp2", "query TRUNCATE tmp2", "reset-connection", "query SELECT * FROM tmp2")
	c := s.client()
	c.query("CREATE TEMPORARY TABLE tmp92 (id INT)")
	for range 4 {
		c.wants("SELECT which()", "1", "SELECT COUNT(*) FROM tmp92", "0")
	}
	if n := s.pinned("temporary table"); n != 1 {
		s.Errorf("%d sessions are pinned, want 1", n)
	}
}

func unparsedForms(s *stage) {
	common := []string{
		"query BEGIN WORK", "query INSERT INTO a (k) VALUES (930)", "query COMMIT AND CHAIN", "query ROLLBACK WORK AND NO CHAIN", "query CHECKSUM TABLE t",
		"query SELECT COUNT(*) FROM a", "query CREATE USER u93 IDENTIFIED BY 'x'", "query GRANT SELECT ON leat_diff.t TO u93", "query DROP USER u93",
		"query CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.v = 'tr'", "query INSERT INTO a (k) VALUES (931)", "query SELECT v FROM a WHERE k = 931",
		"query CREATE FUNCTION f93() RETURNS INT DETERMINISTIC RETURN 93", "query SELECT f93()", "query DROP FUNCTION f93",
		"query SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'x'", "query GET DIAGNOSTICS @n = NUMBER", "query HELP 'nothing at all'", "query CHECK TABLE t", "query OPTIMIZE TABLE nosuch",
		"query FLUSH STATUS", "query SET ROLE NONE", "query CREATE EVENT e93 ON SCHEDULE AT '2037-01-01' DO SET @x = 1", "query DROP EVENT e93", "query RENAME TABLE c1 TO c9", "query SELECT COUNT(*) FROM c9",
		"query SELEKT 1", "query SELECT FROM", "query FROBNICATE x",
	}
	s.same(common...)
	if s.flavor == localdb.MySQL {
		s.same("query TABLE t LIMIT 1", "query VALUES ROW(1, 2), ROW(3, 4)", "query SELECT CAST('[1,2]' AS VECTOR)", "query LOCK INSTANCE FOR BACKUP", "query SET PERSIST nosuch = 1")
	} else {
		s.same("query VALUES (1, 2), (3, 4)", "query CREATE SEQUENCE s", "query SELECT NEXT VALUE FOR s", "query SELECT PREVIOUS VALUE FOR s", "query CREATE TABLE h (x INT) WITH SYSTEM VERSIONING",
			"query SELECT * FROM h FOR SYSTEM_TIME ALL", "query SELECT * FROM t LIMIT ROWS EXAMINED 100", "query SELECT 1 /*M! + 1 */")
	}
	c := s.client()
	unparsed := func() float64 { return s.leat.Metric(s.ctx, "leat_plan_unparsed_total") }
	before := unparsed()
	for i := range 5 {
		s.onPrimary(c, fmt.Sprintf("FROBNICATE t93 %d", i))
	}
	if n := unparsed() - before; n != 1 {
		s.Errorf("5 statements of one digest count %v times as unparsed, want once", n)
	}
}

// misrouted: views and declared functions that write without the text showing it.
func misrouted(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	s := newStage(ctx, t, flavor)
	s.atPrimary("DROP TABLE IF EXISTS misrouted; CREATE TABLE misrouted (id INT AUTO_INCREMENT PRIMARY KEY); DROP FUNCTION IF EXISTS declared; DROP FUNCTION IF EXISTS hidden;" +
		"CREATE FUNCTION declared() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO misrouted VALUES (); RETURN @@server_id; END;" +
		"CREATE FUNCTION hidden() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO misrouted VALUES (); RETURN @@server_id; END; CREATE OR REPLACE VIEW writes AS SELECT hidden() AS server")
	s.sync()
	rows := 0
	for _, tt := range []struct{ first, again string }{
		{"SELECT declared()", "SELECT  declared() -- once more"},
		{"SELECT server FROM writes WHERE 1 = 1", "SELECT server FROM writes WHERE 2 = 2"},
	} {
		misroutes := func() float64 { return s.leat.Metric(ctx, "leat_misroutes_total") }
		c, before := s.client(), misroutes()
		c.wants(tt.first, "1")
		if n := misroutes() - before; n != 1 {
			t.Errorf("%s: %v misroutes were counted, want 1", tt.first, n)
		}
		s.onPrimary(c, tt.again, tt.first)
		if n := misroutes() - before; n != 1 {
			t.Errorf("%s: %v misroutes were counted after it was learned, want 1", tt.again, n)
		}
		rows += 3
		c.wants("SELECT COUNT(*) FROM misrouted FOR UPDATE", fmt.Sprint(rows))
	}
	c := s.client()
	id := c.prepare("SELECT CAST(declared() AS CHAR) AS prepared")
	for range 3 {
		if got := ran(c.execute(id)); got != "1" {
			t.Errorf("prepared: ran on %s, want 1", got)
		}
	}
	c.wants("SELECT COUNT(*) FROM misrouted FOR UPDATE", fmt.Sprint(rows+3))
}

func routeHints(s *stage) {
	s.sync()
	c := s.client()
	s.onPrimary(c, "/* leat: role=primary */ SELECT 1", "/* leat: role=primary */ SELECT which()", "/* leat: role=replica */ INSERT INTO a (k) VALUES (950)", "/* leat: role=replica */ DELETE FROM a WHERE k = 950",
		"/* leat: role=replica */ SELECT * FROM t FOR UPDATE")
	s.onReplica(s.client(), "/* leat: role=replica */ SELECT 1", "/* leat: consistency=eventual */ SELECT 1", "SELECT /*+ MAX_EXECUTION_TIME(1000) */ which()")
	c.query("BEGIN")
	c.query("INSERT INTO a (k) VALUES (951)")
	s.onPrimary(c, "/* leat: role=replica */ SELECT 1", "/* leat: consistency=eventual */ SELECT COUNT(*) FROM a")
	c.wants("/* leat: role=replica */ SELECT COUNT(*) FROM a WHERE k = 951", "1")
	c.query("ROLLBACK")
	if r, err := c.Query("/* leat: role=nonsense */ SELECT 1"); err != nil || r.Err() == nil || !strings.Contains(r.Err().Error(), "role") {
		s.Errorf("a wrong hint: got %v, %v, want an error about the role", r.Err(), err)
	}
	if s.flavor == localdb.MySQL { // the server acts on them
		s.same("query SELECT /*+ SET_VAR(div_precision_increment = 9) */ 1/3", "query SELECT 1/3", "query SELECT /*+ NO_SUCH_HINT */ 1", "query SHOW WARNINGS")
	}
}

func quotingModes(s *stage) {
	s.sync()
	for _, tt := range []struct{ mode, sql string }{
		{"ANSI_QUOTES", `SELECT "id" FROM t WHERE v = 'a"' FOR UPDATE -- "`},
		{"ANSI_QUOTES", `SELECT ' " ', fw(), ' " '`},
		{"", `SELECT " ' ", fw(), " ' "`},
		{"NO_BACKSLASH_ESCAPES", `SELECT '\', fw(), '\'`},
		{"", `SELECT '\'', fw(), '\''`},
		{"NO_BACKSLASH_ESCAPES,ANSI_QUOTES", `SELECT "id" AS "\", fw() AS "x\" FROM t`},
	} {
		c := s.client()
		c.query("SET sql_mode = '" + tt.mode + "'")
		s.onPrimary(c, tt.sql)
		c.Close()
	}
	for _, charset := range []string{"gbk", "big5", "sjis", "cp932"} {
		c := s.client()
		c.query("SET NAMES " + charset)
		s.onReplica(c, "SELECT 'plain'")
		// The second byte of the character is a backslash: the quote behind it ends the string.
		s.onPrimary(c, "SELECT '\x95\x5c', fw(), '\x95\x5c'", "SELECT '\x95\x5c' FROM t FOR UPDATE")
		c.query("SET NAMES utf8mb4")
		s.sync()
		s.onReplica(s.client(), "SELECT 'ä'")
		c.Close()
	}
	for _, mode := range []string{"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI", "PIPES_AS_CONCAT", "IGNORE_SPACE", "HIGH_NOT_PRECEDENCE"} {
		s.same("query SET sql_mode = '"+mode+"'", `query SELECT "id" FROM t WHERE id = 1`, `query SELECT 'a\\'`, `query SELECT 'a''b', 'c\\\\'`, "query SELECT 'a' || 'b'", "query SELECT COUNT (*) FROM t",
			"query SELECT NOT 1 BETWEEN 2 AND 3", `query INSERT INTO a (k, v) VALUES (960, "x")`, `query INSERT INTO a (k, v) VALUES (961, '\\')`, "query SELECT k, v FROM a", "2: query SELECT @@sql_mode")
	}
}
