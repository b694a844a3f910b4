package pgwire

// client_stmt.go: the prepared statements that a client holds, by its own names.

import "leat/proxy/wire"

// stmt is a client's prepared statement.
type stmt struct {
	wire.Statement
	name string
	// types are the types of its parameters as a Parse sends them: their number and their OIDs.
	types string
	// parsed is the state that it was prepared in, and meaning what of that its meaning depends on.
	parsed  *wire.State
	meaning string
	// form is that of its rows when the client prepared it.
	form uint64
}

// noTypes are the types of a statement that leaves them all to the server.
var noTypes = []byte{0, 0}

func newStmt(name, text, types []byte) *stmt {
	s := &stmt{name: string(name), types: "\x00\x00"}
	if len(types) > len(noTypes) {
		s.types = string(types)
	}
	s.Text = string(text)
	s.Wire = s
	return s
}

// is reports whether a Parse with that text and those types makes the same statement.
func (s *stmt) is(text, types []byte) bool {
	return !s.Long && s.Text == string(text) && s.types == string(types)
}

// size is what a statement is counted with, in bytes.
func (s *stmt) size() int { return len(s.name) + len(s.Text) + len(s.types) + stmtOverhead }

const (
	// stmtOverhead is what a statement takes beside its text, in bytes, roughly.
	stmtOverhead = 256
	// maxStmtBytes bounds the named statements of one client, in bytes.
	maxStmtBytes = 32 << 20
)

var (
	errTooManyStatements = &wire.ServerError{
		SQLState: "53400", Message: "the client's prepared statements take more than 32 MiB: close some",
	}
	errLongStatement = &wire.ServerError{
		SQLState: "54000", Message: "a statement of more than 16 MiB can't be prepared by a name: use the unnamed statement",
	}
)

// clientStmts are a client's statements.
type clientStmts struct {
	named   map[string]*stmt
	unnamed *stmt
	bytes   int // of those that are named
	// portals are the statements bound to portals in this transaction, portal is that of the one without a name.
	portals map[string]*stmt
	portal  *stmt
}

// maxPortals bounds the portals of a transaction that are remembered.
const maxPortals = 1024

// bind notes the statement that a portal is of.
func (c *clientStmts) bind(portal []byte, s *stmt) {
	switch {
	case len(portal) == 0:
		c.portal = s
	case c.portals == nil:
		c.portals = map[string]*stmt{string(portal): s}
	case len(c.portals) < maxPortals:
		c.portals[string(portal)] = s
	}
}

// bound is the statement that a portal is of; nil if it isn't known.
func (c *clientStmts) bound(portal []byte) *stmt {
	if len(portal) == 0 {
		return c.portal
	}
	return c.portals[string(portal)]
}

// find returns the statement of a name, nil if there is none.
func (c *clientStmts) find(name []byte) *stmt {
	if len(name) == 0 {
		return c.unnamed
	}
	return c.named[string(name)]
}

// put makes a statement the one of its name, in the place of an old one. It reports false if there is no room.
func (c *clientStmts) put(s, old *stmt) bool {
	if s.name == "" {
		c.unnamed = s
		return true
	}
	if c.bytes+s.size() > maxStmtBytes {
		return false
	}
	if old != nil {
		c.remove(old)
	}
	if c.named == nil {
		c.named = make(map[string]*stmt)
	}
	c.named[s.name] = s
	c.bytes += s.size()
	return true
}

// remove forgets a statement.
func (c *clientStmts) remove(s *stmt) {
	switch {
	case s.name != "":
		if c.named[s.name] == s {
			delete(c.named, s.name)
			c.bytes -= s.size()
		}
	case c.unnamed == s:
		c.unnamed = nil
	}
}

// replace takes a statement back: an old one, if there was one, has its name again.
func (c *clientStmts) replace(s, old *stmt) {
	c.remove(s)
	if old != nil {
		c.put(old, nil)
	}
}

// Deallocate forgets a prepared statement, and reports whether there was one of that name.
func (c *Client) Deallocate(name string) (known bool) {
	s := c.stmts.named[name]
	if s != nil {
		c.stmts.remove(s)
	}
	return s != nil
}

// DeallocateAll forgets all prepared statements that have names.
func (c *Client) DeallocateAll() { c.stmts.named, c.stmts.bytes = nil, 0 }
