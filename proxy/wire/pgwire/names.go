package pgwire

// names.go: prepared statements in SQL. EXECUTE and DEALLOCATE name a statement as its client does, which the server
// doesn't: for a request whose text names one it is prepared by that name too.

import "leat/proxy/wire"

// lend prepares those of a client's statements that a text names, by these names. One that the server refuses stays
// unknown to it.
func (c *Conn) lend(to *Client, names []string) error {
	c.lent, c.relay.dropped = c.lent[:0], 0
	for _, name := range names {
		s := to.stmts.named[name]
		if s == nil || c.tx == wire.TxFailed || c.unsynced || c.broken != nil {
			continue
		}
		b := &c.sender
		b.reset(c)
		b.close()
		b.prepare(s, []byte(name))
		b.put(appendHeader(nil, reqSync, 0))
		_, err := c.readQuery(0)
		if err := notRefused(err); err != nil {
			return &wire.SendError{Err: cutOff(err)}
		}
		if err == nil {
			c.lent = append(c.lent, name)
		}
	}
	return nil
}

// takeBack closes what was lent with the next request, and makes the client forget what the text has dropped.
func (c *Conn) takeBack(to *Client, drops []string) {
	for _, name := range c.lent {
		c.stmts.closing = append(c.stmts.closing, &serverStmt{name: []byte(name)})
	}
	for _, name := range drops[:min(c.relay.dropped, len(drops))] {
		to.Deallocate(name)
	}
}

// droppedAll notes that all statements with names are gone, the client's and Leat's.
func (r *relay) droppedAll() {
	r.to.DeallocateAll()
	unnamed := r.conn.stmts.unnamed
	r.conn.forgetStatements()
	r.conn.stmts.unnamed, r.conn.lent = unnamed, nil
}
