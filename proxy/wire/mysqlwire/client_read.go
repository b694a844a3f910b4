package mysqlwire

// client_read.go: reading a client's requests, and passing on those that are too long to be held.

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"leat/proxy/wire"
)

// wholeRequest is the longest request, in bytes, that is taken into memory to be routed by its text
// and sent again elsewhere. A longer one is streamed to the primary.
const wholeRequest = 1 << 20

// streamedHead is how much of a longer request is in memory while it is routed.
const streamedHead = 8 << 10

// ReadRequest implements wire.Client.
func (c *Client) ReadRequest(r *wire.Request) error {
	*r = wire.Request{}
	c.seq = 0 // of an error that isn't an answer
	if !c.hurried.IsZero() {
		c.hurried = time.Time{}
		c.nc.SetReadDeadline(time.Time{})
	}
	n, seq, err := c.in.header()
	if err != nil {
		return c.interrupted(err)
	}
	c.seq, c.lastSeq = seq+1, seq
	if n == 0 {
		r.Kind = wire.Unknown
		r.Frames = c.in.Bytes()[:headerSize]
		return nil
	}
	if n > c.limit {
		return wire.ErrTooLarge // the client isn't in step any more: the session ends
	}
	if err := c.readHead(r, n); err != nil {
		return err
	}
	c.sort(r)
	if r.Kind == wire.LongData && r.Long() {
		return c.readAll(r)
	}
	return nil
}

// arrivalTime is how long a request may go on arriving once Interrupt was called.
const arrivalTime = time.Minute

// goOn reports whether a read inside a request, which failed, is to be tried again. Interrupt ends waits for
// requests, and not those that have begun to arrive; but it isn't kept waiting for ever.
func (c *Client) goOn(err error) bool {
	if !isTimeout(err) {
		return false
	}
	now := time.Now()
	if c.hurried.IsZero() {
		c.hurried = now
	}
	end := c.hurried.Add(arrivalTime)
	if !now.Before(end) {
		return false
	}
	return c.nc.SetReadDeadline(end) == nil
}

// need waits for n bytes of a request that has begun.
func (c *Client) need(n int) error {
	if c.in.Buffered() >= n {
		return nil
	}
	c.await()
	defer c.arrived()
	err := c.in.Need(n)
	for err != nil && c.goOn(err) {
		err = c.in.Need(n)
	}
	return err
}

// await notes that the client is waited for inside a request, until arrived is called.
func (c *Client) await() { c.in.Began = &c.reading }

func (c *Client) arrived() {
	c.in.Began = nil
	c.reading.Store(0)
}

// nextHeader waits for the header of a request's next frame.
func (c *Client) nextHeader() (n int, seq byte, err error) {
	if err := c.need(headerSize); err != nil {
		return 0, 0, err
	}
	return c.in.header()
}

// interrupted turns Interrupt's deadline into the error that says so, and lifts it.
func (c *Client) interrupted(err error) error {
	if !isTimeout(err) {
		return err
	}
	c.nc.SetReadDeadline(time.Time{})
	return wire.ErrInterrupted
}

// readHead takes a request into memory, or only its beginning where it is long.
func (c *Client) readHead(r *wire.Request, n int) error {
	size := headerSize + n
	if n > wholeRequest {
		if err := c.need(streamedHead); err != nil {
			return err
		}
		r.Frames = c.in.Bytes()[:min(size, c.in.Buffered())]
		r.Rest = size - len(r.Frames)
		if n == maxFrame {
			r.Rest = -1
		}
		return nil
	}
	if err := c.need(size); err != nil {
		return err
	}
	r.Frames = c.in.Bytes()[:size]
	return nil
}

// readAll takes a long piece of a parameter into memory.
func (c *Client) readAll(r *wire.Request) error {
	n, _ := frameLength(r.Frames)
	if n == maxFrame {
		return wire.ErrTooLarge
	}
	if err := c.need(headerSize + n); err != nil {
		return err
	}
	r.Frames, r.Rest = c.in.Bytes()[:headerSize+n], 0
	return nil
}

// Finish implements wire.Client.
func (c *Client) Finish(r *wire.Request) error {
	var err error
	switch {
	case !r.Long():
		c.in.Discard(len(r.Frames))
	case r.Frames != nil: // refused before it was streamed
		sink := newWriter(nowhere{})
		err = c.copyRest(r, &sink)
		sink.Flush()
	}
	r.Frames, r.SQL = nil, nil
	return err
}

// nowhere takes the bytes of a request that is not sent on.
type nowhere struct{ net.Conn }

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

var kinds = map[byte]wire.Kind{
	ComQuit: wire.Quit, ComInitDB: wire.UseDatabase, ComQuery: wire.Query, ComPing: wire.Ping,
	ComFieldList: wire.Passthrough, ComStatistics: wire.Passthrough, ComRefresh: wire.Passthrough, ComDebug: wire.Passthrough,
	ComProcessInfo: wire.Passthrough, ComProcessKill: wire.KillClient, ComChangeUser: wire.ChangeUser,
	ComStmtPrepare: wire.Prepare, ComStmtExecute: wire.Execute, ComStmtSendLongData: wire.LongData, ComStmtClose: wire.CloseStmt,
	ComStmtReset: wire.ResetStmt, ComStmtFetch: wire.Fetch, ComSetOption: wire.SetOption, ComResetConnection: wire.ResetSession,
}

// sort tells what a command asks for.
func (c *Client) sort(r *wire.Request) {
	p := r.Frames[headerSize:]
	kind, ok := kinds[p[0]]
	if !ok {
		r.Kind = wire.Unknown
		return
	}
	r.Kind = kind
	switch kind {
	case wire.Query, wire.UseDatabase:
		r.SQL = p[1:]
	case wire.Prepare:
		r.SQL = p[1:]
		c.nextID++
		r.Stmt = &wire.Statement{ID: c.nextID, Wire: &stmt{id: c.nextID}}
	case wire.KillClient:
		if len(p) >= 5 {
			r.Target = binary.LittleEndian.Uint32(p[1:])
		}
	case wire.SetOption:
		if len(p) < 3 {
			r.Kind = wire.Unknown
			return
		}
		r.Target = uint32(binary.LittleEndian.Uint16(p[1:]))
	case wire.Execute, wire.Fetch, wire.ResetStmt, wire.CloseStmt, wire.LongData:
		if len(p) < 5 {
			return
		}
		r.Target = binary.LittleEndian.Uint32(p[1:])
		r.Stmt = c.stmts[r.Target]
		if r.Stmt != nil && kind == wire.Execute {
			r.SQL = nil
			r.Cursor = len(p) > executeFlags && p[executeFlags] != 0
		}
	}
}

// copyFrame copies the client's next frame to a server and returns its payload's length.
func (c *Client) copyFrame(to *writer) (n int, err error) {
	n, seq, err := c.nextHeader()
	if err != nil {
		return 0, clientGone(err)
	}
	c.lastSeq = seq
	return n, c.copyBytes(headerSize+n, to)
}

// copyBytes copies what the client sends, to its end even if the server takes no more: what is left of a
// request must not be read as the next one.
func (c *Client) copyBytes(left int, to *writer) error {
	for {
		have := min(left, c.in.Buffered())
		to.Write(c.in.Bytes()[:have])
		c.in.Discard(have)
		if left -= have; left == 0 {
			return nil
		}
		if err := c.need(1); err != nil {
			return clientGone(err)
		}
	}
}

// copyRest streams the rest of a long request to a server.
func (c *Client) copyRest(r *wire.Request, to *writer) error {
	n, _ := frameLength(r.Frames)
	head := len(r.Frames)
	c.in.Discard(head)
	r.Frames = nil
	total := n
	left := headerSize + n - head
	for {
		if err := c.copyBytes(left, to); err != nil {
			return err
		}
		if n < maxFrame {
			c.seq = c.lastSeq + 1
			return to.Err()
		}
		var err error
		if n, c.lastSeq, err = c.nextHeader(); err != nil {
			return clientGone(err)
		}
		if total += n; total > c.limit {
			return wire.ErrTooLarge
		}
		left = headerSize + n
	}
}

func clientGone(err error) error {
	return errors.Join(wire.ErrClientGone, err)
}
