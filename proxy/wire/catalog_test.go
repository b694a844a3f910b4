package wire

// Tests of catalogs.

import "testing"

func TestCatalog(t *testing.T) {
	known := map[Function]Volatility{{"public", "f"}: Harmless, {"public", "g"}: Volatile}
	c := NewCatalog(7, known)
	for _, tt := range []struct {
		schema, name string
		want         Volatility
	}{
		{"public", "f", Harmless},
		{"public", "g", Volatile},
		{"other", "f", NoFunction},
		{"", "f", NoFunction},
	} {
		if got := c.Function(tt.schema, tt.name); got != tt.want {
			t.Errorf("%s.%s: got %d, want %d", tt.schema, tt.name, got, tt.want)
		}
	}
	if c.Version() != 7 || c.Len() != 2 || !c.Same(known) || c.Same(nil) {
		t.Errorf("got version %d, %d names", c.Version(), c.Len())
	}
	var none *Catalog
	if none.Version() != 0 || none.Len() != 0 || none.Function("public", "f") != NoFunction || none.Same(nil) {
		t.Error("a nil catalog knows something")
	}
}
