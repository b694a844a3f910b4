package pgwire

// client.go: one client's connection. What it sends is read in client_read.go, what it is told is in client_send.go.

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
	"leat/proxy/wire/stream"
)

// Client is a client's connection. It implements wire.Client.
type Client struct {
	nc    net.Conn
	in    reader
	out   writer
	limit int // longest message that is taken, in bytes

	accepted *accepted // what the client said when it logged in

	stmts clientStmts
	run   run // the Run that is being served
	// status is the transaction state that the client was last told, or would have been.
	status wire.TxState
	// settings are those whose values the client is to be told before it is told that status.
	settings []wire.Var
	// ends is whether the answer to the request that is being served ends in a ReadyForQuery.
	ends bool
	// unsynced is whether the last Run ended without a Sync, and so belongs to the conn that served it.
	unsynced bool
	// skipping is whether an error was the answer to a Run that ended in a Flush: all is dropped up to a Sync.
	skipping bool
	// fatal is whether the client can't be understood any more: the next error is the last.
	fatal bool
	// held are the answers that came before an error that was held back: of messages that did succeed.
	held []byte
	// after is what the server said of its own behind such an error.
	after []byte
	// drop is how many bytes are left of a message that nobody wants.
	drop int
	// hurried is when Interrupt first hit a request that was arriving; zero if it hasn't
	hurried time.Time
	torn    bool // a message was begun and can't be ended
	scratch [64]byte

	// sending guards out where Watch may write beside a ReadRequest
	sending sync.Mutex

	closed  atomic.Bool
	writing atomic.Int64 // when a write that hasn't ended began, in ns since 1970; 0: none
	reading atomic.Int64 // when the wait for more of a request began that hasn't arrived; 0: none
}

// newClient makes a Client of an accepted connection, which waits for Admit or Refuse.
func newClient(a *accepted, maxPacket int) *Client {
	c := &Client{nc: a.nc, in: a.in, out: a.out, limit: maxPacket, accepted: a}
	c.out.Began = &c.writing
	return c
}

// Buffered implements wire.Client.
func (c *Client) Buffered() bool { return c.in.Buffered() > 0 }

// Torn implements wire.Client.
func (c *Client) Torn() bool { return c.torn }

// err is ErrClientGone once sending has failed.
func (c *Client) err() error {
	if c.out.Err() != nil {
		return wire.ErrClientGone
	}
	return nil
}

// Flush implements wire.Client.
func (c *Client) Flush() error {
	c.out.Flush()
	return c.err()
}

// Gone implements wire.Client.
func (c *Client) Gone() bool { return c.closed.Load() || c.in.Gone() }

// Stalled implements wire.Client.
func (c *Client) Stalled(now time.Time) time.Duration { return stream.Since(now, &c.writing) }

// Withheld implements wire.Client.
func (c *Client) Withheld(now time.Time) time.Duration { return stream.Since(now, &c.reading) }

// Interrupt ends a wait for the client's next request, from another goroutine.
func (c *Client) Interrupt() { c.nc.SetReadDeadline(past) }

// past is a deadline that ends a read or a write at once.
var past = time.Unix(1, 0)

// Close implements wire.Client.
func (c *Client) Close() error {
	c.closed.Store(true)
	return c.nc.Close()
}
