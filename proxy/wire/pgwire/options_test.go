package pgwire

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"leat/proxy/wire"
)

func TestSplitOptions(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"", nil},
		{" \t\n\v\f\r", nil},
		{"-c a=b", []string{"-c", "a=b"}},
		{`  -c  a=x\ y\\z  `, []string{"-c", `a=x y\z`}},
		{`\ `, []string{" "}},
		{`a\`, []string{"a"}},
		{`\`, []string{""}},
	}
	for _, tt := range tests {
		if got := splitOptions(tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("splitOptions(%q): got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// Case 7.
func TestParseOptions(t *testing.T) {
	tests := []struct {
		in, want string // name=value, joined by '|'
		state    string // of the refusal
	}{
		{"", "", ""},
		{"-c search_path=a,b", "search_path=a,b", ""},
		{`-c search_path=a,\ b -cgeqo=off --Work-Mem=4MB`, "search_path=a, b|geqo=off|work_mem=4MB", ""},
		{`-c stmt\ timeout=1`, "stmt timeout=1", ""},
		{"-c a-b=c-d", "a_b=c-d", ""},
		{"-c x=", "x=", ""},
		{"-c x=a=b", "x=a=b", ""},
		{"-c=", "", "42704"},
		{"--=x", "", "42704"},
		{"-c", "", "42601"},
		{"-c a", "", "42601"},
		{"--a", "", "42601"},
		{"--", "", "42601"},
		{"a=b", "", "42601"},
		{"-", "", "42601"},
		{"-e", "", "0A000"},
		{strings.Repeat("-ca=b ", maxSettings+1), "", "54000"},
	}
	for _, tt := range tests {
		got, err := parseOptions(tt.in)
		var all []string
		for _, v := range got {
			all = append(all, v.Name+"="+v.Value)
		}
		if s := strings.Join(all, "|"); s != tt.want || stateOf(err) != tt.state {
			t.Errorf("parseOptions(%q): got %q %v, want %q %s", tt.in, s, err, tt.want, tt.state)
		}
	}
}

func stateOf(err error) string {
	if e, ok := err.(*wire.ServerError); ok {
		return e.SQLState
	}
	return ""
}

func startupOf(fields ...string) []byte {
	return []byte("\x00\x03\x00\x00" + strings.Join(fields, "\x00") + "\x00\x00")
}

func TestParseStartup(t *testing.T) {
	type vars = []wire.Var
	tests := []struct {
		name  string
		in    []byte
		want  startup
		state string
	}{
		{"the least", startupOf("user", "me"), startup{user: "me", database: "me"}, ""},
		{"a database", startupOf("user", "me", "database", "d"), startup{user: "me", database: "d"}, ""},
		{
			"settings, the options before the others", startupOf("DateStyle", "ISO", "user", "me", "options", "-c a=1"),
			startup{user: "me", database: "me", settings: vars{{Name: "a", Value: "1"}, {Name: "datestyle", Value: "ISO"}}},
			"",
		},
		{"an empty value", startupOf("user", "me", "a", ""), startup{user: "me", database: "me", settings: vars{{Name: "a"}}}, ""},
		{"an extension", startupOf("user", "me", "_pq_.x", "1"), startup{user: "me", database: "me", unrecognized: []string{"_pq_.x"}}, ""},
		{"replication off", startupOf("user", "me", "replication", "off"), startup{user: "me", database: "me"}, ""},
		{"replication", startupOf("user", "me", "replication", "database"), startup{user: "me"}, "0A000"},
		{"physical replication", startupOf("user", "me", "replication", "1"), startup{user: "me"}, "0A000"},
		{"no user", startupOf("database", "d"), startup{database: "d"}, "28000"},
		{"an empty user", startupOf("user", ""), startup{}, "28000"},
		{"no terminator", []byte("\x00\x03\x00\x00user\x00me\x00"), startup{user: "me"}, "08P01"},
		{"more behind it", append(startupOf("user", "me"), 0), startup{user: "me"}, "08P01"},
		{"no value", []byte("\x00\x03\x00\x00user\x00\x00"), startup{}, "08P01"},
	}
	for _, tt := range tests {
		got, err := parseStartup(tt.in)
		tt.want.version = version30
		if len(got.settings) == 0 {
			got.settings = nil
		}
		if !reflect.DeepEqual(got, tt.want) || stateOf(err) != tt.state {
			t.Errorf("%s: got %+v %v, want %+v %s", tt.name, got, err, tt.want, tt.state)
		}
	}
}

func FuzzParseStartup(f *testing.F) {
	f.Add(startupOf("user", "me", "options", `-c a=b --c-d=\ e`))
	f.Add(startupOf("user", "me", "replication", "x", "_pq_.x", ""))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := parseStartup(p)
		if err == nil && (s.user == "" || s.database == "") {
			t.Fatalf("got %+v of %q", s, p)
		}
		for _, v := range s.settings {
			if v.Name == "" || strings.ContainsRune(v.Name+v.Value, 0) {
				t.Fatalf("got setting %q of %q", v, p)
			}
		}
		if len(s.settings) > 2*maxSettings {
			t.Fatalf("got %d settings", len(s.settings))
		}
	})
}
