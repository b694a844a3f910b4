package proxy

// Tests of sessions that hold a conn of a server which isn't the primary, or isn't any more.

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
)

func hasCode(err error, code wire.Code) bool {
	var e *wire.Error
	return errors.As(err, &e) && e.Code == code
}

// TestPinnedToAnOldPrimary: what a pinned session writes after a failover doesn't go to the old primary. A transaction
// that is open may end there.
func TestPinnedToAnOldPrimary(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []string
		sql    string
		ended  bool
	}{
		{"a write", []string{"SET @a = 1"}, "UPDATE t SET a = @a", true},
		{"a call", []string{"CALL p()"}, "CALL p()", true},
		{"a transaction that begins", []string{"SET @a = 1"}, "BEGIN", true},
		{"a read", []string{"SET @a = 1"}, "SELECT 1 FROM t", false},
		{"an open transaction", []string{"BEGIN"}, "UPDATE t SET a = 1", false},
		{"a pinned one", []string{"SET @a = 1", "BEGIN"}, "UPDATE t SET a = 1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			withSession(t, func(f *fakeSession) {
				f.ok(c.before...)
				f.shard.promote()
				f.shard.ran(fakePrimary)
				answer, ended := f.query(c.sql)
				if ended != c.ended || ended != hasCode(answer, wire.CodeServerGone) {
					t.Errorf("got %v, ended %v, want ended %v", answer, ended, c.ended)
				}
				if got := f.shard.ran(fakePrimary); slices.Contains(got, c.sql) == c.ended {
					t.Errorf("the old primary ran %q", got)
				}
			})
		})
	}
}

// TestPinnedWhileSplit: while two servers are writable nobody's writes are taken, and what a session keeps stays.
func TestPinnedWhileSplit(t *testing.T) {
	withSession(t, func(f *fakeSession) {
		f.ok("SET @a = 1")
		f.shard.set(fakeReplica, func(v *fakeServer) { v.seen = backend.Observation{} })
		time.Sleep(time.Minute)
		if answer, ended := f.query("UPDATE t SET a = @a"); !hasCode(answer, wire.CodeUnavailable) || ended {
			t.Errorf("got %v, ended %v, want the write to be refused", answer, ended)
		}
		f.ok("SELECT 1 FROM t WHERE a = @a")
		f.shard.set(fakeReplica, func(v *fakeServer) {
			v.seen = backend.Observation{ReadOnly: true, Replicates: true, LagKnown: true}
		})
		time.Sleep(time.Minute)
		f.ok("UPDATE t SET a = @a")
	})
}

const beginReadOnly = "START TRANSACTION READ ONLY"

// TestMovesToThePrimary: a READ ONLY transaction whose first statement only the primary can do begins there instead.
func TestMovesToThePrimary(t *testing.T) {
	for _, sql := range []string{"SET @a = 1", "SELECT GET_LOCK('a', 1)", "SELECT 1 FROM t LOCK IN SHARE MODE", "SELECT RELEASE_LOCK('a')", "CALL p()"} {
		t.Run(sql, func(t *testing.T) {
			withSession(t, func(f *fakeSession) {
				f.ok(beginReadOnly, sql, "COMMIT", "UPDATE t SET a = 1")
				want := []string{"(" + beginReadOnly + ")", sql, "COMMIT", "UPDATE t SET a = 1"}
				got := slices.DeleteFunc(f.shard.ran(fakePrimary), func(sql string) bool { return sql == "(clear counts)" })
				if !slices.Equal(got, want) {
					t.Errorf("the primary ran %q, want %q", got, want)
				}
				if got, want := f.shard.ran(fakeReplica), []string{beginReadOnly, "(ROLLBACK)"}; !slices.Equal(got, want) {
					t.Errorf("the replica ran %q, want %q", got, want)
				}
			})
		})
	}
}

// TestTooLateToMove: one that has read on its replica is refused what only the primary can do, and the next of that
// session goes to the primary.
func TestTooLateToMove(t *testing.T) {
	withSession(t, func(f *fakeSession) {
		f.ok(beginReadOnly, "SELECT 1 FROM t")
		if answer, ended := f.query("SET @a = 1"); !hasCode(answer, wire.CodeReadOnlyTx) || ended {
			t.Errorf("got %v, ended %v, want it to be refused", answer, ended)
		}
		f.ok("SELECT 2 FROM t", "COMMIT", "UPDATE t SET a = 1")
		if got := f.shard.ran(fakeReplica); slices.Contains(got, "SET @a = 1") || !slices.Contains(got, "SELECT 2 FROM t") {
			t.Errorf("the replica ran %q", got)
		}
		f.shard.ran(fakePrimary)
		again := []string{beginReadOnly, "SELECT 1 FROM t", "SET @a = 1", "COMMIT", "UPDATE t SET a = @a"}
		f.ok(again...)
		if got := f.shard.ran(fakePrimary); !slices.Equal(got, again) {
			t.Errorf("the primary ran %q, want %q", got, again)
		}
	})
}

// TestBeginInAReadOnlyTransaction: a transaction that may write doesn't begin on the replica of the one before.
func TestBeginInAReadOnlyTransaction(t *testing.T) {
	withSession(t, func(f *fakeSession) {
		f.ok(beginReadOnly, "SELECT 1 FROM t", "START TRANSACTION READ WRITE", "UPDATE t SET a = 1")
		if got := f.shard.ran(fakePrimary); !slices.Contains(got, "UPDATE t SET a = 1") {
			t.Errorf("the primary ran %q", got)
		}
	})
}

// TestPinnedToAReplica: a read that turns out to have left something on a replica doesn't keep its session from
// writing for ever.
func TestPinnedToAReplica(t *testing.T) {
	withSession(t, func(f *fakeSession) {
		f.shard.set(fakeReplica, func(v *fakeServer) {
			v.do = func(*fakeConn, string) (wire.Outcome, error) { return wire.Outcome{StateChanged: true}, nil }
		})
		f.ok("SELECT 1 FROM v", "SELECT 1 FROM t")
		answer, ended := f.query("UPDATE t SET a = 1")
		if !hasCode(answer, wire.CodeServerGone) || !ended || !strings.Contains(answer.Error(), "connect again") {
			t.Errorf("got %v, ended %v, want the session to end", answer, ended)
		}
	})
}
