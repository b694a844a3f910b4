package mysqlwire

// Tests of statements that are prepared on a conn: shared, prepared again, never mixed up.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"leat/proxy/wire"
)

// executeFrame is a COM_STMT_EXECUTE with one parameter: its type, 0 for one that was bound before, and a byte.
func executeFrame(id uint32, kind, value byte) []byte {
	p := binary.LittleEndian.AppendUint32([]byte{ComStmtExecute}, id)
	p = append(p, 0, 1, 0, 0, 0, 0) // no cursor, one iteration, no NULL
	if kind == 0 {
		p = append(p, 0, value)
	} else {
		p = append(p, 1, kind, 0, value)
	}
	return packets(0, p)
}

func preparedReply(id uint32) []byte {
	p := binary.LittleEndian.AppendUint32([]byte{0}, id)
	return append(p, 0, 0, 1, 0, 0, 0, 0) // no columns, one parameter
}

// stmtExchange has a conn whose server gives those replies, after another.
func stmtExchange(replies ...[]byte) (*Conn, *script) {
	server := &script{in: bytes.NewReader(bytes.Join(replies, nil))}
	return &Conn{
		nc: server, in: newReader(server), out: newWriter(server), limit: maxHeld, flavor: wire.FlavorMySQL,
		state: baseState(), base: baseState(),
	}, server
}

func newStatement(text string) *wire.Statement {
	s := &stmt{id: 1, params: 1}
	s.identify(text, baseState())
	return &wire.Statement{ID: 1, Wire: s}
}

// commands lists what was sent to a server: command and statement id.
func commands(server *script) (list []string) {
	for p := server.out.Bytes(); len(p) > 0; {
		n, _ := frameLength(p)
		payload := p[headerSize : headerSize+n]
		id := uint32(0)
		if payload[0] != ComStmtPrepare && payload[0] != ComQuery && len(payload) >= 5 {
			id = binary.LittleEndian.Uint32(payload[1:])
		}
		list = append(list, fmt.Sprintf("%02x:%d", payload[0], id))
		p = p[headerSize+n:]
	}
	return list
}

func TestStatementsByType(t *testing.T) {
	done := packets(1, ok(markOK, 0, 0, StatusAutocommit, 0, "", nil))
	prepared := func(id uint32) []byte { return packets(1, preparedReply(id), column) }
	conn, server := stmtExchange(done, done, prepared(6), done, done, done)
	client := &Client{nc: &script{}, out: newWriter(&script{}), track: defaultTrackers()}
	a, b := newStatement("SELECT ?"), newStatement("SELECT ?")
	conn.keep(a.Wire.(*stmt), 5)
	run := func(s *wire.Statement, kind, value byte) {
		t.Helper()
		_, err := conn.Do(&wire.Request{Kind: wire.Execute, Stmt: s, Frames: executeFrame(1, kind, value)}, client, &wire.Options{})
		if err != nil {
			t.Fatal(err)
		}
	}
	run(a, 1, 7) // takes the statement that was prepared
	run(b, 1, 8) // shares it
	run(b, 2, 9) // has other types: prepares its own
	run(a, 0, 7) // still the first
	run(b, 0, 9)
	got, want := commands(server), []string{"17:5", "17:5", "16:0", "17:6", "17:5", "17:6"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

func TestPrepareAgain(t *testing.T) {
	done := packets(1, ok(markOK, 3, 0, StatusAutocommit, 0, "", nil))
	const own, bodys = "Unknown prepared statement handler (5) given to mysqld_stmt_execute", "Unknown prepared statement handler (x) given to EXECUTE"
	for _, c := range []struct {
		number    uint16
		message   string
		retriable bool
		again     bool
	}{
		{errNoStatement, own, false, true},
		{errNoStatement, "in a language of its own", true, true},
		{errNoStatement, bodys, false, false}, // of a CALL, after it has written
		{errPrepareAgain, "Prepared statement needs to be re-prepared", true, true},
		{errPrepareAgain, "Prepared statement needs to be re-prepared", false, false},
	} {
		conn, server := stmtExchange(packets(1, AppendErr(nil, c.number, "HY000", c.message, ClientProtocol41)), packets(1, preparedReply(6), column), done)
		client := &Client{nc: &script{}, out: newWriter(&script{}), track: defaultTrackers()}
		s := newStatement("UPDATE t SET a = ?")
		s.Wire.(*stmt).long = []longData{{0, []byte("x")}}
		conn.keep(s.Wire.(*stmt), 5)
		do := func() wire.Outcome {
			out, err := conn.Do(&wire.Request{Kind: wire.Execute, Stmt: s, Frames: executeFrame(1, 1, 7)}, client, &wire.Options{Retriable: c.retriable})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		out := do()
		if again := out.Err == nil; again != c.again {
			t.Errorf("%d %s: run again: %v, want %v", c.number, c.message, again, c.again)
		}
		if !c.again { // the client's next try finds it prepared anew
			out = do()
		}
		if out.Affected != 3 {
			t.Errorf("%d %s: got %+v in the end", c.number, c.message, out)
		}
		got, want := commands(server), []string{"18:5", "17:5", "19:5", "16:0", "18:6", "17:6"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d: sent %v, want %v", c.number, got, want)
		}
	}
	refusal := func(number uint16) []byte { return packets(1, AppendErr(nil, number, "HY000", "no", ClientProtocol41)) }
	conn, _ := stmtExchange(refusal(errPrepareAgain), packets(1, preparedReply(6), column), refusal(errPrepareAgain))
	s := newStatement("SELECT ?")
	conn.keep(s.Wire.(*stmt), 5)
	client := &Client{nc: &script{}, out: newWriter(&script{}), track: defaultTrackers()}
	out, err := conn.Do(&wire.Request{Kind: wire.Execute, Stmt: s, Frames: executeFrame(1, 1, 7)}, client, &wire.Options{Retriable: true})
	if err != nil || out.Err == nil || out.Err.Number != errPrepareAgain {
		t.Errorf("refused twice: got %+v, %v; want the error", out, err)
	}
}

func TestLongDataAstray(t *testing.T) {
	conn, server := stmtExchange()
	client := &Client{nc: &script{}, out: newWriter(&script{}), limit: 1 << 20}
	s := newStatement("SELECT ?")
	conn.keep(s.Wire.(*stmt), 5)
	client.KeepLong(&wire.Request{Kind: wire.LongData, Stmt: s, Frames: packets(0, []byte{ComStmtSendLongData, 1, 0, 0, 0, 1, 0, 'x'})})
	for range 2 {
		_, err := conn.Do(&wire.Request{Kind: wire.Execute, Stmt: s, Frames: executeFrame(1, 1, 7)}, client, &wire.Options{})
		var refused *wire.ServerError
		if !errors.As(err, &refused) || refused.Number != 1210 || server.out.Len() > 0 {
			t.Errorf("data for a parameter that isn't there: got %v, sent %v; want 1210 and nothing sent", err, commands(server))
		}
	}
	client.DropLong(s)
	if err := s.Wire.(*stmt).mayExecute(&wire.Request{Frames: executeFrame(1, 1, 7)}, wire.FlavorMySQL, true); err != nil {
		t.Errorf("after a reset: %v", err)
	}
}

func TestReplicaTakesBack(t *testing.T) {
	refusal := AppendErr(nil, 1792, "25006", "READ ONLY", ClientProtocol41)
	started := [][]byte{{1}, column}
	tests := []struct {
		name     string
		readOnly bool
		reply    []byte
		want     []byte // what the client got
	}{
		{"of a replica", true, packets(1, append(started, refusal)...), nil},
		{"of a primary", false, packets(1, append(started, refusal)...), packets(1, append(started, refusal)...)},
		{
			"another error", true, packets(1, append(started, AppendErr(nil, 1242, "21000", "rows", ClientProtocol41))...),
			packets(1, append(started, AppendErr(nil, 1242, "21000", "rows", ClientProtocol41))...),
		},
	}
	for _, tt := range tests {
		conn, _ := stmtExchange(tt.reply)
		conn.readOnly = tt.readOnly
		peer := &script{}
		client := &Client{nc: peer, out: newWriter(peer), caps: ClientDeprecateEOF | ClientProtocol41, seq: 1, track: defaultTrackers()}
		out, err := conn.Do(&wire.Request{Kind: wire.Query, Frames: packets(0, []byte("\x03SELECT f()"))}, client, &wire.Options{})
		client.Flush()
		if err != nil || out.Err == nil || out.Replied != (tt.want != nil) || !bytes.Equal(peer.out.Bytes(), tt.want) {
			t.Errorf("%s: got %x, %+v, %v; want %x", tt.name, peer.out.Bytes(), out, err, tt.want)
		}
	}
}
