package pgwire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"leat/proxy/wire"
)

// readOnlyConn is a connection on which all that there is to read has arrived.
type readOnlyConn struct {
	net.Conn
	r io.Reader
}

func (c readOnlyConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func readerOf(b []byte) reader { return newReader(readOnlyConn{r: bytes.NewReader(b)}) }

func TestFrame(t *testing.T) {
	tests := []struct {
		name    string
		in      []byte
		kind    byte
		payload string
		want    error
	}{
		{"a message", []byte("Z\x00\x00\x00\x05I"), 'Z', "I", nil},
		{"no payload", []byte("S\x00\x00\x00\x04"), 'S', "", nil},
		{"too short a length", []byte("S\x00\x00\x00\x03"), 0, "", wire.ErrMalformed},
		{"a negative length", []byte("S\xff\xff\xff\xff"), 0, "", wire.ErrMalformed},
		{"over the limit", []byte("D\x00\x00\x00\x0fx"), 'D', "", wire.ErrTooLarge},
		{"nothing", nil, 0, "", io.EOF},
		{"cut off in the header", []byte("D\x00"), 0, "", io.ErrUnexpectedEOF},
		{"cut off in the payload", []byte("D\x00\x00\x00\x06x"), 'D', "", io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		kind, p, err := readerOf(tt.in).frame(10)
		if kind != tt.kind || string(p) != tt.payload || !errors.Is(err, tt.want) {
			t.Errorf("%s: got %q %q %v, want %q %q %v", tt.name, kind, p, err, tt.kind, tt.payload, tt.want)
		}
	}
}

// serverMessages decodes messages of a server by a codec that isn't Leat's.
func serverMessages(t *testing.T, b []byte) (out []pgproto3.BackendMessage) {
	t.Helper()
	for n := 0; n < len(b); {
		length := int(b[n+1])<<24 | int(b[n+2])<<16 | int(b[n+3])<<8 | int(b[n+4])
		f := pgproto3.NewFrontend(bytes.NewReader(b[n:n+1+length]), io.Discard)
		m, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
		n += 1 + length
	}
	return out
}

func TestAppend(t *testing.T) {
	b := appendParameterStatus(nil, "TimeZone", "UTC")
	b = appendKeyData(b, 7, []byte{1, 2, 3, 4})
	b = appendReady(b, wire.TxFailed)
	b = appendCommandComplete(b, "SET")
	b = appendNegotiate(b, version32, []string{"_pq_.x", "_pq_.y"})
	got := serverMessages(t, b)
	if m := got[0].(*pgproto3.ParameterStatus); m.Name != "TimeZone" || m.Value != "UTC" {
		t.Errorf("got %+v", m)
	}
	if m := got[1].(*pgproto3.BackendKeyData); m.ProcessID != 7 || string(m.SecretKey) != "\x01\x02\x03\x04" {
		t.Errorf("got %+v", m)
	}
	if m := got[2].(*pgproto3.ReadyForQuery); m.TxStatus != 'E' {
		t.Errorf("got %+v", m)
	}
	if m := got[3].(*pgproto3.CommandComplete); string(m.CommandTag) != "SET" {
		t.Errorf("got %+v", m)
	}
	if m := got[4].(*pgproto3.NegotiateProtocolVersion); m.NewestMinorProtocol != version32 || len(m.UnrecognizedOptions) != 2 {
		t.Errorf("got %+v", m)
	}
}

const serverError = "SFEHLER\x00VERROR\x00C42P01\x00MRelation fehlt\x00P15\x00Fx.c\x00L7\x00Rparse\x00\x00"

func TestParseError(t *testing.T) {
	e := parseError([]byte(serverError))
	if e.SQLState != "42P01" || e.Message != "Relation fehlt" || string(e.Fields) != serverError {
		t.Errorf("got %+v", e)
	}
	if got := string(appendServerError(nil, e)[headerSize:]); got != serverError {
		t.Errorf("got %q, want it verbatim", got)
	}
	fatal := serverMessages(t, appendFatal(nil, e))[0].(*pgproto3.ErrorResponse)
	if fatal.Severity != "FATAL" || fatal.SeverityUnlocalized != "FATAL" || fatal.Code != "42P01" || fatal.Position != 15 || fatal.Routine != "parse" {
		t.Errorf("got %+v, want it FATAL and otherwise as it was", fatal)
	}
	for _, bad := range []string{"", "\x00", "SERROR\x00", "SERROR\x00\x00", "C42P01\x00\x00more", "C42\x00\x00"} {
		if e := parseError([]byte(bad)); e.SQLState != "08P01" {
			t.Errorf("parseError(%q): got %+v, want 08P01", bad, e)
		}
	}
}

func TestFatal(t *testing.T) {
	tests := []struct {
		err           error
		code, message string
	}{
		{wire.Errorf(wire.CodeShutdown, "bye"), "57P01", "bye"},
		{wire.Errorf(wire.Code(250), "new"), "XX000", "new"},
		{wire.Errorf(wire.CodeInternal, "a\x00b"), "XX000", "ab"},
		{refusal("3D000", "no database"), "3D000", "no database"},
		{errors.New("secret"), "XX000", "internal error"},
	}
	for _, tt := range tests {
		got := serverMessages(t, appendFatal(nil, tt.err))[0].(*pgproto3.ErrorResponse)
		if got.Severity != "FATAL" || got.Code != tt.code || got.Message != tt.message {
			t.Errorf("%v: got %+v, want %s %s", tt.err, got, tt.code, tt.message)
		}
	}
}

// Every error of Leat's has a state of its own.
func TestSQLStates(t *testing.T) {
	for code := wire.CodeInternal; code <= wire.CodeConnKilled; code++ {
		if s := sqlStates[code]; len(s) != 5 {
			t.Errorf("code %d: got SQLSTATE %q", code, s)
		}
	}
}

func FuzzParseError(f *testing.F) {
	f.Add([]byte(serverError))
	f.Add([]byte("C\x00"))
	f.Fuzz(func(t *testing.T, p []byte) {
		e := parseError(p)
		if len(e.SQLState) != 5 {
			t.Fatalf("got SQLSTATE %q", e.SQLState)
		}
		if len(e.Fields) > 0 && !bytes.Equal(e.Fields, p) {
			t.Fatalf("got fields %q of %q", e.Fields, p)
		}
		again := parseError(appendServerFatal(nil, e)[headerSize:])
		if again.SQLState != e.SQLState || again.Message != strings.ReplaceAll(e.Message, "\x00", "") {
			t.Fatalf("got %+v of %+v", again, e)
		}
	})
}

func FuzzServerMessage(f *testing.F) {
	f.Add([]byte("S\x00\x00\x00\x0aab\x00cd\x00"))
	f.Add([]byte("K\x00\x00\x00\x0c\x00\x00\x00\x01keys"))
	f.Add([]byte("Z\x00\x00\x00\x05T"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, p, err := readerOf(b).frame(1000)
		if err != nil {
			return
		}
		if name, value, err := parseParameterStatus(p); err == nil {
			if got := appendParameterStatus(nil, string(name), string(value)); !bytes.Equal(got[headerSize:], p) {
				t.Fatalf("got %q of %q", got, p)
			}
		}
		if pid, key, err := parseKeyData(p); err == nil {
			if got := appendKeyData(nil, pid, key); !bytes.Equal(got[headerSize:], p) {
				t.Fatalf("got %q of %q", got, p)
			}
		}
		if tx, err := parseReady(p); err == nil {
			if got := appendReady(nil, tx); !bytes.Equal(got[headerSize:], p) {
				t.Fatalf("got %q of %q", got, p)
			}
		}
	})
}
