package backend

// A lent conn: its request's start and end, its return to the pool, its cancel.

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
)

// Conn is one conn of a pool, lent to one session at a time. The dialect's own conn is reached by
// a type assertion on its Conn field.
type Conn struct {
	wire.Conn

	// set when opened
	server  *Server
	login   *login
	address string        // where it was dialled: ip:port
	opened  time.Duration // on the backend's clock
	expires time.Duration

	// owned by the borrower
	role wire.Role

	// started is when the request under way was sent, on the backend's clock; 0: none is.
	started atomic.Int64
	// fixed is set when the request under way can't be sent to another server, or can't any more.
	fixed atomic.Bool

	// guarded by the pool's mu
	gen        uint64 // grows when the conn is lent and when it comes back
	guest      bool   // lent to a guest: see terms
	idle       bool
	idleSince  time.Duration
	retired    string // why it is closed when it comes back
	keep       bool   // others are lent first
	prev, next *Conn  // in its login's list of idle conns
}

// Ticket names a released conn for Reacquire. The zero Ticket names none.
type Ticket struct {
	conn *Conn
	gen  uint64
}

// Target is what Cancel needs to know of a conn that is lent. It stays safe to use after the conn
// was released: Cancel then does nothing.
type Target struct {
	conn *Conn
	gen  uint64
}

// Server is the server that the conn is open to.
func (c *Conn) Server() *Server { return c.server }

// Role is what the conn was lent as: a read that the primary serves for want of a fresh replica
// has a conn of role Primary.
func (c *Conn) Role() wire.Role { return c.role }

// Start says that a request is being sent. It stamps the time that Done measures from. One that may move is a
// read that the session would send to another server: it ends as soon as its server is known to hang, unless
// Begun was set.
func (c *Conn) Start(mayMove bool) {
	c.fixed.Store(!mayMove)
	c.started.Store(max(int64(c.server.b.now()), 1))
}

// Begun is to be set once some of the reply has gone to the client (see wire.Options).
func (c *Conn) Begun() *atomic.Bool { return &c.fixed }

// Done says that the reply to the request ended, and how: nil, a *wire.ServerError, or a
// *wire.SendError when the conn broke. It feeds the server's moving average and its health: a
// broken conn has the server probed at once, and a primary that answers "read only" is not the
// primary until a later probe says so again.
func (c *Conn) Done(err error) {
	s, now := c.server, c.server.b.now()
	took := time.Duration(0)
	if began := c.started.Swap(0); began > 0 {
		took = now - time.Duration(began)
	}
	s.requests.Add(1)
	if err == nil {
		s.lastReply.Store(int64(now))
		s.speed.observe(now, took)
		return
	}
	var refused *wire.ServerError
	var own *wire.Error
	switch {
	case errors.Is(err, wire.ErrClientGone) || errors.Is(err, context.Canceled) || errors.As(err, &own):
		// the server is not to blame
	case errors.As(err, &refused):
		s.lastReply.Store(int64(now))
		s.speed.keep(now, took)
		switch refused.Condition() {
		case wire.ReadOnlyServer, wire.Offline:
			if c.role == wire.Primary {
				s.shard.doubt(s, "it answers: "+refused.Message)
			}
		case wire.ReadOnlyTx, wire.GoingAway: // by the client's own choice, or just this conn; or not
			s.poke()
		}
	default:
		s.errors.Add(1)
		s.speed.punish(now, took)
		if c.role == wire.Primary {
			s.shard.doubt(s, err.Error())
		}
		s.poke()
	}
}

// Adopt is the conn's own. Like all questions of Leat's own it counts as under way until it is answered,
// so that it ends when the server hangs.
func (c *Conn) Adopt(want *wire.State) error {
	if c.Conn.State() == want {
		return c.Conn.Adopt(want)
	}
	c.Start(c.role == wire.Replica)
	defer c.started.Store(0)
	return c.Conn.Adopt(want)
}

// Ping is the conn's own.
func (c *Conn) Ping() error {
	c.Start(false)
	defer c.started.Store(0)
	return c.Conn.Ping()
}

// commands is the conn of a server that has MySQL's commands: others are never asked what those tell.
func (c *Conn) commands() wire.CommandConn { return c.Conn.(wire.CommandConn) }

// CloseStatement is the conn's own.
func (c *Conn) CloseStatement(s *wire.Statement) error { return c.commands().CloseStatement(s) }

// KnownInsertID is the conn's own.
func (c *Conn) KnownInsertID() string { return c.commands().KnownInsertID() }

// HasInsertID is the conn's own.
func (c *Conn) HasInsertID(v string) bool { return c.commands().HasInsertID(v) }

// ClearCounts is the conn's own.
func (c *Conn) ClearCounts() error {
	c.Start(false)
	defer c.started.Store(0)
	return c.commands().ClearCounts()
}

// Warnings are the conn's own.
func (c *Conn) Warnings() ([][]string, error) {
	c.Start(false)
	defer c.started.Store(0)
	return c.commands().Warnings()
}

// LastInsertID is the conn's own.
func (c *Conn) LastInsertID() (string, error) {
	c.Start(false)
	defer c.started.Store(0)
	return c.commands().LastInsertID()
}

// SetLastInsertID is the conn's own.
func (c *Conn) SetLastInsertID(v string) error {
	c.Start(false)
	defer c.started.Store(0)
	return c.commands().SetLastInsertID(v)
}

// Learn is the conn's own.
func (c *Conn) Learn(names []string) error {
	c.Start(false)
	defer c.started.Store(0)
	return c.Conn.Learn(names)
}

// TakeTrackers is the conn's own.
func (c *Conn) TakeTrackers(client wire.Client, names []string) error {
	c.Start(false)
	defer c.started.Store(0)
	return c.commands().TakeTrackers(client, names)
}

// nearlyClosed reports whether the server may close the conn any moment, since it has been idle for so long: a
// request might cross with the goodbye.
func (c *Conn) nearlyClosed(idle time.Duration) bool {
	t := c.Conn.IdleTimeout()
	return t > 0 && idle > t/2
}

// Release gives the conn back to its pool. The caller guarantees that it is clean: no transaction,
// no pin. (A conn whose last reply leaves a transaction open or in doubt is closed all the same.)
// The ticket is good for Reacquire until somebody else is lent the conn.
func (c *Conn) Release() Ticket {
	dirty := c.Conn.Tx() != wire.TxIdle
	return c.server.pool.put(c, dirty)
}

// Keep is Release for a conn that the session may want back: it knows warnings, or an error, that can be asked
// about. As long as there are other conns, or room for one, those are lent first, for a second.
func (c *Conn) Keep() Ticket {
	p := &c.server.pool
	p.mu.Lock()
	c.keep = true
	p.mu.Unlock()
	return c.Release()
}

// Discard closes the conn. Why is counted, and logged at debug level.
func (c *Conn) Discard(why string) { c.server.pool.discard(c, why) }

// Target names the conn, as it is lent now, for Backend.Cancel.
func (c *Conn) Target() Target {
	p := &c.server.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	return Target{c, c.gen}
}

// Of reports whether the target is that conn, lent now or earlier.
func (t Target) Of(c *Conn) bool { return t.conn == c }

// Abandon closes the conn, if it is still lent as the target says. It is for a borrower that lost track of it.
func (t Target) Abandon(why string) {
	if t.conn != nil && t.conn.server.pool.retireLent(t, why) {
		t.conn.Discard(why)
	}
}

// Reacquire lends the very same conn again, if nobody was lent it since the ticket was made and it
// is still good; else nil. It keeps values that live on the conn (LAST_INSERT_ID, warnings) in reach.
func (b *Backend) Reacquire(t Ticket) *Conn {
	if t.conn == nil || !t.conn.server.pool.takeTicket(t) {
		return nil
	}
	if t.conn.nearlyClosed(b.now()-t.conn.idleSince) || !t.conn.Conn.Idle() {
		t.conn.Discard("closed by the server")
		return nil
	}
	return t.conn
}

// FreeStatements closes the prepared statements on the server's idle conns, which count towards a bound
// that the server sets to all of them. It ends by the deadline.
func (s *Server) FreeStatements(deadline time.Time) {
	for _, c := range s.pool.takeAllIdle() {
		if err := c.Conn.Reset(deadline); err != nil {
			c.Discard("reset failed")
			continue
		}
		c.Release()
	}
}

// Cancel asks the server, over a side connection, to stop what the conn runs (KILL QUERY). A conn
// that was released meanwhile is left alone, and one that is released after it is closed: the
// order may reach the server late and must not hit the next borrower.
func (b *Backend) Cancel(ctx context.Context, t Target) error {
	if t.conn == nil || !t.conn.server.pool.retireLent(t, "cancelled") {
		return nil
	}
	s := t.conn.server
	ctx, cancel := context.WithTimeout(ctx, s.settings.Load().connectTimeout)
	defer cancel()
	return s.dialer.Cancel(ctx, t.conn.address, s.wireLogin(t.conn.login, ""), t.conn.Conn.ID())
}
