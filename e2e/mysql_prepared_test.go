package e2e

// Cases 47 to 65: prepared statements.

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	type group = map[string]func(*stage)
	for number, cases := range map[int]group{
		47: {"prepared once and run everywhere": prepareOnce},
		48: {"ids belong to their client": statementIDs},
		49: {"types are kept": keptTypes},
		50: {"types come from the client": boundTypes},
		51: {"many parameters": manyParameters},
		52: {"long data": longData},
		53: {"unknown statements": unknownStatements},
		54: {"cursors": cursors},
		55: {"definitions change under a statement": changingDefinitions},
		56: {"the server's bound of statements": tooManyStatements},
		57: {"preparing opens no transaction": preparingIsIdle},
		58: {"what can be prepared": whatCanBePrepared},
		59: {"SET with parameters": preparedSet},
		60: {"statements prepared as text": preparedText},
		61: {"CALL with parameters": preparedCall},
		62: {"a reset forgets statements": resetForgets},
		63: {"what is not offered": notOffered},
		64: {"hints count at EXECUTE": preparedHints},
		65: {"a client leaves its statements": leftStatements},
	} {
		for name, run := range cases {
			addStageCase(number, name, run)
		}
	}
}

// addStageCase adds a case that runs on the stage.
func addStageCase(number int, name string, run func(*stage)) {
	addMySQLCase(number, name, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) { run(newStage(ctx, t, flavor)) })
}

// binaryText is the first row of a binary reply whose columns, six at most, are all texts.
func binaryText(r *rawmysql.Reply) []string {
	var row []string
	for _, f := range r.Frames {
		if f.Kind != rawmysql.KindRow {
			continue
		}
		for p := f.Payload[2:]; len(p) > 0 && p[0] < 0xfb; {
			n := int(p[0])
			row, p = append(row, string(p[1:1+n])), p[1+n:]
		}
		break
	}
	return row
}

// ran is which server an EXECUTE of SELECT CAST(which() AS CHAR) ran on.
func ran(r *rawmysql.Reply) string {
	if row := binaryText(r); len(row) > 0 {
		return row[0]
	}
	return r.Shape()
}

const askWhich = "SELECT CAST(which() AS CHAR)"

func prepareOnce(s *stage) {
	const runs = 1000
	prepares := func() (n int) {
		for _, srv := range s.top.Servers {
			v, err := strconv.Atoi(s.status(srv, "Com_stmt_prepare"))
			if err != nil {
				s.Fatal(err)
			}
			n += v
		}
		return n
	}
	c := s.client()
	before, servers := prepares(), map[string]int{}
	id := c.prepare("SELECT CAST(which() AS CHAR), CAST(? AS CHAR)")
	for i := range runs {
		row := binaryText(c.execute(id, i))
		if len(row) != 2 || row[1] != strconv.Itoa(i) {
			s.Fatalf("run %d: got %q", i, row)
		}
		servers[row[0]]++
	}
	if servers["2"] < runs/10 || servers["3"] < runs/10 || servers["1"] > 0 {
		s.Errorf("runs by server id: got %v, want those of both replicas", servers)
	}
	if n := prepares() - before; n > 4 {
		s.Errorf("%d runs were prepared %d times, want at most once per conn", runs, n)
	}
	c.query("BEGIN")
	for range 10 {
		if got := ran(c.execute(id, 1)); got != "1" {
			s.Fatalf("in a transaction: ran on %s, want 1", got)
		}
	}
	c.query("COMMIT")
}

func statementIDs(s *stage) {
	for _, address := range []string{s.top.Primary().Addr(), s.leat.Addr} {
		c := s.dial(address, stageDatabase, peerFlags)
		ids := []uint32{c.prepare("SELECT 1"), c.prepare("SELECT 2"), c.prepare("SELECT 3")}
		_ = c.Send(rawmysql.ClosePayload(ids[2]))
		ids = append(ids, c.prepare("SELECT 3"))
		n := ids[0] // MariaDB's go on where another connection's ended
		if want := []uint32{n, n + 1, n + 2, n + 3}; fmt.Sprint(ids) != fmt.Sprint(want) {
			s.Errorf("%s: got ids %v, want %v", address, ids, want)
		}
	}
	a, b := s.client(), s.client()
	ida, idb := a.prepare("SELECT 'a', CAST(? AS CHAR)"), b.prepare("SELECT 'b', CAST(? AS CHAR)")
	if ida != idb {
		s.Fatalf("the clients' ids are %d and %d, want the same", ida, idb)
	}
	for i := range 20 {
		ra, rb := binaryText(a.execute(ida, i)), binaryText(b.execute(idb, -i))
		if fmt.Sprint(ra, rb) != fmt.Sprintf("[a %d] [b %d]", i, -i) {
			s.Fatalf("run %d: got %q and %q", i, ra, rb)
		}
	}
}

func keptTypes(s *stage) {
	s.same("prepare s SELECT ?", "again s 1", "execute s 1", "again s 2", "reset s", "again s 3", "prepare x SELECT ?", "execute x 'text'", "again x 'more'",
		"prepare t SELECT ?, ?", "again t 1 2", "execute t NULL 1.5", "again t NULL 2.5", "~again t NULL NULL")
	// Another client binds other types to the same statement, on the same conns.
	a, b := s.client(), s.client()
	const text = "SELECT CAST(which() AS CHAR), CAST(? AS CHAR)"
	ida, idb := a.prepare(text), b.prepare(text)
	a.execute(ida, 7)
	b.execute(idb, "seven")
	servers := map[string]bool{}
	for i := range 60 {
		pa, err := rawmysql.ReExecutePayload(ida, rawmysql.NoCursor, i)
		if err != nil {
			s.Fatal(err)
		}
		pb, err := rawmysql.ReExecutePayload(idb, rawmysql.NoCursor, "x"+strconv.Itoa(i))
		if err != nil {
			s.Fatal(err)
		}
		ra, rb := binaryText(a.do(pa)), binaryText(b.do(pb))
		if len(ra) != 2 || len(rb) != 2 || ra[1] != strconv.Itoa(i) || rb[1] != "x"+strconv.Itoa(i) {
			s.Fatalf("run %d: got %q and %q", i, ra, rb)
		}
		servers[ra[0]] = true
	}
	if len(servers) != 2 {
		s.Errorf("ran on %v, want both replicas", servers)
	}
}

func boundTypes(s *stage) {
	s.same("query CREATE TABLE u (n INT UNSIGNED, big BIGINT UNSIGNED, s TINYINT)", "prepare i INSERT INTO u (n) VALUES (?)",
		"execute i -1", "execute i 5", "execute i '6'", "execute i 1.5", "execute i 'x'", "execute i 4294967296",
		"prepare b INSERT INTO u (s) VALUES (?)", "execute b 127", "execute b 128", "query SELECT * FROM u")
	for _, address := range []string{s.top.Primary().Addr(), s.leat.Addr} {
		c := s.dial(address, stageDatabase, peerFlags)
		id := c.prepare("SELECT CAST(? AS CHAR)")
		if got := binaryText(c.execute(id, uint64(1<<64-1))); len(got) != 1 || got[0] != "18446744073709551615" {
			s.Errorf("%s: unsigned: got %q", address, got)
		}
		if got := binaryText(c.execute(id, -1)); len(got) != 1 || got[0] != "-1" {
			s.Errorf("%s: signed: got %q", address, got)
		}
	}
}

func manyParameters(s *stage) {
	marks := func(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }
	var lines []string
	for i, n := range []int{1, 7, 8, 9, 15, 16, 17} {
		args := ""
		for k := range n {
			args += [...]string{" NULL", fmt.Sprint(" ", k), " 'x'"}[(k*k+i)%3]
		}
		name := fmt.Sprint("s", n)
		lines = append(lines, "prepare "+name+" SELECT "+marks(n), "execute "+name+args, "again "+name+args,
			"prepare "+name+" SELECT "+marks(n), "execute "+name+strings.Repeat(" NULL", n))
	}
	lines = append(lines, "prepare big SELECT COUNT(*) FROM t WHERE id IN ("+marks(65535)+")", "execute big"+strings.Repeat(" 3", 65535),
		"again big"+strings.Repeat(" 7", 65535), "prepare toobig SELECT COUNT(*) FROM t WHERE id IN ("+marks(65536)+")", "query SELECT 1")
	s.same(lines...)
}

func longData(s *stage) {
	s.same("prepare k SELECT ?, LENGTH(?), ?", "long k 0 abc", "long k 0 def", "long k 1 12345", "execute k @long @long 1",
		"prepare l SELECT ?, LENGTH(?), ?", "execute l 'a' 'bc' 1", "long l 0 gone", "reset l", "execute l 'a' 'bc' 2", "long l 9 bad", "execute l 'a' 'bc' 3", "execute l 'a' 'bc' 4",
		"long l 0 one", "again l @long 'x' 5", "query SELECT 1", "prepare m SELECT ?", "long m 0 "+strings.Repeat("0123456789abcdef", 1<<16), "execute m @long")
	var wg sync.WaitGroup
	for i := range 64 {
		c := s.client()
		id := c.prepare("SELECT CAST(LENGTH(?) AS CHAR), LEFT(?, 10)")
		wg.Go(func() {
			for n := range 5 {
				chunk := bytes.Repeat([]byte{'a' + byte(i%26)}, 1000+i)
				for range n + 1 {
					if err := c.Send(rawmysql.LongDataPayload(id, 0, chunk)); err != nil {
						s.Error(err)
						return
					}
				}
				payload, err := rawmysql.ExecutePayload(id, rawmysql.NoCursor, rawmysql.LongData{}, fmt.Sprintf("client %03d", i))
				if err != nil {
					s.Error(err)
					return
				}
				r, err := c.Do(payload)
				if err != nil || r.Err() != nil {
					s.Errorf("client %d: %v %v", i, err, r.Err())
					return
				}
				if got, want := fmt.Sprint(binaryText(r)), fmt.Sprintf("[%d client %03d]", (n+1)*(1000+i), i); got != want {
					s.Errorf("client %d: got %s, want %s", i, got, want)
				}
			}
		})
	}
	wg.Wait()
}

func unknownStatements(s *stage) {
	s.same("execute no", "reset no", "close no", "fetch no 1", "prepare s SELECT 1", "close s", "execute s", "close s", "prepare bad SELEC 1",
		"execute bad", "query SELECT 1")
}

func cursors(s *stage) {
	s.sameFramed("prepare c SELECT id, v FROM t WHERE id < ? ORDER BY id", "cursor c 4", "fetch c 2", "query SELECT COUNT(*) FROM t",
		"fetch c 5", "fetch c 1", "cursor c 99", "fetch c 1", "reset c", "fetch c 1", "cursor c 2", "fetch c 9", "cursor c 0", "fetch c 1",
		"prepare d SELECT id FROM a ORDER BY id", "cursor c 9", "cursor d", "fetch c 1", "fetch d 1", "fetch c 1", "fetch d 9", "fetch c 9",
		"prepare i INSERT INTO a (k) VALUES (?)", "cursor i 900", "cursor c 9", "execute i 901", "fetch c 9", "close c", "fetch c 1", "query SELECT 1")
	c := s.client()
	id := c.prepare("SELECT id FROM t ORDER BY id")
	open, err := rawmysql.ExecutePayload(id, rawmysql.ReadOnlyCursor)
	if err != nil {
		s.Fatal(err)
	}
	for _, end := range []struct {
		name string
		run  func()
	}{
		{"read to its end", func() { c.do(rawmysql.FetchPayload(id, 100)) }},
		{"reset", func() { c.do(rawmysql.ResetPayload(id)) }},
		{"closed", func() { _ = c.Send(rawmysql.ClosePayload(id)); c.query("DO 1") }},
	} {
		c.do(open)
		c.do(rawmysql.FetchPayload(id, 1))
		if n := s.pinned("open cursor"); n != 1 {
			s.Errorf("with an open cursor: %d sessions are pinned, want 1", n)
		}
		end.run()
		if n := s.pinned("open cursor"); n != 0 {
			s.Errorf("with a cursor that was %s: %d sessions are pinned, want 0", end.name, n)
		}
	}
}

func changingDefinitions(s *stage) {
	s.atPrimary("DROP TABLE IF EXISTS changing; CREATE TABLE changing (id INT PRIMARY KEY); INSERT INTO changing VALUES (1)")
	s.sync()
	c, other := s.client(), s.client()
	star := c.prepare("SELECT * FROM changing")
	columns := func(r *rawmysql.Reply) int { return strings.Count(r.Shape(), "c") }
	for range 10 { // on every conn
		if n := columns(c.execute(star)); n != 1 {
			s.Fatalf("got %d columns, want 1", n)
		}
	}
	other.query("ALTER TABLE changing ADD COLUMN v INT DEFAULT 3")
	s.sync()
	for range 10 {
		if r := c.execute(star); columns(r) != 2 || r.Shape() != "nccro" {
			s.Fatalf("after a column was added: got %s", r.Shape())
		}
	}
	other.query("DROP TABLE changing")
	s.sync()
	run, err := rawmysql.ExecutePayload(star, rawmysql.NoCursor)
	if err != nil {
		s.Fatal(err)
	}
	for range 5 {
		if r, err := c.Do(run); err != nil || numberOf(r) != 1146 {
			s.Fatalf("after the table was dropped: got %v, %v, want 1146", r.Err(), err)
		}
	}
	s.same("query CREATE TABLE m (id INT)", "query INSERT INTO m VALUES (1)", "query BEGIN", "prepare s SELECT * FROM m FOR UPDATE", "execute s",
		"query COMMIT", "query ALTER TABLE m ADD COLUMN v INT", "query BEGIN", "execute s", "execute s", "query COMMIT", "query DROP TABLE m", "execute s")
}

func tooManyStatements(s *stage) {
	a, b := s.client(), s.client()
	for i := range 20 { // they stay prepared on the servers' conns
		a.execute(a.prepare(fmt.Sprintf("SELECT id + %d FROM t", i)))
		b.execute(b.prepare(fmt.Sprintf("SELECT id + %d FROM t FOR UPDATE", i)))
	}
	for _, srv := range s.top.Servers {
		if err := srv.Exec(s.ctx, "SET GLOBAL max_prepared_stmt_count = 5"); err != nil {
			s.Fatal(err)
		}
		defer func() {
			if err := srv.Exec(s.ctx, "SET GLOBAL max_prepared_stmt_count = 16382"); err != nil {
				s.Error(err)
			}
		}()
	}
	for i := range 20 {
		for _, suffix := range []string{"", " FOR UPDATE"} {
			id := a.prepare(fmt.Sprintf("SELECT id - %d FROM t%s", i, suffix))
			for range 3 {
				a.execute(id)
			}
		}
	}
}

func preparingIsIdle(s *stage) {
	s.same("query SET autocommit = 0", "prepare s SELECT * FROM t WHERE id = ?", "query DO 0", "prepare i INSERT INTO a (k) VALUES (?)", "query DO 0",
		"execute s 1", "query DO 0", "query ROLLBACK", "query DO 0", "execute i 700", "query DO 0", "query ROLLBACK", "query SELECT COUNT(*) FROM a", "query COMMIT", "query DO 0")
}

func whatCanBePrepared(s *stage) {
	s.same("prepare b BEGIN", "execute b", "query DO 0", "query INSERT INTO a (k) VALUES (710)", "prepare r ROLLBACK", "execute r", "query DO 0",
		"query SELECT COUNT(*) FROM a", "prepare u USE leat_stage", "execute u", "query SELECT DATABASE()", "query USE leat_diff",
		"query SELECT 1/0", "prepare w SHOW WARNINGS", "execute w", "prepare l LOCK TABLES t READ", "execute l", "query SELECT COUNT(*) FROM a",
		"prepare k UNLOCK TABLES", "execute k", "query SELECT COUNT(*) FROM a", "prepare f LOAD DATA INFILE '/nosuch' INTO TABLE t",
		"prepare x XA START 'x'", "prepare c CREATE TABLE made (id INT)", "execute c", "execute c", "query SELECT * FROM made",
		"prepare s SHOW TABLES", "~execute s", "prepare a ALTER TABLE t ADD COLUMN q INT", "execute a", "query SELECT * FROM t WHERE id = 1",
		"prepare g GRANT SELECT ON leat_diff.* TO app", "prepare lo LOAD DATA LOCAL INFILE 'x' INTO TABLE t", "query SELECT 1")
}

func preparedSet(s *stage) {
	s.same("prepare x SET @x = ?", "execute x 8", "query SELECT @x", "prepare x SET @x = ?", "execute x 'nine'", "2: query SELECT 1", "query SELECT @x",
		"prepare a SET autocommit = ?", "execute a 0", "query DO 0", "query INSERT INTO a (k) VALUES (720)", "query DO 0", "execute a 1", "query DO 0",
		"query SELECT COUNT(*) FROM a", "prepare m SET sql_mode = ?", "execute m 'ANSI_QUOTES'", "2: query SELECT @@sql_mode",
		"query SELECT @@sql_mode", `query SELECT "id" FROM t WHERE id = 1`, "execute m 'NOSUCH'", "query SELECT @@sql_mode", "execute m ''",
		"query SELECT @@sql_mode", "prepare n SET time_zone = ?, div_precision_increment = ?", "execute n '+03:00' 7", "2: query SELECT 1/3",
		"query SELECT @@time_zone, 1/3")
}

func preparedText(s *stage) {
	s.same("query PREPARE p FROM 'SELECT id FROM t WHERE id = ?'", "query SET @i = 2", "2: query EXECUTE p", "2: query PREPARE p FROM 'SELECT 1'",
		"query EXECUTE p USING @i", "2: query EXECUTE p", "query EXECUTE p", "query DEALLOCATE PREPARE p",
		"query EXECUTE p USING @i", "2: query DROP PREPARE p", "2: query EXECUTE p", "query PREPARE q FROM 'SET autocommit = 0'", "query EXECUTE q", "query DO 0",
		"query INSERT INTO a (k) VALUES (50)", "query DO 0", "query ROLLBACK", "query SELECT COUNT(*) FROM a WHERE k = 50", "query SET autocommit = 1",
		"query PREPARE i FROM 'INSERT INTO a (k) VALUES (51)'", "query EXECUTE i", "query SELECT LAST_INSERT_ID()", "query EXECUTE i", "query PREPARE bad FROM 'SELEC'")
}

func preparedCall(s *stage) {
	s.sameFramed("prepare c CALL p_out(?, ?)", "execute c 4 0", "query DO 0", "again c 5 0", "prepare m CALL p_many()", "execute m", "query DO 0",
		"prepare f CALL p_fail()", "execute f", "query DO 0", "prepare v CALL p_out(?, @out)", "execute v 21", "query SELECT @out", "query SELECT 1")
}

func resetForgets(s *stage) {
	s.same("prepare s SELECT ?", "execute s 1", "prepare c SELECT id FROM t", "cursor c", "reset-connection", "execute s 1", "fetch c 1", "reset s",
		"prepare s SELECT ?, 2", "execute s 1", "change-user app app-secret leat_diff", "execute s 1", "close s", "prepare n SELECT 3", "execute n")
}

// notOffered: MariaDB's bulk EXECUTE, its EXECUTE of the statement prepared last, and results without metadata.
func notOffered(s *stage) {
	var d net.Dialer
	nc, err := d.DialContext(s.ctx, "tcp", s.leat.Addr)
	if err != nil {
		s.Fatal(err)
	}
	defer nc.Close()
	greeting := make([]byte, 512)
	n, err := nc.Read(greeting)
	if err != nil {
		s.Fatal(err)
	}
	p := greeting[5:n]
	p = p[bytes.IndexByte(p, 0)+1:] // behind the version: thread id, salt, capabilities, charset, status, more, length
	upper := uint32(p[4+8+1+2+1+2]) | uint32(p[4+8+1+2+1+2+1])<<8
	const optionalMetadata, queryAttributes = 1 << (25 - 16), 1 << (27 - 16)
	if upper&(optionalMetadata|queryAttributes) != 0 {
		s.Errorf("upper capabilities: got %x, want neither optional metadata nor query attributes", upper)
	}
	reserved := p[4+8+1+2+1+2+2+1:][:10]
	if !bytes.Equal(reserved, make([]byte, 10)) {
		s.Errorf("MariaDB's own capabilities: got %x, want none", reserved)
	}
	c := s.client()
	c.prepare("SELECT 1")
	last, err := rawmysql.ExecutePayload(1<<32-1, rawmysql.NoCursor)
	if err != nil {
		s.Fatal(err)
	}
	if r, err := c.Do(last); err != nil || numberOf(r) != 1243 {
		s.Errorf("EXECUTE of the last statement: got %v, %v, want 1243", r.Err(), err)
	}
	const bulk = 0xfa
	if err := c.Send([]byte{bulk, 1, 0, 0, 0, 0, 0}); err != nil {
		s.Fatal(err)
	}
	if r, err := c.ReadReply(rawmysql.ComPing); err != nil || numberOf(r) != 1047 {
		s.Errorf("bulk EXECUTE: got %v, %v, want 1047", r.Err(), err)
	}
	c.wants("SELECT 1", "1")
}

func preparedHints(s *stage) {
	c := s.client()
	for _, tt := range []struct {
		hint    string
		primary bool
	}{{"", false}, {"/* leat: role=primary */ ", true}, {"/* leat: consistency=eventual */ ", false}, {"/*+ MAX_EXECUTION_TIME(9999) */ ", false}} {
		id := c.prepare(tt.hint + askWhich)
		for range 5 {
			if got := ran(c.execute(id)); (got == "1") != tt.primary {
				s.Errorf("%s: ran on server %s, want the primary: %v", tt.hint, got, tt.primary)
			}
		}
	}
}

func leftStatements(s *stage) {
	const statements, conns, kept = 1000, 2, 200 // of a conn, for whoever comes next
	c := s.client()
	for i := range statements {
		id := c.prepare(fmt.Sprintf("SELECT id * %d FROM t", i))
		if i%10 == 0 {
			c.execute(id)
		}
	}
	c.Abort()
	for _, srv := range s.top.Servers {
		eventually(s.ctx, s.T, "prepared statements on a server", func() error {
			n, err := strconv.Atoi(s.status(srv, "Prepared_stmt_count"))
			if err == nil && n > conns*kept {
				err = fmt.Errorf("%s has %d, want at most %d", srv.Addr(), n, conns*kept)
			}
			return err
		})
	}
}
