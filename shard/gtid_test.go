package shard

// Tests of positions of both flavors.

import (
	"strconv"
	"strings"
	"testing"
)

const (
	uuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidB = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func my(t testing.TB, s string) Position {
	t.Helper()
	p, err := ParseMySQLPosition("main", s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func maria(t testing.TB, s string) Position {
	t.Helper()
	p, err := ParseMariaDBPosition("main", s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseMySQLPosition(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"\n", ""},
		{uuidA + ":1", uuidA + ":1"},
		{strings.ToUpper(uuidA) + ":1-5:11-18", uuidA + ":1-5:11-18"},
		{uuidA + ":11:1-5:6-7", uuidA + ":1-7:11"},
		{uuidB + ":1,\n" + uuidA + ":2", uuidA + ":2," + uuidB + ":1"},
		{uuidA + ":1-3," + uuidA + ":2-9", uuidA + ":1-9"},
		{uuidA + ":7:Batch:1-3:5", uuidA + ":7:batch:1-3:5"},
		{uuidA + ":b:2:a:1", uuidA + ":a:1:b:2"},
		{uuidA + ":a:1:a:2", uuidA + ":a:1-2"},
		{uuidA + ":9223372036854775807", uuidA + ":9223372036854775807"},
	}
	for _, tt := range tests {
		if got := my(t, tt.in).String(); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
	for _, bad := range []string{
		"x", uuidA, uuidA + ":", uuidA + ":0", uuidA + ":5-1", uuidA + ":1-", uuidA + ":-1", uuidA + ":+1", uuidA + ":tag", uuidA + ":1:tag",
		uuidA + ":tag:b:1", uuidA + ":9223372036854775808", uuidA[1:] + ":1", "zz" + uuidA[2:] + ":1", uuidA + ":ta-g:1",
		uuidA + ":" + strings.Repeat("t", 33) + ":1", strings.Repeat(" ", maxGTIDText+1),
	} {
		if p, err := ParseMySQLPosition("main", bad); err == nil {
			t.Errorf("%.80q: got %v, want an error", bad, p)
		} else if len(err.Error()) > 200 {
			t.Errorf("%.80q: an error of %d bytes", bad, len(err.Error()))
		}
	}
}

func TestParseMariaDBPosition(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"0-1-100", "0-1-100"},
		{"1-1-7, 0-1-100", "0-1-100,1-1-7"},
		{"0-1-100,0-2-101", "0-2-101"},
		{"4294967295-4294967295-18446744073709551615", "4294967295-4294967295-18446744073709551615"},
	}
	for _, tt := range tests {
		if got := maria(t, tt.in).String(); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
	for _, bad := range []string{"0", "0-1", "0-1-", "0-1-2-3", "-1-1", "a-1-1", "4294967296-1-1", "0-1-18446744073709551616", uuidA + ":1"} {
		if p, err := ParseMariaDBPosition("main", bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, p)
		}
	}
}

func TestContains(t *testing.T) {
	tests := []struct {
		p, q string
		want bool
	}{
		{"", "", true},
		{uuidA + ":1", "", true},
		{"", uuidA + ":1", false},
		{uuidA + ":1-5", uuidA + ":5", true},
		{uuidA + ":1-5", uuidA + ":5-6", false},
		{uuidA + ":1-5:7-9", uuidA + ":2:8", true},
		{uuidA + ":1-5:7-9", uuidA + ":5-7", false},
		{uuidA + ":1-5", uuidB + ":1", false},
		{uuidA + ":1-5," + uuidB + ":1", uuidB + ":1", true},
		{uuidA + ":1-5", uuidA + ":tag:1", false},
		{uuidA + ":1-5:tag:1", uuidA + ":tag:1", true},
	}
	for _, tt := range tests {
		if got := my(t, tt.p).Contains(my(t, tt.q)); got != tt.want {
			t.Errorf("%q contains %q: got %v, want %v", tt.p, tt.q, got, tt.want)
		}
	}
	for _, tt := range []struct {
		p, q string
		want bool
	}{
		{"0-1-100", "0-1-99", true},
		{"0-2-100", "0-1-100", true},
		{"0-1-100", "0-1-101", false},
		{"0-1-100", "1-1-1", false},
		{"0-1-100,1-1-7", "1-1-7", true},
	} {
		if got := maria(t, tt.p).Contains(maria(t, tt.q)); got != tt.want {
			t.Errorf("%q contains %q: got %v, want %v", tt.p, tt.q, got, tt.want)
		}
	}
	other, _ := ParseMySQLPosition("other", uuidA+":1")
	if my(t, uuidA+":1").Contains(other) || maria(t, "0-1-1").Contains(my(t, uuidA+":1")) {
		t.Error("contains a position of another shard or flavor")
	}
}

func TestUnionAndIntersect(t *testing.T) {
	tests := []struct{ p, q, union, both string }{
		{"", uuidA + ":1", uuidA + ":1", ""},
		{uuidA + ":1", uuidA + ":2", uuidA + ":1-2", ""},
		{uuidA + ":1-5:9", uuidA + ":4-9", uuidA + ":1-9", uuidA + ":4-5:9"},
		{uuidA + ":1-9", uuidA + ":2:4:6," + uuidB + ":1", uuidA + ":1-9," + uuidB + ":1", uuidA + ":2:4:6"},
	}
	for _, tt := range tests {
		p, q := my(t, tt.p), my(t, tt.q)
		if got := p.Union(q).String(); got != tt.union {
			t.Errorf("%q union %q: got %q, want %q", tt.p, tt.q, got, tt.union)
		}
		if got := p.Intersect(q).String(); got != tt.both {
			t.Errorf("%q intersect %q: got %q, want %q", tt.p, tt.q, got, tt.both)
		}
		if p.String() != my(t, tt.p).String() || q.String() != my(t, tt.q).String() {
			t.Errorf("%q, %q: the arguments changed", tt.p, tt.q)
		}
	}
	if got := maria(t, "0-1-100,2-1-1").Union(maria(t, "0-2-101,1-1-7")).String(); got != "0-2-101,1-1-7,2-1-1" {
		t.Errorf("MariaDB union: got %q", got)
	}
	if got := maria(t, "0-1-100,2-1-1").Intersect(maria(t, "0-2-90,1-1-7")).String(); got != "0-2-90" {
		t.Errorf("MariaDB intersection: got %q", got)
	}
}

// A session that writes between others' writes has a gap after each of its own: its position must
// stay small and still hold all of them.
func TestUnionIsBounded(t *testing.T) {
	var all Position
	var own []Position
	for i := range 1000 {
		p := my(t, uuidA+":"+strconv.Itoa(2*i+1))
		own = append(own, p)
		all = all.Union(p)
	}
	if got := len(all.set.sources[0].runs); got != maxRuns {
		t.Errorf("got %d runs, want %d", got, maxRuns)
	}
	for _, p := range own {
		if !all.Contains(p) {
			t.Fatalf("%v is lost", p)
		}
	}
}

func TestContainsAllocates(t *testing.T) {
	p, q := my(t, uuidA+":1-5:9,"+uuidB+":1-100"), my(t, uuidB+":77")
	if n := testing.AllocsPerRun(100, func() { _ = p.Contains(q) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func FuzzParseMySQLPosition(f *testing.F) {
	f.Add(uuidA+":1-5:7,"+uuidB+":tag:1", uuidA+":6")
	f.Fuzz(func(t *testing.T, a, b string) {
		checkSets(t, a, b, ParseMySQLPosition)
	})
}

func FuzzParseMariaDBPosition(f *testing.F) {
	f.Add("0-1-100,1-1-7", "0-2-3")
	f.Fuzz(func(t *testing.T, a, b string) {
		checkSets(t, a, b, ParseMariaDBPosition)
	})
}

// checkSets holds two texts to what any two sets must satisfy.
func checkSets(t *testing.T, a, b string, parse func(ID, string) (Position, error)) {
	p, err := parse("main", a)
	if err != nil {
		return
	}
	again, err := parse("main", p.String())
	if err != nil || again.String() != p.String() || !again.Contains(p) || !p.Contains(again) {
		t.Fatalf("%q reads back as %q: %v", p, again, err)
	}
	q, err := parse("main", b)
	if err != nil {
		return
	}
	both, all := p.Intersect(q), p.Union(q)
	if !all.Contains(p) || !all.Contains(q) || !p.Contains(both) || !q.Contains(both) {
		t.Fatalf("%q and %q: union %q, intersection %q", p, q, all, both)
	}
}
