package pgwire

import (
	"slices"
	"testing"

	"leat/proxy/wire"
)

func TestSchemas(t *testing.T) {
	for _, tt := range []struct {
		path string
		role string
		want []string
	}{
		{`"$user", public`, "", []string{"app", "public"}},
		{`"$user", public`, "Other", []string{"Other", "public"}},
		{`Features, "Profiles", "a""b, c"`, "", []string{"features", "Profiles", `a"b, c`}},
		{"", "", nil},
		{`"open`, "", nil},
		{`"a" b`, "", nil},
	} {
		state := wire.NewState("db").With("search_path", tt.path)
		if tt.role != "" {
			state = state.With("role", tt.role)
		}
		if got := new(Acceptor).Schemas(state, nil, "app"); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.path, got, tt.want)
		}
	}
	if got := new(Acceptor).Schemas(wire.NewState("db"), wire.NewState("").With("search_path", "x"), "app"); !slices.Equal(got, []string{"x"}) {
		t.Errorf("the default: got %q, want [x]", got)
	}
}
