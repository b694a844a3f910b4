package mysqlwire

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"leat/proxy/wire"
	"leat/proxy/wire/stream"
)

// script is a net.Conn that reads what a test gives it and keeps what is written.
type script struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) Close() error                     { return nil }

// packets frames payloads as one reply, numbered from seq.
func packets(seq byte, payloads ...[]byte) []byte {
	sink := &script{}
	w := newWriter(sink)
	for _, p := range payloads {
		seq = w.packet(p, seq)
	}
	w.Flush()
	return sink.out.Bytes()
}

// exchange relays one reply of a server to a client with those capabilities, and returns what the client
// got and what Do made of it.
func exchange(t *testing.T, caps Capability, s shape, o *wire.Options, reply []byte) ([]byte, wire.Outcome, error) {
	t.Helper()
	server := &script{in: bytes.NewReader(reply)}
	conn := &Conn{
		nc: server, in: newReader(server), out: newWriter(server), limit: maxHeld, flavor: wire.FlavorMySQL,
		state: baseState(), base: baseState(),
	}
	peer := &script{}
	client := &Client{nc: peer, out: newWriter(peer), caps: caps | ClientProtocol41, seq: 1, track: defaultTrackers()}
	var out wire.Outcome
	r := &relay{conn: conn, req: &wire.Request{}, to: client, out: &out, opts: o}
	err := r.run(s, &stmt{id: 7})
	client.out.Flush()
	return peer.out.Bytes(), out, err
}

func ok(mark byte, affected, insertID uint64, status, warnings uint16, info string, track []byte) []byte {
	p := okPacket{mark: mark, affected: affected, insertID: insertID, status: status, warnings: warnings, info: []byte(info), track: track}
	if len(track) > 0 {
		p.status |= StatusSessionChanged
	}
	return p.append(nil, ClientSessionTrack|ClientDeprecateEOF)
}

var column = appendTextColumn(nil, "a")

func TestRelayResultSet(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 3*stream.BufferSize)
	row := appendLenencString(nil, "1")
	longRow := appendLenencString(nil, long)
	reply := packets(1, []byte{1}, column, row, longRow, []byte{lenencNull}, ok(markEOF, 0, 0, StatusAutocommit, 3, "", nil))

	got, out, err := exchange(t, ClientDeprecateEOF, shapeQuery, &wire.Options{}, reply)
	if err != nil || !bytes.Equal(got, reply) {
		t.Errorf("with DEPRECATE_EOF: got %d bytes, err %v; want the %d bytes as they came", len(got), err, len(reply))
	}
	if out.Rows != 3 || out.Warnings != 3 || !out.HasRows || !out.Replied || out.Tx != wire.TxIdle {
		t.Errorf("outcome %+v", out)
	}

	got, _, err = exchange(t, 0, shapeQuery, &wire.Options{}, reply)
	want := packets(1, []byte{1}, column, appendEOF(nil, 0, 0), row, longRow, []byte{lenencNull}, appendEOF(nil, 3, StatusAutocommit))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("without DEPRECATE_EOF: err %v\n got %.200x\nwant %.200x", err, got, want)
	}
}

func TestRelayError(t *testing.T) {
	e := AppendErr(nil, 1146, "42S02", "no such table", ClientProtocol41)
	got, out, err := exchange(t, 0, shapeQuery, &wire.Options{}, packets(1, e))
	if err != nil || len(got) != 0 || out.Replied || out.Err == nil || out.Err.Number != 1146 {
		t.Errorf("an error alone is held back: got %x, %+v, %v", got, out, err)
	}
	reply := packets(1, []byte{1}, column, appendLenencString(nil, "1"), e)
	got, out, err = exchange(t, ClientDeprecateEOF, shapeQuery, &wire.Options{}, reply)
	if err != nil || !bytes.Equal(got, reply) || !out.Replied || out.Err == nil {
		t.Errorf("an error after rows is passed on: got %x, %+v, %v", got, out, err)
	}
}

func TestRelayCutOff(t *testing.T) {
	reply := packets(1, []byte{1}, column, appendLenencString(nil, "hello"), ok(markEOF, 0, 0, 0, 0, "", nil))
	for n := range len(reply) {
		if _, _, err := exchange(t, 0, shapeQuery, &wire.Options{}, reply[:n]); err == nil {
			t.Errorf("a reply cut off after %d bytes is taken for whole", n)
		}
	}
}

func TestRelaySessionTrack(t *testing.T) {
	var vars []byte
	for _, kv := range [][2]string{{"autocommit", "OFF"}, {"sql_mode", "ANSI"}, {"statement_id", "7"}} {
		vars = appendLenencString(appendLenencString(vars, kv[0]), kv[1])
	}
	track := append([]byte{TrackSystemVariables}, appendLenencString(nil, vars)...)
	track = append(append(track, TrackSchema), appendLenencString(nil, appendLenencString(nil, "d"))...)
	track = append(append(track, TrackGTIDs), appendLenencString(nil, append([]byte{0}, appendLenencString(nil, "u:1-9")...))...)
	track = append(append(track, TrackStateChange), appendLenencString(nil, "1")...)
	reply := packets(1, ok(markOK, 1, 2, StatusInTrans, 0, "info", track))

	got, out, err := exchange(t, 0, shapeQuery, &wire.Options{}, reply)
	if want := packets(1, ok(markOK, 1, 2, StatusInTrans, 0, "info", nil)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a client without SESSION_TRACK: err %v\n got %x\nwant %x", err, got, want)
	}
	if out.Position != "u:1-9" || out.Affected != 1 || out.InsertID != 2 || out.StateChanged {
		t.Errorf("outcome %+v", out)
	}

	got, _, _ = exchange(t, ClientSessionTrack, shapeQuery, &wire.Options{}, reply)
	wantVars := appendLenencString(appendLenencString(nil, "autocommit"), "OFF")
	wantTrack := append([]byte{TrackSystemVariables}, appendLenencString(nil, wantVars)...)
	wantTrack = append(append(wantTrack, TrackSchema), appendLenencString(nil, appendLenencString(nil, "d"))...)
	if want := packets(1, ok(markOK, 1, 2, StatusInTrans, 0, "info", wantTrack)); !bytes.Equal(got, want) {
		t.Errorf("a client with SESSION_TRACK gets the default trackers:\n got %x\nwant %x", got, want)
	}
}

func TestRelayOverride(t *testing.T) {
	reply := packets(1, []byte{1}, column, appendLenencString(nil, "41"), ok(markEOF, 0, 0, 0, 0, "", nil))
	got, _, err := exchange(t, ClientDeprecateEOF, shapeQuery, &wire.Options{Override: &wire.Override{Columns: [][]byte{[]byte("1234")}}}, reply)
	want := packets(1, []byte{1}, column, appendLenencString(nil, "1234"), ok(markEOF, 0, 0, 0, 0, "", nil))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("err %v\n got %x\nwant %x", err, got, want)
	}
	got, _, err = exchange(t, ClientDeprecateEOF, shapeQuery, &wire.Options{Override: &wire.Override{NoRows: true}}, reply)
	want = packets(1, []byte{1}, column, appendLenencString(nil, "0"), ok(markEOF, 0, 0, 0, 0, "", nil))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("no warnings, a count: err %v\n got %x\nwant %x", err, got, want)
	}
	reply = packets(1, []byte{2}, column, column, appendLenencString(appendLenencString(nil, "41"), "1"), ok(markEOF, 0, 0, 0, 0, "", nil))
	got, _, err = exchange(t, ClientDeprecateEOF, shapeQuery, &wire.Options{Override: &wire.Override{NoRows: true}}, reply)
	want = packets(1, []byte{2}, column, column, ok(markEOF, 0, 0, 0, 0, "", nil))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("no rows: err %v\n got %x\nwant %x", err, got, want)
	}
}

func TestRelayPrepare(t *testing.T) {
	a := []byte{0, 99, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0}
	reply := packets(1, a, column, column, column)
	mine := append([]byte(nil), a...)
	mine[1] = 7
	got, _, err := exchange(t, 0, shapePrepare, &wire.Options{}, reply)
	want := packets(1, mine, column, column, appendEOF(nil, 0, 0), column, appendEOF(nil, 0, 0))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("err %v\n got %x\nwant %x", err, got, want)
	}
}

func TestRelayLongRow(t *testing.T) { // a row of 16 MB or more starts with 0xfe and must not end the result
	row := appendLenencString(nil, strings.Repeat("y", 1<<24))
	reply := packets(1, []byte{1}, column, row, ok(markEOF, 0, 0, 0, 0, "", nil))
	got, out, err := exchange(t, ClientDeprecateEOF, shapeQuery, &wire.Options{}, reply)
	if err != nil || out.Rows != 1 || !bytes.Equal(got, reply) {
		t.Errorf("got %d bytes of %d, %d rows, err %v", len(got), len(reply), out.Rows, err)
	}
}

func TestRestoreSQL(t *testing.T) {
	base := baseState()
	for _, c := range []struct {
		name     string
		from, to *wire.State
		readOnly bool
		want     string
	}{
		{"same", base, base, false, ""},
		{"set", base, base.With("sql_mode", "ANSI_QUOTES"), false, "SET SESSION sql_mode='ANSI_QUOTES'"},
		{"number", base, base.With("max_execution_time", "1000"), false, "SET SESSION max_execution_time=1000"},
		{"back", base.With("sql_mode", ""), base, false, "SET SESSION sql_mode=DEFAULT"},
		{"null", base, base.With("character_set_results", ""), false, "SET SESSION character_set_results=NULL"},
		{"escaped", base, base.With("x", `a'\`), false, "SET SESSION x=CONVERT(0x61275c USING utf8mb4)"},
		{"read only conn", base, base.With("transaction_read_only", "ON"), true, ""},
		{"two", base.With("a", "1"), base.With("b", "x"), false, "SET SESSION a=DEFAULT, SESSION b='x'"},
	} {
		if got := restoreSQL(c.from, c.to, c.readOnly); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzRelay(f *testing.F) {
	f.Add(byte(0), packets(1, []byte{1}, column, appendLenencString(nil, "1"), ok(markEOF, 0, 0, 0, 0, "", nil)))
	f.Add(byte(1), packets(1, []byte{0, 99, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0}, column, column, column))
	f.Add(byte(2), packets(1, appendLenencString(nil, "1"), ok(markEOF, 0, 0, 0, 0, "", nil)))
	f.Add(byte(4), packets(1, AppendErr(nil, 1, "HY000", "x", ClientProtocol41)))
	f.Fuzz(func(t *testing.T, s byte, reply []byte) {
		for _, caps := range []Capability{0, ClientDeprecateEOF | ClientSessionTrack} {
			o := &wire.Options{}
			if s&8 != 0 {
				o.Override = &wire.Override{Columns: [][]byte{[]byte("5")}}
				o.Binary = s&16 != 0
			}
			got, _, _ := exchange(t, caps, shape(s%4), o, reply)
			if len(got) > 2*len(reply)+4096 {
				t.Errorf("%d bytes became %d", len(reply), len(got))
			}
		}
	})
}

func FuzzClientRequest(f *testing.F) {
	f.Add(packets(0, []byte("\x03select 1")))
	f.Add(packets(0, []byte{ComStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 5, 0, 0, 0}))
	f.Add(packets(0, []byte{ComStmtSendLongData, 1, 0, 0, 0, 0, 0, 'x'}))
	f.Fuzz(func(t *testing.T, in []byte) {
		peer := &script{in: bytes.NewReader(in)}
		c := &Client{nc: peer, in: newReader(peer), out: newWriter(peer), limit: 1 << 20}
		s := &wire.Statement{ID: 1, Wire: &stmt{id: 1, params: 1}}
		c.Keep(s)
		server := &script{in: bytes.NewReader(nil)}
		conn := &Conn{nc: server, in: newReader(server), out: newWriter(server), limit: maxHeld, state: baseState(), base: baseState()}
		conn.keep(s.Wire.(*stmt), 5)
		var r wire.Request
		for range 100 {
			if c.ReadRequest(&r) != nil {
				return
			}
			switch {
			case r.Kind == wire.LongData:
				c.KeepLong(&r)
			case r.Kind == wire.Execute && r.Stmt != nil:
				st := r.Stmt.Wire.(*stmt)
				if bound := st.bind(&r); st.mayExecute(&r, conn.flavor, bound) == nil {
					conn.writeExecute(&r, st, 5, bound)
				}
			}
			if c.Finish(&r) != nil {
				return
			}
		}
	})
}
