package proxy

// Tests of what a session may find on a conn of the statement before: its own, and never another session's.

import (
	"slices"
	"strings"
	"testing"

	"leat/proxy/wire"
)

// inserts makes a server generate the id 7 for every INSERT.
func inserts(v *fakeServer) {
	v.do = func(c *fakeConn, sql string) (wire.Outcome, error) {
		out := c.served(sql)
		if strings.HasPrefix(sql, "INSERT") {
			c.insertID, out.InsertID, out.Affected = "7", 7, 1
		}
		return out, nil
	}
}

func TestHiddenQuestions(t *testing.T) {
	const unread = "EXECUTE IMMEDIATE 'SELECT 1'"
	for _, sql := range []string{
		"CALL p()", "SELECT f(1)", "SELECT @a := f(1)", "INSERT INTO t VALUES (f(1))", "DO f(1)", "SET @a = f(1)", unread,
		"PREPARE x FROM 'SELECT LAST_INSERT_ID()'", "EXECUTE x", "SELECT 'a", "/*!50000 SELECT f(1) */", "CALL p(); SELECT 1",
		"SHOW TABLES WHERE f(1)", "SELECT LAST_INSERT_ID()", "NEW STATEMENT",
	} {
		withSession(t, func(f *fakeSession) {
			f.shard.set(fakePrimary, inserts)
			other := f.another()
			f.ok("INSERT INTO t VALUES (1)")
			f.shard.ran(fakePrimary)
			other.ok(sql)
			if got, want := f.shard.ran(fakePrimary), []string{"(set last_insert_id 0)", sql}; !slices.Equal(got, want) {
				t.Errorf("after another session's INSERT: ran %q, want %q", got, want)
			}
		})
	}
}

func TestHarmlessStatementsAskNothing(t *testing.T) {
	for _, sql := range []string{
		"INSERT INTO t VALUES (1)", "INSERT INTO t (a) VALUES (NOW())", "SELECT a FROM t FOR UPDATE", "UPDATE t SET a = UPPER(a) WHERE b IN (1, 2)",
		"DROP TABLE u", "BEGIN", "SET @a = 1",
	} {
		withSession(t, func(f *fakeSession) {
			f.shard.set(fakePrimary, inserts)
			other := f.another()
			f.ok("INSERT INTO t VALUES (1)")
			f.shard.ran(fakePrimary)
			other.ok(sql)
			if got, want := f.shard.ran(fakePrimary), []string{sql}; !slices.Equal(got, want) {
				t.Errorf("ran %q, want %q", got, want)
			}
		})
	}
}

// The counts that a routine may find on a conn are cleared once, unless they are the session's own.
func TestCountsOfOthers(t *testing.T) {
	withSession(t, func(f *fakeSession) {
		cleared := func() int { return f.conn.Conn.(*fakeConn).cleared }
		other := f.another()
		other.ok("UPDATE t SET a = 1")
		f.ok("CALL p()", "CALL p()")
		if got := cleared(); got != 1 {
			t.Errorf("the counts were cleared %d times, want once", got)
		}
	})
	withSession(t, func(f *fakeSession) {
		f.ok("UPDATE t SET a = 1", "CALL p()")
		if f.conn.Conn.(*fakeConn).cleared != 0 {
			t.Error("a routine can't see the count of its own session's UPDATE")
		}
	})
}

// An id that a routine generated is the session's, and is not replaced by the one before.
func TestInsertIDOfARoutine(t *testing.T) {
	withSession(t, func(f *fakeSession) {
		f.shard.set(fakePrimary, inserts)
		f.ok("CALL p()")
		f.conn.Conn.(*fakeConn).insertID = "9"
		f.shard.ran(fakePrimary)
		f.ok("SELECT LAST_INSERT_ID()", "SELECT f(1)")
		if got, want := f.shard.ran(fakePrimary), []string{"SELECT LAST_INSERT_ID()", "SELECT f(1)"}; !slices.Equal(got, want) {
			t.Errorf("ran %q, want %q", got, want)
		}
	})
}
