package e2e

// Cases 18-25 and 30-32: sizes, sequence numbers, framings, and what isn't SQL.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addStageCase(18, "long requests", longRequests)
	addMySQLCase(19, "requests over the limit", tooLargeRequests)
	addStageCase(20, "sequence numbers wrap", sequenceWraps)
	addStageCase(21, "long rows", longRows)
	addStageCase(23, "an error after rows", errorAfterRows)
	addStageCase(24, "framings", everyFraming)
	addStageCase(25, "out parameters", outParameters)
	addStageCase(29, "compression", compression)
	addStageCase(30, "pipelined requests", pipelined)
	addStageCase(31, "other commands", otherCommands)
	addStageCase(32, "lying packets", lyingPackets)
}

// checksumQuery asks for the checksum of a string that makes the payload, command byte included, n bytes long.
func checksumQuery(n int) (sql, want string) {
	const head, tail = "SELECT CRC32('", "')"
	pad := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz_"), n/37+1)[:n-1-len(head)-len(tail)]
	return head + string(pad) + tail, strconv.FormatUint(uint64(crc32.ChecksumIEEE(pad)), 10)
}

func longRequests(s *stage) {
	const frame = 1<<24 - 1
	for _, n := range []int{1 << 20, 1<<20 + 5, frame - 1, frame, frame + 1, 2 * frame} {
		c := s.client()
		sql, want := checksumQuery(n)
		if got := c.value(sql); got != want {
			s.Errorf("a request of %d bytes: checksum %s, want %s", n, got, want)
		}
		c.wants("SELECT 'in step'", "in step")
		c.Close()
	}
	c := s.client()
	id := c.prepare("SELECT CRC32(?), LENGTH(?)")
	blob := bytes.Repeat([]byte("0123456"), 17<<20/7)
	r := c.execute(id, blob, blob)
	var want [8]byte
	for i := range 4 {
		want[i] = byte(crc32.ChecksumIEEE(blob) >> (8 * i))
	}
	if row := r.Frames[len(r.Frames)-2].Payload; !bytes.Contains(row, want[:4]) {
		s.Errorf("a parameter of 17 MB: row %x, want the checksum %x in it", row, want[:4])
	}
}

func sequenceWraps(s *stage) {
	const sql = "SELECT a.id, b.id, c.id, d.id FROM t a, t b, t c, t d ORDER BY 1, 2, 3, 4 LIMIT 600"
	for _, flags := range framings[:4] {
		s.sameAs(flags, "query "+sql, "prepare p "+sql, "execute p", "query SELECT 1")
	}
	r := s.dial(s.leat.Addr, stageDatabase, peerFlags&^rawmysql.DeprecateEOF).query("SELECT a.id FROM t a, t b, t c, t d LIMIT 600")
	if got := r.Frames[len(r.Frames)-1].Seq; len(r.Frames) != 604 || got != 92 {
		s.Errorf("%d packets, the last has number %d; want 604 and 92", len(r.Frames), got)
	}
	for i, f := range r.Frames {
		if f.Seq != byte(i+1) {
			s.Fatalf("packet %d has number %d", i+1, f.Seq)
		}
	}
}

func longRows(s *stage) {
	s.sameFramed("query SELECT REPEAT('x', 17000000), 2 UNION ALL SELECT 'b', 3", "query SELECT REPEAT('x', 16777215 - 4)", "query SELECT REPEAT('x', 16777215 - 5)", "query SELECT NULL, REPEAT('y', 70000)")
}

func errorAfterRows(s *stage) {
	const sql = "SELECT id, (SELECT x.id FROM t x WHERE x.id <> 4 AND x.id + 3 > t.id AND x.id < t.id) FROM t ORDER BY id"
	s.sameFramed("query "+sql, "query SELECT 1", "prepare p "+sql, "execute p", "query SELECT 2; "+sql+"; SELECT 3", "ping")
	c := s.client()
	r, err := c.Query(sql)
	if err != nil || numberOf(r) != 1242 || !strings.Contains(r.Shape(), "rx") {
		s.Errorf("%v: got %s, error %v; want rows and then error 1242", err, r.Shape(), r.Err())
	}
	c.wants("SELECT 1", "1")
}

func everyFraming(s *stage) {
	for _, flags := range framings {
		s.sameAs(flags,
			"query SELECT * FROM t ORDER BY id", "query SELECT id FROM t WHERE id < 0", "query SELECT 1/0 FROM t LIMIT 1", "query CALL p_many()", "query CALL p_fail()", "query SELECT 1; SELECT id FROM t ORDER BY id; UPDATE a SET v = 'u'",
			"prepare s SELECT id, v FROM t WHERE id > ? ORDER BY id", "execute s 3", "execute s 99", "cursor s 2", "fetch s 2", "fetch s 9", "fetch s 1", "close s",
			"prepare n DO 1", "execute n", "prepare u UPDATE a SET v = ? WHERE id = ?", "execute u 'w' 1", "close u", "fields t", "fields nosuch",
			"query BEGIN", "query SELECT id FROM t WHERE id = 1", "prepare r SELECT v FROM t WHERE id = ?", "execute r 2", "query COMMIT",
			"query SET autocommit = 0", "query SELECT id FROM t WHERE id = 1", "ping", "query ROLLBACK", "query SELECT v FROM nosuch")
	}
}

func outParameters(s *stage) {
	for _, flags := range framings[:4] {
		s.sameAs(flags, "prepare c CALL p_out(?, ?)", "execute c 4 0", "query SELECT 'in step'", "execute c 5 0", "ping", "query CALL p_out(6, @y)", "query SELECT @y", "close c", "query SELECT 7")
	}
}

func compression(s *stage) {
	long, sum := checksumQuery(17 << 20)
	for name, kind := range map[string]struct {
		flag uint32
		wrap func(*rawmysql.Options)
	}{
		"zlib": {rawmysql.Zlib, func(o *rawmysql.Options) { o.Compress = zlibConn }},
		"zstd": {rawmysql.Zstd, func(o *rawmysql.Options) { o.Compress = zstdConn }},
	} {
		opts := rawmysql.Options{User: localdb.AppUser, Password: localdb.AppPassword, Database: stageDatabase, Flags: peerFlags | kind.flag, Timeout: 2 * time.Minute}
		kind.wrap(&opts)
		raw, err := rawmysql.Dial(s.ctx, s.leat.Addr, opts)
		if err != nil {
			s.Fatal(err)
		}
		if name == "zstd" && s.flavor == localdb.MariaDB { // which doesn't have it, so it isn't offered
			if raw.Flags&kind.flag != 0 {
				s.Error("zstd is offered for MariaDB")
			}
			raw.Abort()
			continue
		}
		if raw.Flags&kind.flag == 0 {
			s.Fatalf("%s isn't offered: capabilities %x", name, raw.Greeting.Capabilities)
		}
		c := &peer{raw, s}
		c.wants("SELECT 1", "1", "SELECT CRC32(REPEAT('x', 100))", strconv.Itoa(int(crc32.ChecksumIEEE(bytes.Repeat([]byte("x"), 100)))), long, sum)
		for _, n := range []int{10, 49, 50, 60_000, 17 << 20} {
			if got := c.value(fmt.Sprintf("SELECT REPEAT('xyz', %d)", n)); got != strings.Repeat("xyz", n) {
				s.Errorf("%s: a value of %d bytes came back changed", name, 3*n)
			}
		}
		if rows := c.query("SELECT a.id FROM t a, t b, t c, t d").Text(); len(rows) != 6*6*6*6 {
			s.Errorf("%s: %d rows, want %d", name, len(rows), 6*6*6*6)
		}
		c.fails("SELECT nosuch", 1054)
		c.Close()
	}
}

func pipelined(s *stage) {
	c := s.client()
	for round := range 5 {
		requests := []string{
			fmt.Sprintf("UPDATE t SET n = %d WHERE id = 6", round), "SELECT id FROM t WHERE id = 3", "SELECT n FROM t WHERE id = 6", "SELECT nosuch", "SELECT 1; SELECT 2",
			"INSERT INTO a (v) VALUES ('p')", "SELECT COUNT(*) > 0 FROM a WHERE v = 'p'", "DELETE FROM a WHERE v = 'p'",
		}
		want := []string{"[]", "[[3]]", fmt.Sprintf("[[%d]]", round), "1054", "[[1] [2]]", "[]", "[[1]]", "[]"}
		var all []byte
		for _, sql := range requests {
			n := len(sql) + 1
			all = append(append(all, byte(n), byte(n>>8), 0, 0, rawmysql.ComQuery), sql...)
		}
		if err := c.SendRaw(all); err != nil {
			s.Fatal(err)
		}
		for i, sql := range requests {
			r, err := c.ReadReply(rawmysql.ComQuery)
			if err != nil {
				s.Fatalf("%s: %v", sql, err)
			}
			got := fmt.Sprint(r.Text())
			if n := numberOf(r); n != 0 {
				got = strconv.Itoa(int(n))
			}
			if got != want[i] {
				s.Errorf("%s: got %s, want %s", sql, got, want[i])
			}
		}
	}
}

func otherCommands(s *stage) {
	// What Leat has its own answer to is left out: COM_SHUTDOWN and COM_PROCESS_KILL.
	lines := []string{
		"ping", "~statistics", "use leat_diff", "query SELECT DATABASE()", "use nosuch", "query SELECT DATABASE()", "fields t", "fields nosuch", "raw 0474002500",
		"prepare p SELECT ?", "long p 0 abc", "close p", "ping", "raw 99", "query SELECT 1", "raw 00", "raw 05", "raw 06", "raw 0b", "raw 0f", "raw 10", "raw 13", "raw 14", "raw 1d", "query SELECT 2", "raw 0d", "ping",
		"query SELECT 3",
	}
	if s.flavor == localdb.MySQL { // gone there
		lines = append(lines, "raw 0a", "raw 0701", "query SELECT 4")
	} else {
		lines = append(lines, "~raw 0701", "raw 0cffffff7f", "query SELECT 4")
	}
	s.sameFramed(lines...)
}

// lyingPackets are sent both ways: an error there is an error here, and either way the next request is served.
func lyingPackets(s *stage) {
	packets := []string{
		"\x17", "\x17\x01", "\x17\x01\x00\x00\x00", "\x17\x01\x00\x00\x00\x00\x01\x00\x00", "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00", "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00",
		"\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\xfd", "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\xfd\x00\xfd\x00", "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\xfd\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
		"\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\xfd\x00\x0aabc", "\x1a\x01", "\x1c\x01\x00", "\x1c\x01\x00\x00\x00\x01", "\x0c", "\x0c\x01", "\x1b", "\x1b\x00", "\x04", "\x04t", "\x02", "\x16",
	}
	run := func(address, packet string) string {
		c := s.dial(address, stageDatabase, peerFlags)
		defer c.Close()
		id := binary.LittleEndian.AppendUint32(nil, c.prepare("SELECT ?"))
		packet = strings.Replace(packet, "\x01\x00\x00\x00", string(id), 1)
		r, err := c.Do([]byte(packet))
		if err != nil {
			return "closed"
		}
		c.wants("SELECT 'alive'", "alive")
		if n := numberOf(r); n != 0 {
			return "error " + strconv.Itoa(int(n))
		}
		return "no error"
	}
	for _, p := range packets {
		want, got := run(s.top.Primary().Addr(), p), run(s.leat.Addr, p)
		if got != want && !strings.HasPrefix(got, "error") {
			s.Errorf("packet %x: %s, want %s as direct, or an error", p, got, want)
		}
	}
	for _, p := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\x00\x03SELECT", "\x10\x00\x00\x00\x03SELECT 1", "\x01\x00\x00\x07\x0e"} {
		c := s.dial(s.leat.Addr, stageDatabase, peerFlags)
		if err := c.SendRaw([]byte(p)); err != nil {
			s.Fatal(err)
		}
		c.Abort()
	}
	s.client().wants("SELECT 'alive'", "alive")
}
