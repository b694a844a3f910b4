package pgwire

// exchange.go: one request and its reply on a conn.

import (
	"errors"

	"leat/proxy/wire"
)

// Do implements wire.Conn.
func (c *Conn) Do(req *wire.Request, client wire.Client, o *wire.Options) (wire.Outcome, error) {
	to := client.(*Client)
	if len(o.Names) > 0 {
		if err := c.lend(to, o.Names); err != nil {
			return wire.Outcome{Tx: wire.TxUnknown}, err
		}
		defer c.takeBack(to, o.Drops)
	}
	before := to.out.Total()
	err := c.exchange(req, to, o)
	if err == nil && c.mayAgain(req) {
		err = c.exchange(req, to, o)
	}
	out := &c.result
	out.Bytes = to.out.Total() - before
	out.Tx, out.Unsynced = c.tx, c.unsynced
	to.status, to.unsynced = c.tx, c.unsynced
	if c.tx == wire.TxIdle && !c.unsynced {
		to.stmts.portals, to.stmts.portal = nil, nil
	}
	if c.broken != nil {
		out.Tx, out.Unsynced = wire.TxUnknown, false
		to.status, to.unsynced = wire.TxIdle, false
	}
	return *out, err
}

// mayAgain reports whether a request failed only for a statement that the conn no longer has as it was. It is run
// again, once, where that can't be told from the first time.
func (c *Conn) mayAgain(req *wire.Request) bool {
	return c.relay.again && c.result.Err != nil && !c.result.Replied && c.tx == wire.TxIdle && !req.Long() && c.broken == nil
}

// exchange sends a request and passes its reply on. What came of it is in c.result.
func (c *Conn) exchange(req *wire.Request, to *Client, o *wire.Options) error {
	c.result = wire.Outcome{}
	if c.broken != nil {
		return &wire.SendError{Err: c.broken}
	}
	c.exchanges++
	to.run.done = 0
	if req.Kind == wire.Run {
		if err := c.bring(&to.run); err != nil {
			c.broken = cutOff(err)
			return &wire.SendError{Err: c.broken}
		}
	}
	r := &c.relay
	r.reset(c, req, to, o)
	mark := c.out.Sent()
	err := c.send(req, to)
	switch {
	case err == nil:
	case errors.Is(err, wire.ErrClientGone):
		c.broken = err
		return err
	case c.in.Quiet():
		c.broken = err
		return &wire.SendError{Err: err, Sent: c.out.Sent() > mark}
	} // else a server that stopped listening may have said why
	err = r.run()
	r.join(err)
	switch {
	case errors.Is(c.broken, wire.ErrClientGone):
		return wire.ErrClientGone
	case err == nil:
		return nil
	case errors.Is(err, wire.ErrClientGone), to.out.Err() != nil:
		c.broken = wire.ErrClientGone
		return wire.ErrClientGone
	}
	c.broken = cutOff(err)
	return &wire.SendError{Err: c.broken, Sent: true}
}

// send writes a request to the server and notes which answers it must give.
func (c *Conn) send(req *wire.Request, to *Client) error {
	s := &c.sender
	s.reset(c)
	if len(c.stmts.closing) > 0 {
		s.close()
	}
	switch req.Kind {
	case wire.Query, wire.Passthrough:
		s.simple(req)
	case wire.Run:
		s.run(req.Frames, &to.run)
	default:
		return errors.New("a request of this kind can't be sent to a server")
	}
	if req.Long() && !s.poisoned {
		if err := to.copyRest(req, &c.out); err != nil {
			return err
		}
	}
	if req.Kind == wire.Run {
		s.end(&to.run)
	}
	switch {
	case len(s.batch) > 0:
		if err := c.out.Flush(); err != nil {
			return err
		}
		c.relay.writeBeside(s.batch)
		return nil
	case s.sent:
		return c.in.Ask(&c.out.Writer)
	}
	return nil
}

// writeBeside writes to the server while its answers are read: it might wait for that.
func (r *relay) writeBeside(batch []byte) {
	done := make(chan error, 1)
	r.writing = done
	nc := r.conn.nc
	go func() {
		_, err := nc.Write(batch)
		done <- err
	}()
}

// join waits for what is written beside the relay. A relay that has failed doesn't wait for a server that may have
// stopped reading.
func (r *relay) join(failed error) error {
	if r.writing == nil {
		return nil
	}
	if failed != nil {
		r.conn.nc.SetDeadline(past)
	}
	err := <-r.writing
	r.writing = nil
	return err
}
