package mysqlwire

// Tests of a conn's state: what Leat's own statements leave it in, and what is known of a failure to send.

import (
	"bytes"
	"errors"
	"testing"

	"leat/proxy/wire"
	"leat/proxy/wire/stream"
)

// setNames is a server's word of SET NAMES latin1: it leaves the collation out.
func setNames() []byte {
	var vars []byte
	for _, name := range []string{"character_set_client", "character_set_connection", "character_set_results"} {
		vars = appendLenencString(appendLenencString(vars, name), "latin1")
	}
	track := append([]byte{TrackSystemVariables}, appendLenencString(nil, vars)...)
	return packets(1, ok(markOK, 0, 0, StatusAutocommit, 0, "", track))
}

func TestAdoptHalf(t *testing.T) {
	conn, server := stmtExchange(setNames(), packets(1, AppendErr(nil, 1049, "42000", "Unknown database", ClientProtocol41)))
	conn.state = conn.state.WithDatabase("d")
	want := conn.state.WithDatabase("gone").With("character_set_client", "latin1").
		With("character_set_results", "latin1").With("collation_connection", "latin1_bin")
	err := conn.Adopt(want)
	var refused *wire.ServerError
	if !errors.As(err, &refused) || refused.Number != 1049 {
		t.Fatalf("got %v, want 1049", err)
	}
	if got := conn.State(); !got.Equal(want.WithDatabase("d")) {
		t.Errorf("state is %q, want %q", got.Key(), want.WithDatabase("d").Key())
	}
	if err := conn.Learn(nil); err != nil || !bytes.HasSuffix(server.out.Bytes(), []byte("gone")) {
		t.Errorf("a collation that was set is asked for: %v, sent %q", err, server.out.Bytes())
	}
}

func TestCollationIsLearnedAfterwards(t *testing.T) {
	answer := packets(1, []byte{1}, column, appendLenencString(nil, "latin1_bin"), ok(markEOF, 0, 0, StatusAutocommit, 0, "", nil))
	conn, server := stmtExchange(setNames(), answer)
	client := &Client{nc: &script{}, out: newWriter(&script{}), track: defaultTrackers()}
	query := packets(0, []byte("\x03SET NAMES latin1 COLLATE latin1_bin"))
	if _, err := conn.Do(&wire.Request{Kind: wire.Query, Frames: query}, client, &wire.Options{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(server.out.Bytes(), query) {
		t.Errorf("sent %q with the request, want it alone", server.out.Bytes())
	}
	for range 2 {
		if err := conn.Learn(nil); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := conn.State().Get("collation_connection"); got != "latin1_bin" {
		t.Errorf("collation is %q, want latin1_bin", got)
	}
	wantCommands(t, server, "03:0", "03:0")
	if n := testing.AllocsPerRun(10, func() { conn.Learn(nil) }); n != 0 {
		t.Errorf("nothing to learn: %v allocations, want 0", n)
	}
}

func TestCollationThatIsNotLearned(t *testing.T) {
	conn, _ := stmtExchange(setNames())
	client := &Client{nc: &script{}, out: newWriter(&script{}), track: defaultTrackers()}
	out, err := conn.Do(&wire.Request{Kind: wire.Query, Frames: packets(0, []byte("\x03SET NAMES latin1"))}, client, &wire.Options{})
	if err != nil || !out.Replied {
		t.Errorf("the reply has come: got %+v, %v", out, err)
	}
	for range 2 {
		if err := conn.Learn(nil); err == nil {
			t.Error("a collation that the server doesn't tell is taken for known")
		}
	}
}

// choking is a server that takes a number of bytes and no more.
type choking struct {
	script
	room int
}

var errChoked = errors.New("choked")

func (c *choking) Write(p []byte) (int, error) {
	n := min(len(p), c.room)
	c.room -= n
	if n < len(p) {
		return n, errChoked
	}
	return n, nil
}

func TestSentTellsTheTruth(t *testing.T) {
	for _, tt := range []struct {
		name         string
		length, room int
		want         bool
	}{
		{"nothing of a short one", 100, 0, false},
		{"half of a short one", 100, 50, true},
		{"nothing of a long one", 3 * stream.BufferSize, 0, false},
		{"half of a long one", 3 * stream.BufferSize, 50, true},
	} {
		server := &choking{room: tt.room, script: script{in: bytes.NewReader(nil)}}
		conn := &Conn{nc: server, in: newReader(server), out: newWriter(server), limit: maxHeld, state: baseState(), base: baseState()}
		client := &Client{nc: &script{}, out: newWriter(&script{}), track: defaultTrackers()}
		frames := packets(0, append([]byte{ComQuery}, bytes.Repeat([]byte("x"), tt.length)...))
		_, err := conn.Do(&wire.Request{Kind: wire.Query, Frames: frames}, client, &wire.Options{})
		var lost *wire.SendError
		if !errors.As(err, &lost) || lost.Sent != tt.want {
			t.Errorf("%s: got %#v, want sent to be %v", tt.name, err, tt.want)
		}
	}
}

func TestRowTornBetweenFrames(t *testing.T) {
	row := appendLenencString(nil, bytes.Repeat([]byte("y"), maxFrame+100))
	reply := packets(1, []byte{1}, column, row)
	head := len(packets(1, []byte{1}, column)) + headerSize + maxFrame
	for _, tt := range []struct {
		name string
		n    int
		want bool
	}{
		{"inside a frame", head - 1, true},
		{"between frames", head, true},
		{"inside the second header", head + 2, true},
		{"before the row", head - headerSize - maxFrame, false},
	} {
		server := &script{in: bytes.NewReader(reply[:tt.n])}
		conn := &Conn{nc: server, in: newReader(server), out: newWriter(server), limit: maxHeld, state: baseState(), base: baseState()}
		client := &Client{nc: &script{}, out: newWriter(nowhere{}), caps: ClientDeprecateEOF, track: defaultTrackers()}
		_, err := conn.Do(&wire.Request{Kind: wire.Query, Frames: packets(0, []byte("\x03SELECT 1"))}, client, &wire.Options{})
		if err == nil || client.Torn() != tt.want {
			t.Errorf("%s: torn is %v (%v), want %v", tt.name, client.Torn(), err, tt.want)
		}
	}
}

func TestNobodyReadsTheRows(t *testing.T) {
	row := appendLenencString(nil, bytes.Repeat([]byte("y"), 1000))
	rows := bytes.NewReader(packets(1, append([][]byte{{1}, column}, bytes.Split(bytes.Repeat(append(row, 0xff), 5000), []byte{0xff})[:5000]...)...))
	server := &script{in: rows}
	conn := &Conn{nc: server, in: newReader(server), out: newWriter(server), limit: maxHeld, state: baseState(), base: baseState()}
	client := &Client{nc: &script{}, out: newWriter(&choking{}), caps: ClientDeprecateEOF, track: defaultTrackers()}
	_, err := conn.Do(&wire.Request{Kind: wire.Query, Frames: packets(0, []byte("\x03SELECT 1"))}, client, &wire.Options{})
	if !errors.Is(err, wire.ErrClientGone) || rows.Len() < 4_000_000 {
		t.Errorf("got %v after all but %d bytes of the rows were read, want the client to be gone at once", err, rows.Len())
	}
}
