package pgwire

// A client and a server in memory, for the tests of requests and replies.

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"leat/proxy/wire"
)

// script is a net.Conn that reads what a test gives it and keeps what is written.
type script struct {
	net.Conn
	in  bytes.Buffer
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) {
	if s.in.Len() == 0 {
		return 0, io.EOF
	}
	return s.in.Read(p)
}
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) Close() error                     { return nil }

// pair is a client and a conn, and what is at their other ends.
type pair struct {
	client  *Client
	conn    *Conn
	user    *script
	server  *script
	options wire.Options
}

func newPair() *pair {
	p := &pair{user: &script{}, server: &script{}}
	p.client = &Client{nc: p.user, in: newReader(p.user), out: newWriter(p.user), limit: 64 << 20}
	p.conn = p.newConn(p.server)
	return p
}

func (p *pair) newConn(s *script) *Conn {
	return &Conn{nc: s, in: newReader(s), out: newWriter(s), state: wire.NewState("d"), user: "u", greeting: wire.Greeting{
		Params: []wire.Var{{Name: "client_encoding", Value: "UTF8"}, {Name: "DateStyle", Value: "ISO, MDY"}},
	}}
}

// serve reads one request, which the server answers with reply, as a session does.
func (p *pair) serve(reply string) (wire.Request, wire.Outcome, error) {
	p.server.in.WriteString(reply)
	var r wire.Request
	if err := p.client.ReadRequest(&r); err != nil {
		return r, wire.Outcome{}, err
	}
	seen := r
	seen.Stmts = append([]*wire.Statement(nil), r.Stmts...)
	out, err := p.conn.Do(&r, p.client, &p.options)
	if err == nil && out.Err != nil && !out.Replied {
		p.client.Finish(&r)
		p.client.SendServerError(out.Err)
	}
	p.client.Finish(&r)
	p.client.Flush()
	return seen, out, err
}

// take returns what was written to an end since the last time.
func (s *script) take() string {
	got := s.out.String()
	s.out.Reset()
	return got
}

// messages shows the messages in b, one a word: the type, and what of the payload can be read.
func messages(b string) string {
	var words []string
	for len(b) >= headerSize {
		n := 1 + int(binary.BigEndian.Uint32([]byte(b[1:])))
		if n < headerSize || n > len(b) {
			words = append(words, "torn")
			break
		}
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return -1
			}
			if r == ' ' {
				return '_'
			}
			return r
		}, b[headerSize:n])
		words = append(words, strings.TrimSuffix(b[:1]+":"+text, ":"))
		b = b[n:]
	}
	return strings.Join(words, " ")
}

// The messages of clients.
func parse(name, sql string) string { return typed(reqParse, name+"\x00"+sql+"\x00\x00\x00") }

func bind(stmt string) string     { return typed(reqBind, "\x00"+stmt+"\x00\x00\x00\x00\x00\x00\x00") }
func describe(stmt string) string { return typed(reqDescribe, "S"+stmt+"\x00") }
func closing(stmt string) string  { return typed(reqClose, "S"+stmt+"\x00") }
func query(sql string) string     { return typed(reqQuery, sql+"\x00") }

var (
	execute = typed(reqExecute, "\x00\x00\x00\x00\x00")
	sync_   = typed(reqSync, "")
	flush   = typed(reqFlush, "")
)

// The messages of servers.
func row(v string) string {
	return typed(repDataRow, "\x00\x01"+string(binary.BigEndian.AppendUint32(nil, uint32(len(v))))+v)
}
func tag(s string) string         { return typed(repCommandComplete, s+"\x00") }
func ready(status byte) string    { return typed(repReadyForQuery, string(status)) }
func failure(state string) string { return string(appendError(nil, severityError, state, "no")) }
func setting(name, value string) string {
	return string(appendParameterStatus(nil, name, value))
}

var (
	parsed    = typed(repParseComplete, "")
	bound     = typed(repBindComplete, "")
	closed    = typed(repCloseComplete, "")
	described = typed(repParameterDescription, "\x00\x00") + typed(repNoData, "")
)

// prepared are the answers to a Parse by a name, and to the Describe that Leat sends behind it.
var prepared = parsed + described

// columns is the answer to a Describe of a statement with columns of those names and a type.
func columns(oid uint32, names ...string) string {
	p := binary.BigEndian.AppendUint16(nil, uint16(len(names)))
	for _, name := range names {
		p = append(appendNul(p, name), "table."...)
		p = append(binary.BigEndian.AppendUint32(p, oid), "\x00\x04\xff\xff\xff\xff\x00\x00"...)
	}
	return typed(repParameterDescription, "\x00\x00") + typed(repRowDescription, string(p))
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}
