package pgwire

// copyin.go: COPY FROM STDIN. Both sides may speak at a time: what the client sends is passed on by a goroutine of its
// own, which lasts as long as the COPY.

import (
	"fmt"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
)

// feed passes a client's data on to a server.
type feed struct {
	from *Client
	to   *Conn
	// extended is whether the COPY was begun by an Execute, whose answer servers keep back up to a Flush or Sync.
	extended bool
	// stop is set when the server wants no more.
	stop atomic.Bool
	done chan struct{}

	// to be read when done is closed
	err  error // the client went away, or sent what has no place in a COPY
	kind byte  // the type of that message; 0 otherwise
	left int   // bytes of the message under way that have not been passed on
}

// copyIn passes on the server's wish for data, and starts to feed it.
func (r *relay) copyIn(n int) error {
	r.firm = true
	if err := r.pass(n); err != nil {
		return err
	}
	if err := r.join(nil); err != nil { // what was written beside is part of the request
		return err
	}
	if err := r.to.Flush(); err != nil {
		return err
	}
	r.endFeed()
	r.to.in.Discard(len(r.req.Frames)) // the request itself: the data comes after it
	r.req.Frames = nil
	r.feed = &feed{from: r.to, to: r.conn, extended: r.current().kind == reqExecute, done: make(chan struct{})}
	go r.feed.run()
	return nil
}

// endFeed ends the goroutine that feeds the server: the COPY is over. A message under way is filled up, so that the
// server, which doesn't look at it any more, finds the next.
func (r *relay) endFeed() {
	f := r.feed
	if f == nil {
		return
	}
	r.feed = nil
	select {
	case <-f.done:
	default:
		f.stop.Store(true)
		r.to.nc.SetReadDeadline(past)
		<-f.done
		r.to.nc.SetReadDeadline(time.Time{})
	}
	if f.err != nil {
		r.conn.broken = f.err
		r.astray(f.kind)
	}
	r.to.drop = f.left
	var zeros [1024]byte
	for f.left > 0 && r.conn.broken == nil {
		n := min(f.left, len(zeros))
		r.conn.out.Write(zeros[:n])
		f.left -= n
	}
	r.conn.out.Flush()
}

// astray tells a client what it sent in the place of data, as a server does that hangs up then.
func (r *relay) astray(kind byte) {
	if kind == 0 || kind == reqTerminate {
		return
	}
	r.to.out.Write(appendError(nil, severityError, "08P01", fmt.Sprintf("unexpected message type 0x%02X during COPY from stdin", kind)))
	r.to.out.Write(appendError(nil, severityFatal, "08P01", "terminating connection because protocol synchronization was lost"))
	r.to.out.Flush()
}

// run feeds the server up to the end of the client's data.
func (f *feed) run() {
	defer close(f.done)
	if f.err = f.copy(); f.err != nil {
		f.to.nc.SetReadDeadline(past) // the relay waits for a server that waits for data
		return
	}
	f.to.out.Flush()
}

func (f *feed) copy() error {
	for {
		if !f.need(headerSize) {
			return f.gone()
		}
		kind, n, err := f.from.in.header()
		if err == nil && n > f.from.bound(kind) {
			err = wire.ErrTooLarge
		}
		if err != nil {
			return clientGone(err)
		}
		switch kind {
		case reqFlush, reqSync: // mean nothing here
			if !f.need(headerSize + n) {
				return f.gone()
			}
			f.from.in.Discard(headerSize + n)
			continue
		case msgCopyData, msgCopyDone, reqCopyFail:
		default:
			f.kind = kind
			return clientGone(malformed("a message that is none of a COPY's"))
		}
		if f.left = headerSize + n; !f.message() {
			return f.gone()
		}
		if kind == msgCopyData {
			continue
		}
		if f.extended {
			f.to.out.message(reqFlush, nil)
		}
		return nil
	}
}

// message passes one message on; false: it was stopped in it.
func (f *feed) message() bool {
	for {
		have := min(f.left, f.from.in.Buffered())
		f.to.out.Write(f.from.in.Bytes()[:have])
		f.from.in.Discard(have)
		if f.left -= have; f.left == 0 {
			return true
		}
		if !f.need(1) {
			return false
		}
	}
}

// need waits for n bytes of the client's. What is there for the server goes out first. It reports false when the
// feed is to stop, or the client has gone: see gone.
func (f *feed) need(n int) bool {
	in := f.from.in
	if in.Buffered() >= n {
		return true
	}
	if f.to.out.Flush() != nil { // the relay learns why
		return false
	}
	f.from.await()
	defer f.from.arrived()
	for {
		err := in.Need(n)
		switch {
		case err == nil:
			return true
		case f.stop.Load():
			return false
		case !isTimeout(err):
			f.err = clientGone(err)
			return false
		}
		f.from.nc.SetReadDeadline(time.Time{}) // of Interrupt, which ends no request
		if f.stop.Load() {
			return false
		}
	}
}

// gone is the error of a client that went away; nil if it didn't.
func (f *feed) gone() error { return f.err }

// copyFailed finds out whether the server has read the Sync of a Run whose COPY failed: as part of the COPY, or as the
// Sync that it is. It is asked, behind a Sync of Leat's own, for the answer to an empty query.
func (r *relay) copyFailed() error {
	c, s := r.conn, &r.conn.sender
	synced := len(s.expect) > 0 && s.expect[len(s.expect)-1].kind == reqSync
	for i := r.next; i < len(s.expect); i++ {
		c.undo(&s.expect[i])
	}
	r.next = len(s.expect)
	c.out.message(reqSync, nil)
	c.out.Write(appendQuery(nil, ""))
	if err := c.out.Flush(); err != nil {
		return err
	}
	syncs, err := r.countSyncs()
	if err != nil {
		return err
	}
	c.unsynced, c.stmts.unnamed = false, nil
	if synced && syncs > 1 {
		r.write(appendReady(r.to.scratch[:0], c.tx))
		return nil
	}
	r.to.skipping = true
	return nil
}

// countSyncs counts how many Syncs the server answers before it comes to an empty query, and reads that's answer.
func (r *relay) countSyncs() (n int, err error) {
	c := r.conn
	for empty := false; ; {
		kind, p, err := c.in.frame(maxHeld)
		if err != nil {
			return 0, err
		}
		switch kind {
		case repReadyForQuery:
			if c.tx, err = parseReady(p); err != nil {
				return 0, err
			}
			if empty {
				c.in.discard(p)
				return n, nil
			}
			n++
		case repEmptyQuery:
			empty = true
		case repNotice, repNotification:
			r.to.out.Write(c.in.Bytes()[:headerSize+len(p)])
		case repParameterStatus:
			tell, err := c.note(p)
			if err != nil {
				return 0, err
			}
			if tell {
				r.to.out.Write(c.in.Bytes()[:headerSize+len(p)])
			}
		default:
			return 0, malformed("answer after a failed COPY")
		}
		c.in.discard(p)
	}
}
