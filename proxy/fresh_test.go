package proxy

// Tests of where a session reads after a statement that failed.

import (
	"testing"

	"leat/proxy/wire"
)

func TestReadsAfterAFailure(t *testing.T) {
	const read = "SELECT a FROM t"
	for _, tt := range []struct {
		sql     string
		number  uint16
		primary bool
	}{
		{"DROP TABLE a, missing", 1051, true}, // MariaDB has dropped a
		{"INSERT INTO t VALUES (1), (1)", 1062, true},
		{"INSERT INTO t VALUES (1), (1", 1064, false}, // nothing of it was run
		{"SHOW VARIABLES", 1227, false},
		{read, 1146, false},
	} {
		withSession(t, func(f *fakeSession) {
			fail := func(v *fakeServer) {
				v.do = func(c *fakeConn, sql string) (wire.Outcome, error) {
					return wire.Outcome{Err: &wire.ServerError{Number: tt.number}}, nil
				}
			}
			f.shard.set(fakePrimary, fail)
			f.shard.set(fakeReplica, fail)
			if answer, _ := f.query(tt.sql); answer == nil {
				t.Fatalf("%s: got no error", tt.sql)
			}
			for _, address := range []string{fakePrimary, fakeReplica} {
				f.shard.set(address, func(v *fakeServer) { v.do, v.ran = nil, nil })
			}
			f.ok(read)
			if got := len(f.shard.ran(fakePrimary)) > 0; got != tt.primary {
				t.Errorf("after %s, error %d: read on the primary: %v, want %v", tt.sql, tt.number, got, tt.primary)
			}
		})
	}
}
