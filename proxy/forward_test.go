package proxy

// Tests of what is sent again when a server refuses it or goes away, and of what the client is told.

import (
	"errors"
	"io"
	"slices"
	"testing"

	"leat/proxy/wire"
)

var (
	errGoesAway = &wire.ServerError{Number: 1053, SQLState: "08S01", Message: "Server shutdown in progress"}
	errReadOnly = &wire.ServerError{Number: 1290, SQLState: "HY000", Message: "running with the --read-only option"}
)

// refuseOnce is a script whose first statement of a text ends in an error.
func refuseOnce(text string, e *wire.ServerError, gone error) func(*fakeConn, string) (wire.Outcome, error) {
	refused := false
	return func(c *fakeConn, sql string) (wire.Outcome, error) {
		if sql != text || refused {
			return c.served(sql), nil
		}
		refused, c.gone = true, gone
		return wire.Outcome{Err: e}, nil
	}
}

// TestReadMovesOn: a client whose read was served elsewhere has lost nothing.
func TestReadMovesOn(t *testing.T) {
	withSession(t, func(f *fakeSession) {
		f.shard.set(fakeReplica, func(v *fakeServer) { v.do = refuseOnce("SELECT 1 FROM t", errGoesAway, io.EOF) })
		f.ok("SELECT 1 FROM t", "SELECT 1 FROM t")
		if got := f.shard.ran(fakePrimary); !slices.Contains(got, "SELECT 1 FROM t") {
			t.Errorf("the primary ran %q, want the read", got)
		}
	})
}

// TestGoneWithNothing: a client whose statement was refused by a server that went away keeps its connection, unless
// something of it was on the conn.
func TestGoneWithNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []string
		sql    string
		ended  bool
	}{
		{"a write", nil, "UPDATE t SET a = 1", false},
		{"a write beside user variables", []string{"SET @a = 1"}, "UPDATE t SET a = 1", true},
		{"in a transaction", []string{"BEGIN"}, "UPDATE t SET a = 1", true},
		{"what may have changed the session", nil, "CALL p()", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			withSession(t, func(f *fakeSession) {
				f.shard.set(fakePrimary, func(v *fakeServer) { v.do = refuseOnce(c.sql, errGoesAway, io.EOF) })
				f.ok(c.before...)
				answer, ended := f.query(c.sql)
				if !errors.Is(answer, errGoesAway) || ended != c.ended {
					t.Errorf("got %v, ended %v; want the server's error, ended %v", answer, ended, c.ended)
				}
			})
		})
	}
}

// TestRefusedHalfWay: a write is sent to the next primary if the last one refused it, but not what may have been half
// done by then.
func TestRefusedHalfWay(t *testing.T) {
	for _, c := range []struct {
		sql  string
		want int // times that it ran
	}{
		{"UPDATE t SET a = 1", 2},
		{"CALL p()", 1},
		{"UPDATE t SET a = f()", 1},
		{"SELECT @a := 1", 1},
	} {
		t.Run(c.sql, func(t *testing.T) {
			withSession(t, func(f *fakeSession) {
				f.shard.set(fakePrimary, func(v *fakeServer) { v.do = refuseOnce(c.sql, errReadOnly, nil) })
				answer, _ := f.query(c.sql)
				n := 0
				for _, sql := range f.shard.ran(fakePrimary) {
					if sql == c.sql {
						n++
					}
				}
				if n != c.want || (answer == nil) != (c.want == 2) {
					t.Errorf("it ran %d times and the client got %v, want %d times", n, answer, c.want)
				}
			})
		})
	}
}
