package pgwire

// client_read.go: reading a client's requests, and passing on those that are too long to be held.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"leat/proxy/wire"
)

// wholeRequest is the longest request, in bytes, that is taken into memory to be routed by its text and sent
// again elsewhere. A longer Run is cut into several; a longer message is streamed to the primary.
const wholeRequest = 1 << 20

// streamedHead is how much of a longer message is in memory while it is routed.
const streamedHead = 8 << 10

// maxNamedParse is the longest Parse, in bytes, of a statement with a name: its text has to be held.
const maxNamedParse = 16 << 20

// maxSmall bounds the messages that carry nothing but names, in bytes, as PostgreSQL does.
const maxSmall = 10_000

// maxSteps bounds the messages of a Run that are held at a time.
const maxSteps = 4096

// ReadRequest implements wire.Client.
func (c *Client) ReadRequest(r *wire.Request) error {
	*r = wire.Request{}
	c.ends, c.held = false, nil
	if !c.hurried.IsZero() {
		c.hurried = time.Time{}
		c.nc.SetReadDeadline(time.Time{})
	}
	for {
		if err := c.dropRest(); err != nil {
			return err
		}
		kind, n, err := c.in.header()
		switch {
		case errors.Is(err, wire.ErrMalformed):
			return c.lost("invalid message length")
		case err != nil:
			return c.interrupted(err)
		case n > c.bound(kind):
			return c.tooLong(kind)
		}
		if found, err := c.sort(r, kind, n); found || err != nil {
			return err
		}
	}
}

// sort takes one message up: it is a request, or a Run begins with it (found), or it is dropped.
func (c *Client) sort(r *wire.Request, kind byte, n int) (found bool, err error) {
	switch kind {
	case reqTerminate:
		r.Kind = wire.Quit
		return true, c.readMessage(r, n)
	case reqSync:
		if c.unsynced && !c.skipping || n > 0 { // the server says what is wrong with a long one
			c.skipping = false
			return true, c.readRun(r)
		}
		c.skipping = false
		return false, c.answerSync(n)
	case reqFlush:
		if n > 0 && !c.skipping {
			return true, c.readRun(r)
		}
		c.drop = headerSize + n
		return false, nil
	case msgCopyData, msgCopyDone, reqCopyFail: // of a COPY that has failed
		c.drop = headerSize + n
		return false, nil
	}
	if c.skipping {
		c.drop = headerSize + n
		return false, nil
	}
	switch kind {
	case reqParse, reqBind, reqDescribe, reqExecute, reqClose:
		return true, c.readRun(r)
	case reqQuery, reqFunctionCall:
		return true, c.readSimple(r, kind, n)
	}
	return false, c.lost("invalid frontend message type")
}

// readSimple takes up a simple query or a function call.
func (c *Client) readSimple(r *wire.Request, kind byte, n int) error {
	if err := c.readMessage(r, n); err != nil {
		return err
	}
	c.ends = true
	r.Kind = wire.Passthrough
	if kind == reqFunctionCall {
		return nil
	}
	c.stmts.unnamed = nil
	sql := r.Frames[headerSize:]
	end := bytes.IndexByte(sql, 0)
	switch {
	case end < 0 && r.Long():
		r.Kind, r.SQL = wire.Query, sql
	case end >= 0 && end == len(sql)-1 && !r.Long():
		r.Kind, r.SQL = wire.Query, sql[:end]
	}
	return nil // else the server says what is wrong with it, before it runs any of it
}

// bound is the longest payload of a kind of message that is taken, in bytes.
func (c *Client) bound(kind byte) int {
	switch kind {
	case reqParse, reqBind, reqQuery, reqFunctionCall, msgCopyData, reqCopyFail:
		return c.limit
	}
	return maxSmall
}

// lost is the error of a client that can't be understood any more.
func (c *Client) lost(why string) error {
	c.fatal = true
	return wire.Errorf(wire.CodeMalformed, "%s", why)
}

func (c *Client) tooLong(kind byte) error {
	c.fatal = true
	if c.bound(kind) == maxSmall {
		return wire.Errorf(wire.CodeMalformed, "invalid message length")
	}
	return wire.Errorf(wire.CodeTooLarge, "a message is longer than the %d bytes that Leat takes", c.limit)
}

// answerSync answers a Sync that nothing is to be synchronised by.
func (c *Client) answerSync(n int) error {
	if err := c.need(headerSize + n); err != nil {
		return err
	}
	c.in.Discard(headerSize + n)
	c.sending.Lock()
	defer c.sending.Unlock()
	c.sendReady()
	if c.in.Buffered() > 0 {
		return nil
	}
	return c.Flush()
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
	return now.Before(end) && c.nc.SetReadDeadline(end) == nil
}

// need waits for n bytes of a request that has begun. The buffer grows in steps that double: a Run is gathered
// message by message.
func (c *Client) need(n int) error {
	if c.in.Buffered() >= n {
		return nil
	}
	c.await()
	defer c.arrived()
	if n > streamedHead && n > c.in.Buffered() {
		size := 2 * streamedHead
		for size < n {
			size *= 2
		}
		c.in.Reserve(size)
	}
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

// interrupted turns Interrupt's deadline into the error that says so, and lifts it.
func (c *Client) interrupted(err error) error {
	if !isTimeout(err) {
		return err
	}
	c.nc.SetReadDeadline(time.Time{})
	return wire.ErrInterrupted
}

// readMessage takes a message into memory, or only its beginning where it is long.
func (c *Client) readMessage(r *wire.Request, n int) error {
	size := headerSize + n
	if size <= wholeRequest {
		if err := c.need(size); err != nil {
			return err
		}
		r.Frames = c.in.Bytes()[:size]
		return nil
	}
	if err := c.need(streamedHead); err != nil {
		return err
	}
	r.Frames = c.in.Bytes()[:min(size, c.in.Buffered())]
	r.Rest = size - len(r.Frames)
	return nil
}

// peek waits for the header that stands at that place of a Run.
func (c *Client) peek(at int) (kind byte, n int, err error) {
	if err := c.need(at + headerSize); err != nil {
		return 0, 0, err
	}
	b := c.in.Bytes()[at:]
	n = int(int32(binary.BigEndian.Uint32(b[1:]))) - lengthSize
	switch {
	case n < 0:
		return b[0], 0, c.lost("invalid message length")
	case n > c.bound(b[0]):
		return b[0], 0, c.tooLong(b[0])
	}
	return b[0], n, nil
}

// readRun takes up a Run. It ends in a Sync or a Flush, or where it has become long, or before a message that is
// none of the extended protocol's.
func (c *Client) readRun(r *wire.Request) error {
	r.Kind = wire.Run
	run := &c.run
	run.reset()
	at := 0
	for open := true; open; {
		kind, n, err := c.peek(at)
		if err != nil {
			return err
		}
		size := headerSize + n
		if !isExtended(kind) || at > 0 && at+size > wholeRequest || len(run.steps) == maxSteps {
			break
		}
		held, err := c.isHeld(kind, at, size)
		if err != nil {
			return err
		}
		if !held {
			if err := c.readMessage(r, n); err != nil {
				return err
			}
			at = len(r.Frames)
			c.step(kind, c.in.Bytes()[:at], 0, true)
			break
		}
		if err := c.need(at + size); err != nil {
			return err
		}
		c.step(kind, c.in.Bytes()[at:at+size], at, false)
		at += size
		open = kind != reqSync && kind != reqFlush
		c.ends = kind == reqSync
	}
	r.Frames = c.in.Bytes()[:at]
	r.Stmts, r.Executes, r.Unsynced = run.stmts, run.executes, !c.ends
	return nil
}

// isHeld reports whether a message is taken into memory as a whole. A long one is the first of its Run.
func (c *Client) isHeld(kind byte, at, size int) (bool, error) {
	if size <= wholeRequest {
		return true, nil
	}
	if kind != reqParse || size > maxNamedParse {
		return false, nil
	}
	err := c.need(at + headerSize + 1)
	return err == nil && c.in.Bytes()[at+headerSize] != 0, err
}

// isExtended reports whether a message is one of a Run.
func isExtended(kind byte) bool {
	switch kind {
	case reqParse, reqBind, reqDescribe, reqExecute, reqClose, reqSync, reqFlush:
		return true
	}
	return false
}

// Finish implements wire.Client.
func (c *Client) Finish(r *wire.Request) error {
	var err error
	if r.Frames != nil {
		c.in.Discard(len(r.Frames))
		c.drop = r.Rest // refused before it was streamed
		err = c.dropRest()
	}
	r.Frames, r.SQL = nil, nil
	if r.Kind == wire.Run {
		c.settle()
	}
	return err
}

// dropRest drops what is left of a message that nobody wants.
func (c *Client) dropRest() error {
	if c.drop == 0 {
		return nil
	}
	sink := newWriter(nowhere{})
	defer sink.Flush()
	n := c.drop
	c.drop = 0
	return c.copyBytes(n, &sink)
}

// nowhere takes the bytes of a message that is not sent on.
type nowhere struct{ net.Conn }

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// copyRest streams the rest of a long message to a server.
func (c *Client) copyRest(r *wire.Request, to *writer) error {
	c.in.Discard(len(r.Frames))
	r.Frames = nil
	if err := c.copyBytes(r.Rest, to); err != nil {
		return err
	}
	return to.Err()
}

// copyBytes copies what the client sends, to its end even if the server takes no more: what is left of a
// request must not be read as the next one.
func (c *Client) copyBytes(left int, to *writer) error {
	for left > 0 {
		have := min(left, c.in.Buffered())
		to.Write(c.in.Bytes()[:have])
		c.in.Discard(have)
		if left -= have; left == 0 {
			break
		}
		if err := c.need(1); err != nil {
			return clientGone(err)
		}
	}
	return nil
}

func clientGone(err error) error { return errors.Join(wire.ErrClientGone, err) }
