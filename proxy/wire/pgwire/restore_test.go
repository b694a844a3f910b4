package pgwire

import (
	"regexp"
	"strings"
	"testing"

	"leat/proxy/wire"
)

func TestRestoreSQL(t *testing.T) {
	base := wire.NewState("d")
	set := func(calls ...string) string {
		return "SELECT pg_catalog.set_config(" + strings.Join(calls, ", false), pg_catalog.set_config(") + ", false)"
	}
	tests := []struct {
		name     string
		from, to *wire.State
		readOnly bool
		want     string
	}{
		{"same", base, base, false, ""},
		{"set", base, base.With("datestyle", "ISO, MDY"), false, set("'datestyle', 'ISO, MDY'")},
		{"back", base.With("datestyle", "German"), base, false, set("'datestyle', NULL")},
		{"data", base, base.With("my.x", "'; DROP TABLE t; --"), false, set("'my.x', pg_catalog.convert_from(pg_catalog.decode('273b2044524f50205441424c4520743b202d2d', 'hex'), 'UTF8')")},
		{
			"in its encoding", base, base.With("client_encoding", "LATIN1").With("my.x", "\xe9"), false,
			set("'client_encoding', 'LATIN1'", "'my.x', pg_catalog.convert_from(pg_catalog.decode('e9', 'hex'), 'LATIN1')"),
		},
		{"empty", base, base.With("search_path", ""), false, set("'search_path', ''")},
		{"a replica's conn", base, base.With("default_transaction_read_only", "off"), true, ""},
		{"role", base.With("role", "a"), base.With("role", "b").With("x.y", "1"), false, set("'role', NULL", "'x.y', '1'", "'role', 'b'")},
		{
			"session authorization", base.With("role", "a"), base.With("role", "a").With("session_authorization", "c"), false,
			set("'session_authorization', NULL", "'role', NULL", "'session_authorization', 'c'", "'role', 'a'"),
		},
		{"role back", base.With("role", "a"), base, false, set("'role', NULL")},
	}
	for _, tt := range tests {
		if got := restoreSQL(tt.from, tt.to, tt.readOnly, "UTF8"); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestLearn(t *testing.T) {
	p := newPair()
	text := func(values ...string) string {
		b := []byte{0, byte(len(values))}
		for _, v := range values {
			if v == "NULL" {
				b = append(b, 0xff, 0xff, 0xff, 0xff)
				continue
			}
			b = append(append(b, 0, 0, 0, byte(len(v))), v...)
		}
		return typed(repDataRow, string(b)) + tag("SELECT 1") + ready('I')
	}
	p.conn.state = p.conn.state.With("gone", "1").With("role", "x")
	p.conn.tx = wire.TxFailed
	if err := p.conn.Learn([]string{"work_mem"}); err != nil || p.server.take() != "" {
		t.Errorf("a failed transaction is asked: %v", err)
	}
	p.conn.tx = wire.TxIdle
	p.server.in.WriteString(text("4MB", "NULL", "none", "u", "2s"))
	if err := p.conn.Learn([]string{"gone", "role", "session_authorization", "Statement_Timeout"}); err != nil {
		t.Fatal(err)
	}
	if want := wire.NewState("d").With("work_mem", "4MB").With("statement_timeout", "2s"); !p.conn.State().Equal(want) {
		t.Errorf("got %q, want %q", p.conn.State().Key(), want.Key())
	}
	p.server.take()
	if err := p.conn.Learn(nil); err != nil || p.server.take() != "" {
		t.Errorf("nothing is asked for, and yet: %v", err)
	}
}

func TestAdoptRefused(t *testing.T) {
	p := newPair()
	p.server.in.WriteString(failure("22023") + ready('I'))
	before := p.conn.State()
	err := p.conn.Adopt(before.With("work_mem", "x"))
	if _, ok := err.(*wire.ServerError); !ok || p.conn.State() != before {
		t.Errorf("got %v, state %q", err, p.conn.State().Key())
	}
	p.server.in.WriteString(string(appendError(nil, severityFatal, "57P01", "bye")))
	if err = p.conn.Adopt(before.With("work_mem", "1MB")); err == nil {
		t.Errorf("a conn that was closed adopts")
	}
	if _, ok := err.(*wire.ServerError); ok || p.conn.Ping() == nil {
		t.Errorf("a conn that was closed is good: %v", err)
	}
}

func TestReset(t *testing.T) {
	p := newPair()
	p.conn.tx, p.conn.unsynced = wire.TxOpen, true
	p.conn.state = p.conn.state.With("role", "x")
	p.server.in.WriteString(ready('T') + tag("ROLLBACK") + ready('I') + setting("TimeZone", "UTC") + tag("RESET") + ready('I'))
	if err := p.conn.Reset(past); err != nil {
		t.Fatal(err)
	}
	if got := messages(p.server.take()); !strings.HasPrefix(got, "S Q:ROLLBACK Q:CLOSE_ALL;") {
		t.Errorf("got %s", got)
	}
	if !p.conn.State().Equal(wire.NewState("d")) || p.conn.Tx() != wire.TxIdle {
		t.Errorf("got %q, %v", p.conn.State().Key(), p.conn.Tx())
	}
}

func TestMilliseconds(t *testing.T) {
	for in, want := range map[string]string{"": "0s", "0": "0s", "1500": "1.5s", "2s": "2s", "3min": "3m0s", "1d": "24h0m0s", "2h": "2h0m0s", "-1": "0s", "x": "0s", "5 s": "5s"} {
		if got := milliseconds(in).String(); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

var literalForm = regexp.MustCompile(`^('[^'\\\x00-\x1f\x7f-\xff]*'|pg_catalog\.convert_from\(pg_catalog\.decode\('[0-9a-f]*', 'hex'\), '[^'\\\x00-\x1f\x7f-\xff]*'\))$`)

// No name, value or encoding can end the literal that it stands in.
func FuzzLiteral(f *testing.F) {
	f.Add("'; DROP TABLE t; --", "UTF8")
	f.Add(`\`, "SJIS'")
	f.Add("é\x00", `\`)
	f.Fuzz(func(t *testing.T, s, encoding string) {
		if got := literal(s, encoding); !literalForm.MatchString(got) {
			t.Errorf("%q became %s", s, got)
		}
	})
}
