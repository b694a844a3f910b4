package shard

// Tests of positions of PostgreSQL.

import (
	"strings"
	"testing"
)

func pg(t testing.TB, s string) Position {
	t.Helper()
	p, err := ParsePostgresPosition("main", s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePostgresPosition(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{" \n", ""},
		{"1:0/16B3748", "1:0/16B3748"},
		{"2:1a/ff", "2:1A/FF"},
		{"1:00000000/00000001", "1:0/1"},
		{"4294967295:FFFFFFFF/FFFFFFFF", "4294967295:FFFFFFFF/FFFFFFFF"},
	}
	for _, tt := range tests {
		if got := pg(t, tt.in).String(); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
	for _, bad := range []string{
		"0/16B3748", "1:", "1:0", "1:0/", "1:/0", ":0/1", "0:0/1", "x:0/1", "-1:0/1", "+1:0/1", "1:+0/1", "1:0/-1", "1:0/0x1", "1:0/1_0",
		"4294967296:0/1", "1:100000000/0", "1:0/100000000", "1:0/1/2", "1:1:0/1", "0-1-100", strings.Repeat("1", 1000),
	} {
		if p, err := ParsePostgresPosition("main", bad); err == nil {
			t.Errorf("%.80q: got %v, want an error", bad, p)
		} else if len(err.Error()) > 200 {
			t.Errorf("%.80q: an error of %d bytes", bad, len(err.Error()))
		}
	}
}

// Case 77: after a promotion the old timeline's high LSN satisfies nothing.
func TestPostgresContains(t *testing.T) {
	tests := []struct {
		p, q string
		want bool
	}{
		{"", "", true},
		{"1:0/10", "", true},
		{"", "1:0/10", false},
		{"1:0/10", "1:0/10", true},
		{"1:0/11", "1:0/10", true},
		{"1:0/F", "1:0/10", false},
		{"1:1/0", "1:0/FFFFFFFF", true},
		{"1:0/FFFFFFFF", "1:1/0", false},
		{"1:0/FF", "2:0/10", false},
		{"2:0/FF", "1:0/10", false},
	}
	for _, tt := range tests {
		if got := pg(t, tt.p).Contains(pg(t, tt.q)); got != tt.want {
			t.Errorf("%q contains %q: got %v, want %v", tt.p, tt.q, got, tt.want)
		}
	}
	other, _ := ParsePostgresPosition("other", "1:0/1")
	if pg(t, "1:0/2").Contains(other) || pg(t, "1:0/2").Contains(my(t, uuidA+":1")) || my(t, uuidA+":1").Contains(pg(t, "1:0/1")) {
		t.Error("contains a position of another shard or dialect")
	}
}

func TestPostgresUnionAndIntersect(t *testing.T) {
	tests := []struct{ p, q, union, both string }{
		{"", "1:0/10", "1:0/10", ""},
		{"1:0/10", "", "1:0/10", ""},
		{"1:0/10", "1:0/20", "1:0/20", "1:0/10"},
		{"1:0/20", "1:0/10", "1:0/20", "1:0/10"},
		{"1:0/20", "2:0/10", "2:0/10", "2:0/10"},
		{"2:0/10", "1:0/20", "2:0/10", "1:0/20"},
	}
	for _, tt := range tests {
		p, q := pg(t, tt.p), pg(t, tt.q)
		if got := p.Union(q).String(); got != tt.union {
			t.Errorf("%q union %q: got %q, want %q", tt.p, tt.q, got, tt.union)
		}
		if got := p.Intersect(q).String(); got != tt.both {
			t.Errorf("%q intersect %q: got %q, want %q", tt.p, tt.q, got, tt.both)
		}
	}
}

func TestBehind(t *testing.T) {
	tests := []struct {
		p, q  string
		bytes uint64
		known bool
	}{
		{"1:0/10", "1:0/30", 0x20, true},
		{"1:0/30", "1:0/10", 0, true},
		{"1:0/10", "2:0/30", 0, false},
		{"", "1:0/30", 0, false},
		{"1:0/30", "", 0, false},
	}
	for _, tt := range tests {
		if got, known := pg(t, tt.p).Behind(pg(t, tt.q)); got != tt.bytes || known != tt.known {
			t.Errorf("%q behind %q: got %d, %v, want %d, %v", tt.p, tt.q, got, known, tt.bytes, tt.known)
		}
	}
	if _, known := my(t, uuidA+":1").Behind(my(t, uuidA+":1-2")); known {
		t.Error("a GTID set has no length in bytes")
	}
}

func TestPostgresContainsAllocates(t *testing.T) {
	p, q := pg(t, "1:0/10"), pg(t, "1:0/9")
	if n := testing.AllocsPerRun(100, func() { _ = p.Contains(q) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func FuzzParsePostgresPosition(f *testing.F) {
	f.Add("1:0/16B3748", "2:1/0")
	f.Fuzz(func(t *testing.T, a, b string) {
		p, err := ParsePostgresPosition("main", a)
		if err != nil {
			return
		}
		again, err := ParsePostgresPosition("main", p.String())
		if err != nil || again.String() != p.String() || !again.Contains(p) || !p.Contains(again) {
			t.Fatalf("%q reads back as %q: %v", p, again, err)
		}
		q, err := ParsePostgresPosition("main", b)
		if err != nil {
			return
		}
		both, all := p.Intersect(q), p.Union(q)
		if all.String() != q.Union(p).String() || !all.Contains(p) && !all.Contains(q) || !q.Contains(both) {
			t.Fatalf("%q and %q: union %q, intersection %q", p, q, all, both)
		}
	})
}
