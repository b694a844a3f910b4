package backend

// What a conn that a session holds may still be used for: its server's part in the shard can change meanwhile.

import (
	"leat/proxy/wire"
)

// MayWrite says why new writes don't belong on a conn that was lent as the primary's; nil: they do. The error is a
// *wire.Error: CodeUnavailable while two servers of the shard are writable, and CodeServerGone if another one is the
// primary now. As long as there is none the server may be it, and says so itself.
func (c *Conn) MayWrite() error {
	s := c.server.shard
	v := s.view.Load()
	switch {
	case v.split != "":
		return s.unavailable(wire.Primary, 0)
	case v.primary != nil && v.primary != c.server:
		return wire.Errorf(wire.CodeServerGone, "Lost connection to server %s: it is not the primary of shard %s any more. Nothing was sent, connect again", c.server.address, s.id)
	}
	return nil
}

// Exec is the conn's own.
func (c *Conn) Exec(sql string) error {
	c.Start(false)
	defer c.started.Store(0)
	return c.Conn.Exec(sql)
}
