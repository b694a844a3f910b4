package mysqlwire

// Tests of cursors: each is on a statement of its own, which goes when the cursor does.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"leat/proxy/wire"
)

// doFunc runs a command of a statement.
type doFunc func(kind wire.Kind, s *wire.Statement, cursor bool) wire.Outcome

// cursorConn is a conn whose server gives those replies, and a request on it.
func cursorConn(t *testing.T, replies ...[]byte) (server *script, conn *Conn, do doFunc) {
	conn, server = stmtExchange(replies...)
	client := &Client{nc: &script{}, out: newWriter(&script{}), track: defaultTrackers()}
	return server, conn, func(kind wire.Kind, s *wire.Statement, cursor bool) wire.Outcome {
		t.Helper()
		r := &wire.Request{Kind: kind, Stmt: s, Cursor: cursor}
		switch kind {
		case wire.Execute:
			r.Frames = executeFrame(1, 1, 7)
		case wire.Fetch:
			r.Frames = packets(0, binary.LittleEndian.AppendUint32([]byte{ComStmtFetch, 1, 0, 0, 0}, 10))
		case wire.ResetStmt:
			r.Frames = packets(0, []byte{ComStmtReset, 1, 0, 0, 0})
		}
		out, err := conn.Do(r, client, &wire.Options{Retriable: true})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

var (
	cursorOpened = packets(1, []byte{1}, column, ok(markEOF, 0, 0, StatusAutocommit|StatusCursorExists, 0, "", nil))
	cursorRow    = packets(1, []byte{0, 0, 1, 'a'}, ok(markEOF, 0, 0, StatusAutocommit|StatusCursorExists, 0, "", nil))
	cursorLast   = packets(1, []byte{0, 0, 1, 'a'}, ok(markEOF, 0, 0, StatusAutocommit|StatusCursorExists|StatusLastRowSent, 0, "", nil))
	cursorNone   = packets(1, ok(markOK, 0, 0, StatusAutocommit, 0, "", nil))
	cursorError  = packets(1, AppendErr(nil, 1105, "HY000", "no", ClientProtocol41))
)

func prepareAnswer(id uint32) []byte { return packets(1, preparedReply(id), column) }

func wantCommands(t *testing.T, server *script, want ...string) {
	t.Helper()
	if got := commands(server); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

func TestCursorsOnOneText(t *testing.T) {
	server, conn, do := cursorConn(t, cursorOpened, cursorOpened, cursorRow, cursorNone, cursorRow, cursorLast, cursorLast, cursorNone)
	a, b := newStatement("SELECT ?"), newStatement("SELECT ?")
	conn.keep(a.Wire.(*stmt), 5)
	if out := do(wire.Execute, a, true); !out.CursorOpen {
		t.Fatalf("outcome %+v, want an open cursor", out)
	}
	conn.keep(b.Wire.(*stmt), 6)
	do(wire.Execute, b, true)
	do(wire.Fetch, a, false)
	conn.keep(newStatement("SELECT ?").Wire.(*stmt), 7)
	do(wire.Execute, newStatement("SELECT ?"), false)
	do(wire.Fetch, b, false)
	do(wire.Fetch, a, false) // the last row: the statement is anybody's again, but there is one by now
	do(wire.Fetch, b, false)
	do(wire.Execute, a, false)
	wantCommands(t, server, "17:5", "17:6", "1c:5", "17:7", "1c:6", "1c:5", "19:5", "1c:6", "19:6", "17:7")
	if n := len(conn.stmts.own); n != 0 {
		t.Errorf("%d statements are kept for cursors that are gone", n)
	}
}

func TestCursorOutlivesTheBound(t *testing.T) {
	server, conn, do := cursorConn(t, cursorOpened, cursorLast)
	a := newStatement("SELECT ?")
	conn.keep(a.Wire.(*stmt), 5)
	do(wire.Execute, a, true)
	for i := range maxServerStmts + 1 {
		conn.keep(newStatement(fmt.Sprint("SELECT ", i)).Wire.(*stmt), uint32(100+i))
	}
	server.out.Reset()
	conn.out = newWriter(server)
	do(wire.Fetch, a, false)
	conn.out.Flush()
	wantCommands(t, server, "1c:5", "19:101") // it is anybody's again, and so makes another go
}

func TestCursorEnds(t *testing.T) {
	tests := []struct {
		name    string
		replies [][]byte
		run     func(conn *Conn, s *wire.Statement, do doFunc)
		want    []string
	}{
		{"none was opened", [][]byte{cursorNone, cursorNone}, func(_ *Conn, s *wire.Statement, do doFunc) {
			do(wire.Execute, s, true)
			do(wire.Execute, s, false)
		}, []string{"17:5", "17:5"}},
		{"the EXECUTE failed", [][]byte{cursorError}, func(_ *Conn, s *wire.Statement, do doFunc) {
			do(wire.Execute, s, true)
		}, []string{"17:5", "19:5"}},
		{"the FETCH failed", [][]byte{cursorOpened, cursorError}, func(_ *Conn, s *wire.Statement, do doFunc) {
			do(wire.Execute, s, true)
			do(wire.Fetch, s, false)
		}, []string{"17:5", "1c:5", "19:5"}},
		{"reset", [][]byte{cursorOpened, cursorNone, cursorNone}, func(_ *Conn, s *wire.Statement, do doFunc) {
			do(wire.Execute, s, true)
			do(wire.ResetStmt, s, false)
			do(wire.Execute, s, false)
		}, []string{"17:5", "1a:5", "17:5"}},
		{"closed", [][]byte{cursorOpened}, func(conn *Conn, s *wire.Statement, do doFunc) {
			do(wire.Execute, s, true)
			conn.CloseStatement(s)
		}, []string{"17:5", "19:5"}},
		{"run again without one", [][]byte{cursorOpened, cursorNone}, func(_ *Conn, s *wire.Statement, do doFunc) {
			do(wire.Execute, s, true)
			do(wire.Execute, s, false)
		}, []string{"17:5", "17:5"}},
		{"to be prepared again", [][]byte{
			packets(1, AppendErr(nil, errPrepareAgain, "HY000", "no", ClientProtocol41)), prepareAnswer(6), cursorOpened,
		}, func(_ *Conn, s *wire.Statement, do doFunc) {
			do(wire.Execute, s, true)
		}, []string{"17:5", "19:5", "16:0", "17:6"}},
		{"the conn was reset", [][]byte{cursorOpened, bytes.Repeat(cursorNone, 2), identityAnswer, prepareAnswer(6), cursorNone}, func(conn *Conn, s *wire.Statement, do doFunc) {
			do(wire.Execute, s, true)
			conn.identity = []string{"app@%", ""}
			if err := conn.Reset(time.Time{}); err != nil {
				t.Fatal(err)
			}
			do(wire.Execute, s, false)
		}, []string{"17:5", "1f:0", "03:0", "03:0", "16:0", "17:6"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, conn, do := cursorConn(t, tt.replies...)
			s := newStatement("SELECT ?")
			conn.keep(s.Wire.(*stmt), 5)
			tt.run(conn, s, do)
			conn.out.Flush()
			wantCommands(t, server, tt.want...)
		})
	}
}
