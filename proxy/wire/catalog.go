package wire

// What a database's catalog says of the functions that its users made.

import "maps"

// Catalog is a snapshot of the functions that the users of one database made: which of them may have
// effects. The dialect's own functions aren't in it. It is immutable.
type Catalog struct {
	version   uint64
	functions map[Function]Volatility
}

// Function names a function, all its overloads together, as the catalog spells it.
type Function struct{ Schema, Name string }

// Volatility says whether a function may have effects.
type Volatility uint8

const (
	// NoFunction is the zero value: the catalog holds no function of that name.
	NoFunction Volatility = iota
	// Volatile is a function of which at least one overload may have effects.
	Volatile
	// Harmless is a function of which all overloads are stable or immutable.
	Harmless
)

// NewCatalog makes a Catalog, which keeps the map. Version is never 0 and names the content: of two catalogs of
// one process with the same version either will do.
func NewCatalog(version uint64, functions map[Function]Volatility) *Catalog {
	return &Catalog{version, functions}
}

// Version names the content; 0 for a nil Catalog. What was concluded from a catalog holds as long as the
// version is the same.
func (c *Catalog) Version() uint64 {
	if c == nil {
		return 0
	}
	return c.version
}

// Function says what is known of the functions with that name. A nil Catalog knows nothing: whatever it is
// asked for is NoFunction, and the caller must not conclude that there is none.
func (c *Catalog) Function(schema, name string) Volatility {
	if c == nil {
		return NoFunction
	}
	return c.functions[Function{schema, name}]
}

// Len is how many names there are.
func (c *Catalog) Len() int {
	if c == nil {
		return 0
	}
	return len(c.functions)
}

// Same reports whether the catalog says just this of all functions.
func (c *Catalog) Same(functions map[Function]Volatility) bool {
	return c != nil && maps.Equal(c.functions, functions)
}
