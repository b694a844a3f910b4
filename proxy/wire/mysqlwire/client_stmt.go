package mysqlwire

// client_stmt.go: the prepared statements that a client holds, and the long data that it sent ahead of their runs.

import (
	"encoding/binary"

	"leat/proxy/wire"
)

// Identify fixes what a statement means when it is prepared: its text in the session's state.
func (c *Client) Identify(s *wire.Statement, text string, state *wire.State) {
	s.Text = text
	s.Wire.(*stmt).identify(text, state)
}

// Keep adds a prepared statement to those the client may run.
func (c *Client) Keep(s *wire.Statement) {
	if c.stmts == nil {
		c.stmts = make(map[uint32]*wire.Statement)
	}
	c.stmts[s.ID] = s
	c.stmtBytes += len(s.Text)
}

// Statements is how many statements the client holds, and how long their texts are.
func (c *Client) Statements() (n, bytes int) { return len(c.stmts), c.stmtBytes }

// Drop forgets a statement.
func (c *Client) Drop(s *wire.Statement) {
	c.dropPieces(s)
	if c.stmts[s.ID] == s {
		c.stmtBytes -= len(s.Text)
	}
	delete(c.stmts, s.ID)
}

// DropStatements implements wire.Client.
func (c *Client) DropStatements() {
	for _, s := range c.stmts {
		c.dropPieces(s)
	}
	c.stmts, c.stmtBytes = nil, 0
}

// pieceOverhead is what a piece of long data is counted with beside its bytes: many empty ones take memory too.
const pieceOverhead = 64

// KeepLong keeps a piece of a parameter for the statement's next EXECUTE. The limit holds for all of the client's
// statements together: what is over it is dropped, and the EXECUTE refused.
func (c *Client) KeepLong(r *wire.Request) {
	p := r.Frames[headerSize:]
	if r.Stmt == nil || len(p) < 7 {
		return
	}
	s := r.Stmt.Wire.(*stmt)
	param, size := binary.LittleEndian.Uint16(p[5:]), len(p)-7+pieceOverhead
	switch {
	case int(param) >= s.params:
		s.longAstray = true
		return
	case s.longTooBig:
		return
	case c.longBytes+size > c.limit:
		c.dropPieces(r.Stmt)
		s.longTooBig = true
		return
	}
	c.longBytes += size
	s.longBytes += size
	s.long = append(s.long, longData{param, append([]byte(nil), p[7:]...)})
}

// DropLong implements wire.Client.
func (c *Client) DropLong(s *wire.Statement) {
	c.dropPieces(s)
	s.Wire.(*stmt).longAstray = false
}

// Executed implements wire.Client. That data came for a parameter that isn't there stays known until a reset.
func (c *Client) Executed(s *wire.Statement) { c.dropPieces(s) }

func (c *Client) dropPieces(statement *wire.Statement) {
	s := statement.Wire.(*stmt)
	c.longBytes -= s.longBytes
	s.long, s.longBytes, s.longTooBig = nil, 0, false
}
