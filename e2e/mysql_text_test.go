package e2e

// Cases 33-42 and 46: the text protocol, and what SQL can ask about the statement before.

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addStageCase(33, "empty statements", emptyStatements)
	addStageCase(34, "batches", batches)
	addStageCase(35, "batches stay whole", wholeBatches)
	addStageCase(36, "set option", setOption)
	addStageCase(37, "found rows", foundRowsFlag)
	addStageCase(38, "warnings", warnings)
	addStageCase(39, "row count", rowCount)
	addStageCase(40, "last insert id", lastInsertID)
	addStageCase(41, "insert id of the reply", replyInsertID)
	addStageCase(42, "found_rows()", foundRows)
	addStageCase(46, "bytes pass unchanged", bytesUnchanged)
}

// framings are all ways in which a reply is framed.
var framings = [][]string{
	{},
	{"deprecate_eof"},
	{"session_track"},
	{"deprecate_eof", "session_track"},
	{"multi_statements"},
	{"deprecate_eof", "multi_statements"},
}

// queries makes a script of text statements, one a line.
func queries(text string) []string {
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, "query "+line)
		}
	}
	return lines
}

func emptyStatements(s *stage) {
	lines := append([]string{"query", "query ;", "query  "}, queries(`
		-- nothing
		# nothing
		/* nothing */
		SELECT 1;
		SELECT 1 ;
		SELECT 1; -- that was it
		SELECT 1; SELECT 2
		INSERT INTO a (k) VALUES (50); DELETE FROM a
		SELECT COUNT(*) FROM a`)...)
	for _, flags := range [][]string{{}, {"deprecate_eof"}, {"deprecate_eof", "multi_statements"}} {
		s.sameAs(flags, lines...)
	}
}

func batches(s *stage) {
	lines := queries(`
		SELECT 1; INSERT INTO a (k) VALUES (30); SELECT bad; SELECT 4
		SELECT COUNT(*) FROM a WHERE k = 30
		SELECT 1; -- a comment
		SELECT 1; SELECT 2;
		SELECT 1;;
		INSERT INTO a (k) VALUES (31); SELECT id FROM t; UPDATE a SET v = 'x'; DELETE FROM a WHERE k = 31
		SELECT id FROM t WHERE id < 0; SELECT id FROM t WHERE id > 4
		CALL p_many(); SELECT 5
		SELECT 1; SELEC 2; SELECT 3
		CALL p_fail(); SELECT 5`)
	s.sameFramed(lines...)
}

func wholeBatches(s *stage) {
	s.sameFramed(queries(`
		SET @a = 1; SELECT @a
		SELECT @a
		BEGIN; INSERT INTO a (k) VALUES (40)
		SELECT COUNT(*) FROM a WHERE k = 40
		ROLLBACK; SELECT COUNT(*) FROM a WHERE k = 40
		SET sql_mode = 'ANSI_QUOTES'; SELECT "id" FROM t WHERE id = 1
		SELECT "id" FROM t WHERE id = 1
		USE information_schema; SELECT DATABASE()
		SELECT DATABASE()
		CREATE TEMPORARY TABLE leat_diff.tmp (id INT); INSERT INTO leat_diff.tmp VALUES (3)
		SELECT * FROM leat_diff.tmp
		SET autocommit = 0; SELECT @@autocommit
		SELECT @@autocommit`)...)
	c := s.client()
	for _, batch := range []string{"SELECT which(); DO 1", "SELECT which(); SET @x = 1", "SELECT which(); INSERT INTO a (v) VALUES ('w')", "SELECT which(); SELEC", "SELECT which(); BEGIN; COMMIT"} {
		r, err := c.Query(batch)
		if err != nil {
			s.Fatal(err)
		}
		if rows := r.Text(); len(rows) != 1 || rows[0][0] != "1" {
			s.Errorf("%s: ran on server %v, want 1, the primary", batch, rows)
		}
	}
}

func setOption(s *stage) {
	s.sameAs([]string{"deprecate_eof"}, "query SELECT 1; SELECT 2", "option 0", "query SELECT 1; SELECT 2", "option 1", "query SELECT 1; SELECT 2", "option 9")
	s.sameAs([]string{"multi_statements"}, "query SELECT 1; SELECT 2", "option 1", "query SELECT 1; SELECT 2", "ping")
	on, off := s.client(), s.client()
	off.do([]byte{rawmysql.ComSetOption, 1, 0})
	for i := range 8 { // each on whatever conn there is
		sql := fmt.Sprintf("INSERT INTO a (v) VALUES ('%d'); DELETE FROM a WHERE v = '%d'", i, i)
		on.query(sql)
		on.query("SELECT 1; SELECT 2")
		off.fails(sql, 1064)
		off.fails("SELECT 1; SELECT 2", 1064)
	}
}

// affected is the number of rows that an OK says were affected, if it is below 251.
func affected(r *rawmysql.Reply) int { return int(r.Frames[0].Payload[1]) }

func foundRowsFlag(s *stage) {
	lines := queries(`
		UPDATE a SET v = 'a' WHERE id = 1
		SELECT ROW_COUNT()
		UPDATE a SET v = 'b' WHERE id IN (1, 2)
		INSERT INTO a (id, k, v) VALUES (1, 1, 'b') ON DUPLICATE KEY UPDATE v = 'b'`)
	s.sameAs([]string{"found_rows", "deprecate_eof"}, lines...)
	s.sameAs([]string{"deprecate_eof"}, lines...)
	plain, found := s.client(), s.dial(s.leat.Addr, stageDatabase, peerFlags|rawmysql.FoundRows)
	for range 6 {
		if got := affected(plain.query("UPDATE t SET v = 'one' WHERE id = 1")); got != 0 {
			s.Errorf("without FOUND_ROWS: %d rows affected, want 0", got)
		}
		if got := affected(found.query("UPDATE t SET v = 'one' WHERE id = 1")); got != 1 {
			s.Errorf("with FOUND_ROWS: %d rows affected, want 1", got)
		}
	}
}

func warnings(s *stage) {
	s.sameFramed(queries(`
		INSERT INTO a (k, v) VALUES (60, 'x'), (61, 'y') ON DUPLICATE KEY UPDATE v = 'z'
		INSERT IGNORE INTO a (k, v) VALUES (60, 'dup'), (65, 'much too long for this')
		SHOW WARNINGS
		SHOW WARNINGS
		SHOW COUNT(*) WARNINGS
		SELECT @@warning_count
		SELECT LAST_INSERT_ID()
		UPDATE IGNORE a SET k = 60, v = 'much too long for this' WHERE k = 61
		SHOW COUNT(*) WARNINGS
		SHOW WARNINGS
		SHOW WARNINGS
		SELECT @@warning_count
		SHOW WARNINGS
		SELECT 1/0, CAST('12x' AS SIGNED) FROM t
		SHOW WARNINGS LIMIT 2
		SELECT @@warning_count, @@error_count
		SELECT CAST('1z' AS SIGNED) FROM t WHERE id = 1
		SELECT id FROM t WHERE id = 1
		SHOW WARNINGS
		SHOW COUNT(*) WARNINGS
		SELECT @@warning_count
		SELECT nosuch FROM t
		SHOW ERRORS
		SHOW COUNT(*) ERRORS
		UPDATE a SET v = 'q' WHERE k > 59
		SHOW WARNINGS
		ALTER TABLE a ADD COLUMN x INT
		DROP TABLE IF EXISTS nosuch
		SHOW WARNINGS
		INSERT INTO a (k, v) VALUES (63, 'much too long for this')
		SHOW WARNINGS
		BEGIN
		INSERT IGNORE INTO a (k, v) VALUES (60, 'dup'), (64, 'much too long for this')
		SHOW WARNINGS
		ROLLBACK`)...)
	if s.flavor == localdb.MySQL { // MariaDB keeps the list, which the session's next conn doesn't have
		s.same(queries("SELECT CAST('1y' AS SIGNED) FROM t WHERE id = 1\nSELECT 5\nSHOW WARNINGS")...)
	}
	s.ownWarnings()
}

// ownWarnings has clients take each other's conns: one sees its own warnings or is told that they are gone.
func (s *stage) ownWarnings() {
	clients := make([]*peer, 5)
	for i := range clients {
		clients[i] = s.client()
	}
	for round := range 10 {
		for i, c := range clients {
			c.query(fmt.Sprintf("SELECT CAST('%dx%d' AS SIGNED) FROM t WHERE id = 1", i, round))
		}
		for i, c := range clients {
			r, err := c.Query("SHOW WARNINGS")
			if err != nil {
				s.Fatal(err)
			}
			own := fmt.Sprintf("%dx%d", i, round)
			if rows := r.Text(); numberOf(r) != 1235 && (len(rows) != 1 || !strings.Contains(rows[0][2], own)) {
				s.Errorf("client %d sees %v, error %v; want its own warning of %q or error 1235", i, rows, r.Err(), own)
			}
			c.query("SELECT id FROM t WHERE id = 1")
			c.wants("SHOW COUNT(*) WARNINGS", "0", "SELECT @@warning_count", "0")
			if rows := c.query("SHOW WARNINGS").Text(); len(rows) != 0 {
				s.Errorf("client %d sees %v, want no warnings", i, rows)
			}
		}
	}
}

func rowCount(s *stage) {
	s.sameFramed("query UPDATE a SET v = 'x' WHERE id <= 2", "query SELECT ROW_COUNT()", "query SELECT ROW_COUNT()",
		"query UPDATE a SET v = 'y' WHERE id <= 2", "2: query INSERT INTO a (k) VALUES (70), (71), (72)", "3: query SELECT id FROM t", "2: query DELETE FROM a WHERE k = 72",
		"query SELECT ROW_COUNT()", "2: query SELECT row_count() AS n", "3: query SELECT ROW_COUNT();",
		"query SELECT nosuch FROM t", "query SELECT ROW_COUNT()", "query CREATE TABLE r (id INT)", "query SELECT ROW_COUNT()",
		"prepare p SELECT ROW_COUNT()", "query UPDATE a SET v = 'z' WHERE id = 1", "execute p", "query SET @a = 1", "query SELECT ROW_COUNT()")
}

func lastInsertID(s *stage) {
	spellings := queries(`
		SELECT LAST_INSERT_ID()
		SELECT last_insert_id() ;
		SELECT LAST_INSERT_ID() AS id
		SELECT LAST_INSERT_ID() FROM DUAL
		SELECT LAST_INSERT_ID() LIMIT 1
		SELECT @@identity
		SELECT @@last_insert_id
		SELECT @@session.identity, LAST_INSERT_ID() + 1
		SELECT id, k FROM a WHERE id = LAST_INSERT_ID()
		INSERT INTO c1 (k) VALUES (LAST_INSERT_ID())
		SELECT k FROM c1`)
	lines := []string{"query INSERT INTO a (k, v) VALUES (80, 'x'), (81, 'y')", "2: query INSERT INTO c2 (id, k) VALUES (700, 1)", "2: query INSERT INTO c2 (k) VALUES (2)", "3: query SELECT LAST_INSERT_ID()"}
	lines = append(append(lines, spellings...), "2: query SELECT LAST_INSERT_ID()", "3: query SELECT @@identity",
		"prepare p SELECT LAST_INSERT_ID()", "prepare i INSERT INTO a (k) VALUES (?)", "execute p", "execute i 82", "2: query INSERT INTO c2 (k) VALUES (3)", "execute p", "query SELECT LAST_INSERT_ID()", "2: query SELECT LAST_INSERT_ID()",
		"query INSERT INTO a (k) VALUES (80)", "query SELECT LAST_INSERT_ID()", "reset-connection", "query SELECT LAST_INSERT_ID()")
	s.sameFramed(lines...)
}

func replyInsertID(s *stage) {
	s.sameFramed("query INSERT INTO a (k) VALUES (90)", "query INSERT INTO a (id, k) VALUES (500, 91)", "2: query INSERT INTO c1 (k) VALUES (1)",
		"query SELECT LAST_INSERT_ID()", "query UPDATE a SET k = LAST_INSERT_ID(77) WHERE id = 500", "2: query SELECT LAST_INSERT_ID()",
		"query SELECT LAST_INSERT_ID()", "query SELECT LAST_INSERT_ID(99)", "2: query SELECT id FROM t", "query SELECT LAST_INSERT_ID()",
		"query SET last_insert_id = 12", "query SELECT LAST_INSERT_ID()", "query INSERT INTO a (k) VALUES (90)", "query SELECT LAST_INSERT_ID()",
		"query INSERT IGNORE INTO a (k) VALUES (90)", "query SELECT LAST_INSERT_ID()", "query REPLACE INTO a (id, k) VALUES (500, 91)", "query SELECT LAST_INSERT_ID()")
}

func foundRows(s *stage) {
	s.sameFramed("query SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1", "query SELECT FOUND_ROWS()", "query SELECT FOUND_ROWS()",
		"query SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1", "2: query SELECT id FROM t WHERE id < 3", "3: query SELECT id FROM t WHERE id = 1", "query SELECT FOUND_ROWS() AS n", "2: query SELECT FOUND_ROWS();", "3: query SELECT found_rows()",
		"query SELECT id FROM t WHERE id > 2 LIMIT 3", "query SELECT FOUND_ROWS(), ROW_COUNT()", "query INSERT INTO a (k) VALUES (95)", "query SELECT FOUND_ROWS()")
}

func bytesUnchanged(s *stage) {
	var lines []string
	for _, sql := range []string{
		"SELECT 'a\x00b', HEX('a\x00b')", "SELECT _binary 'a\xff\xfe'", "SELECT HEX(_binary '\xc3\x28')", "SELECT '\xf0\x9f\x98\x80', LENGTH('\xf0\x9f\x98\x80')",
		"SELECT x'00ff', 0x41, b'1010', X'', N'n', _latin1'\xe4'", "SELECT /* \x00\xff */ 1", "SELECT 'it''s', \"q\", 'b\\\\n\\0'", "SELECT '\xff\xfe'",
		"SELECT 1 AS `\xc3\xa4 \xe2\x82\xac`", "SELECT v FROM t WHERE v = 'f\xc3\xbcnf'", "INSERT INTO t VALUES (20, 'x\x00y', 1, _binary '\x00\xff\xfe')", "SELECT v, b FROM t WHERE id = 20", "SELECT 1\x00", "SELECT 1 \xe2\x80\x83",
	} {
		lines = append(lines, "raw "+hex.EncodeToString(append([]byte{rawmysql.ComQuery}, sql...)))
	}
	s.sameFramed(lines...)
	c := s.client()
	blob := bytes.Repeat([]byte{0, 255, '\'', 0xf0}, 40_000)
	r := c.query("SELECT x'" + hex.EncodeToString(blob) + "'")
	if got := r.Text(); len(got) != 1 || got[0][0] != string(blob) {
		s.Error("a value of 160 kB came back changed")
	}
}
