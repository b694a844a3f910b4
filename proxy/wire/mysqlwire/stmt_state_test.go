package mysqlwire

// Tests of what a statement means, of the state that a conn is left in when it is prepared, and of the memory that
// statements take.

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"leat/proxy/wire"
)

func TestMeaningOfStatements(t *testing.T) {
	identity := func(state *wire.State) stmtKey {
		s := &stmt{}
		s.identify("SELECT 1/3", state)
		return s.key
	}
	plain := baseState()
	for name, shared := range map[string]bool{
		"sql_mode": false, "div_precision_increment": false, "group_concat_max_len": false, "default_collation_for_utf8mb4": false,
		"old_mode": false, "a_variable_of_tomorrow": false,
		"autocommit": true, "wait_timeout": true, "transaction_isolation": true,
	} {
		if got := identity(plain.With(name, "1")) == identity(plain); got != shared {
			t.Errorf("sessions that differ in %s share a statement: %v, want %v", name, got, shared)
		}
	}
	s := &stmt{}
	s.identify("SELECT 1/3", plain.WithDatabase("d").With("div_precision_increment", "9").With("wait_timeout", "5"))
	got := s.under(plain.WithDatabase("other").With("sql_mode", "ANSI").With("wait_timeout", "7"))
	want := plain.WithDatabase("d").With("div_precision_increment", "9").With("wait_timeout", "7")
	if !got.Equal(want) {
		t.Errorf("it is prepared in %q, want %q", got.Key(), want.Key())
	}
}

// A conn on which a statement could not be prepared is in its session's state again, or given up.
func TestPrepareLeavesTheState(t *testing.T) {
	done := packets(1, ok(markOK, 0, 0, StatusAutocommit, 0, "", nil))
	refusal := packets(1, AppendErr(nil, 1049, "42000", "Unknown database", ClientProtocol41))
	ansi := wire.NewState("gone").With("sql_mode", "ANSI")
	for _, tt := range []struct {
		name    string
		replies [][]byte
		kept    bool
	}{
		{"its database is gone", [][]byte{done, refusal, done}, true},
		{"its sql_mode is refused", [][]byte{refusal}, true},
		{"and the session's can't be had back", [][]byte{done, refusal, refusal}, false},
	} {
		conn, _ := stmtExchange(tt.replies...)
		conn.state = conn.state.WithDatabase("d")
		before := conn.state
		s := newStatement("SELECT ?")
		s.Wire.(*stmt).identify("SELECT ?", ansi)
		client := &Client{nc: &script{}, out: newWriter(&script{}), track: defaultTrackers()}
		_, err := conn.Do(&wire.Request{Kind: wire.Execute, Stmt: s, Frames: executeFrame(1, 1, 7)}, client, &wire.Options{})
		var refused *wire.ServerError
		if got := errors.As(err, &refused); err == nil || got != tt.kept {
			t.Errorf("%s: got %v, want the conn to be kept: %v", tt.name, err, tt.kept)
		}
		if tt.kept && !conn.state.Equal(before) {
			t.Errorf("%s: the conn is left in %q, want %q", tt.name, conn.state.Key(), before.Key())
		}
	}
}

func TestBytesOfServerStatements(t *testing.T) {
	conn, _ := stmtExchange()
	long := strings.Repeat("x", 1<<20)
	for i := range 10 {
		s := &stmt{}
		s.identify(long+strconv.Itoa(i), conn.state)
		conn.keep(s, uint32(i+1))
		conn.keep(s, uint32(i+101)) // in its place
	}
	if n := conn.stmts.lru.Len(); n != 3 || conn.stmts.bytes > maxServerStmtBytes {
		t.Errorf("%d statements of 1 MiB are kept, %d bytes; want 3", n, conn.stmts.bytes)
	}
	conn.takeOut(conn.stmts.lru.Keys()[0])
	if conn.stmts.lru.Purge(); conn.stmts.bytes != 0 {
		t.Errorf("%d bytes are counted of no statements", conn.stmts.bytes)
	}
}

func TestBytesOfClientStatements(t *testing.T) {
	c := &Client{}
	a, b := newStatement("SELECT ?"), newStatement("SELECT ?")
	b.ID = 2
	c.Identify(a, "12345678", baseState())
	c.Identify(b, "123", baseState())
	c.Keep(a)
	c.Keep(b)
	c.Drop(a)
	c.Drop(a)
	if n, size := c.Statements(); n != 1 || size != 3 {
		t.Errorf("got %d statements of %d bytes, want 1 of 3", n, size)
	}
	c.DropStatements()
	if n, size := c.Statements(); n != 0 || size != 0 {
		t.Errorf("got %d statements of %d bytes, want none", n, size)
	}
}

func TestPositionsOfOneReply(t *testing.T) {
	const a, b = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
	gtid := func(text string) []byte {
		data := appendLenencString([]byte{0}, text)
		return append([]byte{TrackGTIDs}, appendLenencString(nil, data)...)
	}
	variable := func(text string) []byte {
		data := appendLenencString(appendLenencString(nil, "last_gtid"), text)
		return append([]byte{TrackSystemVariables}, appendLenencString(nil, data)...)
	}
	for _, tt := range []struct {
		flavor  wire.Flavor
		reports [][]byte
		want    string
	}{
		{wire.FlavorMySQL, [][]byte{gtid(a + ":5")}, a + ":5"},
		{wire.FlavorMySQL, [][]byte{gtid(a + ":5"), gtid(a + ":6"), gtid(a + ":9"), gtid(b + ":1")}, a + ":5-6:9," + b + ":1"},
		{wire.FlavorMariaDB, [][]byte{variable("0-1-7"), variable("0-1-8"), variable("4-1-2"), variable("")}, "0-1-8,4-1-2"},
	} {
		conn, _ := stmtExchange()
		conn.flavor = tt.flavor
		var out wire.Outcome
		for _, track := range tt.reports {
			if err := conn.observe(track, &out); err != nil {
				t.Fatal(err)
			}
		}
		if out.Position != tt.want {
			t.Errorf("%v: got %q, want %q", tt.flavor, out.Position, tt.want)
		}
	}
}

// identityOf answers the question after user and role.
func identityOf(role []byte) []byte {
	row := append(appendLenencString(nil, "app@%"), role...)
	return packets(1, []byte{2}, column, column, row, ok(markEOF, 0, 0, StatusAutocommit, 0, "", nil))
}

var identityAnswer = identityOf([]byte{lenencNull})

// A role that a session took is not taken back by a reset: the conn must not be lent on.
func TestResetKeepsNoRole(t *testing.T) {
	done := packets(1, ok(markOK, 0, 0, StatusAutocommit, 0, "", nil))
	for _, tt := range []struct {
		role []byte
		kept bool
	}{{[]byte{lenencNull}, true}, {appendLenencString(nil, "accounting"), false}} {
		conn, server := stmtExchange(done, done, identityOf(tt.role))
		conn.identity = []string{"app@%", ""}
		if err := conn.Reset(time.Now().Add(time.Minute)); (err == nil) != tt.kept {
			t.Errorf("role %q: got %v, want the conn to be kept: %v", tt.role, err, tt.kept)
		}
		if !bytes.Contains(server.out.Bytes(), []byte("CURRENT_ROLE()")) {
			t.Error("the role isn't asked for")
		}
	}
}
