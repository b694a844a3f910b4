package mysqlwire

// Tests of what a client sends when, and of a client that leaves or doesn't read.

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"leat/proxy/wire"
)

// stutter is a connection whose peer's bytes come in pieces, with a deadline that passes between them.
type stutter struct {
	script
	pieces     [][]byte
	late       bool // a deadline has passed before the next piece
	onDeadline func()
}

func (s *stutter) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	if s.late {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces, s.late = s.pieces[1:], true
	}
	return n, nil
}

func (s *stutter) SetReadDeadline(time.Time) error {
	s.late = false
	if s.onDeadline != nil {
		s.onDeadline()
	}
	return nil
}

func testClient(nc net.Conn) *Client {
	c := &Client{base: nc, limit: 64 << 20, caps: ClientProtocol41, track: defaultTrackers()}
	c.attach(nc)
	return c
}

// compress is what a client sends that compresses it, as one frame.
func compress(t *testing.T, p []byte) []byte {
	t.Helper()
	sink := &script{}
	if _, err := newCompressed(sink, zlibCompression{}).Write(p); err != nil {
		t.Fatal(err)
	}
	return sink.out.Bytes()
}

func TestInterruptInsideRequest(t *testing.T) {
	query := packets(0, append([]byte{ComQuery}, bytes.Repeat([]byte("SELECT 1 "), 20)...))
	for _, tt := range []struct {
		name   string
		sent   []byte
		waits  int // this far into it the client is waited for, and may be interrupted
		layers func(net.Conn) net.Conn
	}{
		{"plain", query, headerSize, func(nc net.Conn) net.Conn { return nc }},
		{"compressed", compress(t, query), frameHeaderSize, func(nc net.Conn) net.Conn { return newCompressed(nc, zlibCompression{}) }},
	} {
		for cut := 1; cut < len(tt.sent); cut++ {
			nc := &stutter{pieces: [][]byte{tt.sent[:cut], tt.sent[cut:]}}
			c := testClient(tt.layers(nc))
			var r wire.Request
			err := c.ReadRequest(&r)
			if cut < tt.waits {
				if !errors.Is(err, wire.ErrInterrupted) {
					t.Fatalf("%s, cut at %d: got %v, want ErrInterrupted", tt.name, cut, err)
				}
				err = c.ReadRequest(&r)
			}
			if err != nil || !bytes.Equal(r.Frames, query) {
				t.Fatalf("%s, cut at %d: got %q, %v, want the whole request", tt.name, cut, r.Frames, err)
			}
		}
	}
}

func TestInterruptInsideLongRequest(t *testing.T) {
	query := packets(0, append([]byte{ComQuery}, make([]byte, maxFrame+5)...))
	const second = headerSize + maxFrame
	for _, cut := range []int{headerSize, streamedHead / 2, streamedHead + 1, second - 1, second, second + 2, second + headerSize, len(query) - 1} {
		c := testClient(&stutter{pieces: [][]byte{query[:cut], query[cut:], packets(0, []byte{ComPing})}})
		var r wire.Request
		if err := c.ReadRequest(&r); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		sink := &script{}
		to := newWriter(sink)
		to.Write(r.Frames)
		if err := c.copyRest(&r, &to); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if to.Flush(); !bytes.Equal(sink.out.Bytes(), query) {
			t.Errorf("cut at %d: passed on %d bytes, want the %d as they came", cut, sink.out.Len(), len(query))
		}
		err := c.ReadRequest(&r)
		if errors.Is(err, wire.ErrInterrupted) {
			err = c.ReadRequest(&r)
		}
		if err != nil || r.Kind != wire.Ping {
			t.Errorf("cut at %d: the next request is %+v, %v, want a ping", cut, r, err)
		}
	}
}

func TestRequestThatNeverArrives(t *testing.T) {
	query := packets(0, append([]byte{ComQuery}, bytes.Repeat([]byte("SELECT 1 "), 20)...))
	for _, compressing := range []bool{false, true} {
		nc := &stutter{}
		c := testClient(nc)
		sent := query
		if compressing {
			sent = compress(t, query)
			c.attach(newCompressed(nc, zlibCompression{}))
		}
		for i := range sent[:len(sent)-1] {
			nc.pieces = append(nc.pieces, sent[i:i+1])
		}
		nc.pieces = append(nc.pieces, nil)
		left := 10 // then it has taken too long
		nc.onDeadline = func() {
			if left--; left == 0 {
				c.hurried = time.Now().Add(-arrivalTime)
			}
		}
		var r wire.Request
		err := wire.ErrInterrupted
		for range 20 {
			if err = c.ReadRequest(&r); !errors.Is(err, wire.ErrInterrupted) {
				break
			}
		}
		if err == nil || errors.Is(err, wire.ErrInterrupted) {
			t.Errorf("compressed %v: got %v, want an error that ends the session", compressing, err)
		}
	}
}

func TestLongRequestRefused(t *testing.T) {
	query := packets(0, append([]byte{ComQuery}, make([]byte, 2*maxFrame+5)...))
	nc := &script{in: io.MultiReader(bytes.NewReader(query), bytes.NewReader(packets(0, []byte{ComPing})))}
	c := testClient(nc)
	var r wire.Request
	if err := c.ReadRequest(&r); err != nil || !r.Long() {
		t.Fatalf("got %+v, %v, want a long request", r.Kind, err)
	}
	for range 2 {
		if err := c.Finish(&r); err != nil {
			t.Fatal(err)
		}
	}
	c.SendError(wire.Errorf(wire.CodeUnavailable, "no"))
	c.Flush()
	if got := nc.out.Bytes(); len(got) < headerSize || got[3] != 3 {
		t.Errorf("answered with %.8x, want sequence id 3 behind three frames", got)
	}
	if err := c.ReadRequest(&r); err != nil || r.Kind != wire.Ping {
		t.Errorf("the next request is %+v, %v, want a ping", r, err)
	}
	for range 2 {
		if err := c.Finish(&r); err != nil || c.Buffered() {
			t.Errorf("a short request is finished: %v, buffered %v", err, c.Buffered())
		}
	}
}

// longPiece is a piece of a statement's first parameter.
func longPiece(s *wire.Statement, data string) *wire.Request {
	return &wire.Request{Kind: wire.LongData, Stmt: s, Frames: packets(0, append([]byte{ComStmtSendLongData, 1, 0, 0, 0, 0, 0}, data...))}
}

func TestLongDataIsBounded(t *testing.T) {
	c := testClient(&script{})
	c.limit = 10 * pieceOverhead
	a, b := newStatement("SELECT ?"), newStatement("SELECT ?, 2")
	c.Keep(a)
	c.KeepLong(longPiece(a, "0123456789"))
	for range 8 {
		c.KeepLong(longPiece(b, ""))
	}
	wireOf := func(s *wire.Statement) *stmt { return s.Wire.(*stmt) }
	if wireOf(a).longTooBig || wireOf(b).longTooBig || len(wireOf(b).long) != 8 {
		t.Errorf("refused within the limit")
	}
	c.KeepLong(longPiece(b, "x"))
	c.KeepLong(longPiece(b, "x"))
	if s := wireOf(b); !s.longTooBig || s.long != nil || wireOf(a).longTooBig {
		t.Errorf("over the limit: got %+v, want that statement's pieces dropped", s)
	}
	c.Executed(b)
	c.KeepLong(longPiece(b, "x"))
	if s := wireOf(b); s.longTooBig || len(s.long) != 1 {
		t.Errorf("after its run: got %+v, want a new beginning", s)
	}
	c.KeepLong(&wire.Request{Kind: wire.LongData, Stmt: b, Frames: packets(0, []byte{ComStmtSendLongData, 1, 0, 0, 0, 9, 0, 'x'})})
	c.Executed(b)
	if s := wireOf(b); !s.longAstray || s.long != nil {
		t.Errorf("astray after its run: got %+v, want that kept and the pieces dropped", s)
	}
	if c.DropLong(b); wireOf(b).longAstray {
		t.Error("astray after a reset")
	}
	c.DropStatements()
	c.Executed(a)
	if c.longBytes != 0 {
		t.Errorf("%d bytes are counted when nothing is kept", c.longBytes)
	}
}

func TestLongDataOutlivesAnAttempt(t *testing.T) {
	refusal := packets(1, AppendErr(nil, 1290, "HY000", "--read-only", ClientProtocol41))
	client := testClient(&script{})
	s := newStatement("INSERT ?")
	client.KeepLong(longPiece(s, "x"))
	for range 2 {
		conn, server := stmtExchange(prepareAnswer(5), refusal)
		out, err := conn.Do(&wire.Request{Kind: wire.Execute, Stmt: s, Frames: executeFrame(1, 1, 7)}, client, &wire.Options{})
		if err != nil || out.Err == nil {
			t.Fatalf("got %+v, %v", out, err)
		}
		wantCommands(t, server, "16:0", "18:5", "17:5")
	}
}

// socketPair are the two ends of a connection.
func socketPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if there, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if here, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

// await waits for a condition.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10s", what)
		}
	}
}

func TestGone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layers func(net.Conn) net.Conn
	}{
		{"plain", func(nc net.Conn) net.Conn { return nc }},
		{"TLS", func(nc net.Conn) net.Conn { return tls.Server(nc, &tls.Config{}) }},
		{"compressed", func(nc net.Conn) net.Conn { return newCompressed(nc, zlibCompression{}) }},
		{"compressed over TLS", func(nc net.Conn) net.Conn {
			return newCompressed(tls.Server(nc, &tls.Config{}), zlibCompression{})
		}},
	} {
		here, there := socketPair(t)
		c := testClient(tt.layers(here))
		if c.Gone() {
			t.Errorf("%s: gone before it went", tt.name)
		}
		there.Write([]byte("next"))
		await(t, tt.name+": bytes", func() bool { return !c.in.Quiet() })
		if c.Gone() {
			t.Errorf("%s: gone since it has sent something", tt.name)
		}
		there.Close()
		await(t, tt.name+": gone", c.Gone)
	}
}

func TestStalled(t *testing.T) {
	here, there := net.Pipe()
	c := testClient(here)
	if d := c.Stalled(time.Now()); d != 0 {
		t.Errorf("nothing is sent: got %v, want 0", d)
	}
	done := make(chan error)
	go func() {
		c.SendRows(nil, []string{"a"}, [][]string{{"1"}})
		done <- c.Flush()
	}()
	await(t, "stalled", func() bool { return c.Stalled(time.Now().Add(time.Minute)) >= time.Minute })
	go io.Copy(io.Discard, there)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if d := c.Stalled(time.Now().Add(time.Minute)); d != 0 {
		t.Errorf("all is sent: got %v, want 0", d)
	}
	here.Close()
	there.Close()
}
