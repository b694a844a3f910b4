package pgwire

// reply.go: passing a reply on from a server to a client. Messages are not decoded: only their headers are looked at,
// and the few that tell what became of the request.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"leat/proxy/wire"
)

// relay is one reply on its way.
type relay struct {
	conn  *Conn
	req   *wire.Request
	to    *Client
	out   *wire.Outcome
	begun *atomic.Bool // see wire.Options
	next  int          // the first of the sender's expectations that isn't met
	mark  int          // what was written to the client before the reply
	// firm is whether something was passed on that can't be taken back, since it tells of an effect.
	firm bool
	// failed is whether an error has come: what follows is answered by the next Sync.
	failed bool
	// held is whether that error was not passed on.
	held bool
	// urgent is whether a notice was passed on, which doesn't wait for the rest.
	urgent bool
	// alone is whether the request began its transaction; again is whether it failed for a statement that the
	// conn has lost, or had in an old form.
	alone, again bool
	dropped      int        // how many statements a DEALLOCATE has dropped
	feed         *feed      // what the client sends during a COPY; nil: nothing
	writing      chan error // tells when what is written beside has been
}

func (r *relay) reset(c *Conn, req *wire.Request, to *Client, o *wire.Options) {
	alone := c.tx == wire.TxIdle && !c.unsynced
	to.held = nil
	to.tellAfter()
	*r = relay{conn: c, req: req, to: to, out: &c.result, begun: o.Begun, mark: to.out.Total(), alone: alone}
}

// run passes the whole reply on. An error that nothing firm was sent before is not passed on: it is in out.Err with
// out.Replied false.
func (r *relay) run() error {
	defer r.endFeed()
	for {
		r.give()
		if r.next == len(r.conn.sender.expect) {
			if !r.failed {
				r.to.run.done = len(r.to.run.steps)
			}
			return r.to.err()
		}
		if err := r.answer(); err != nil {
			return err
		}
	}
}

// current is the answer that comes next.
func (r *relay) current() *expect { return &r.conn.sender.expect[r.next] }

// met notes that an answer is complete.
func (r *relay) met() {
	x := r.current()
	r.next++
	if x.step >= 0 && !r.failed {
		r.to.run.done = x.step + 1
	}
}

// give writes the answers that are Leat's, up to the next one that the server gives.
func (r *relay) give() {
	for r.next < len(r.conn.sender.expect) && r.current().given {
		switch x := r.current(); x.kind {
		case reqParse:
			r.write(appendHeader(r.to.scratch[:0], repParseComplete, 0))
		case reqClose:
			r.write(appendHeader(r.to.scratch[:0], repCloseComplete, 0))
		case reqSync:
			r.write(appendReady(r.to.scratch[:0], r.conn.tx))
		}
		r.met()
	}
}

// write sends a message of Leat's own to the client.
func (r *relay) write(p []byte) {
	r.to.out.Write(p)
	r.replied()
}

// replied notes that something of the reply went to the client.
func (r *relay) replied() {
	if r.out.Replied {
		return
	}
	r.out.Replied = true
	if r.begun != nil {
		r.begun.Store(true)
	}
}

// answer passes on the server's next message, or several that are rows.
func (r *relay) answer() error {
	in := r.conn.in
	if in.Buffered() == 0 && r.urgent {
		r.urgent = false
		if err := r.to.Flush(); err != nil {
			return err
		}
	}
	kind, n, err := in.header()
	if err != nil {
		return err
	}
	switch kind {
	case repDataRow, msgCopyData:
		return r.rows(n)
	case repNotice, repNotification:
		return r.async(n)
	case repParameterStatus:
		return r.parameter(n)
	case repError:
		return r.fail()
	}
	return r.complete(kind, n)
}

// complete takes a message that answers one of the request's.
func (r *relay) complete(kind byte, n int) error {
	x := r.current()
	ok, last := x.takes(kind)
	if !ok || x.err != nil {
		return malformed(fmt.Sprintf("answer %q to a message %q", kind, x.kind))
	}
	switch kind {
	case repCommandComplete:
		return r.command(last)
	case repReadyForQuery:
		return r.ready()
	case repCopyIn:
		return r.copyIn(n)
	case repParseComplete:
		if x.stmt != nil {
			r.conn.stmts.unnamed = x.stmt
		}
	case repRowDescription, repNoData:
		if x.entry != nil && x.kind == describeStatement {
			if err := r.learnForm(x, kind, n); err != nil {
				return err
			}
		}
	case repEmptyQuery, repPortalSuspended, repCopyOut, repFunctionCall:
		r.firm = true
	}
	if last {
		r.met()
	}
	if x.hidden {
		return r.skip(n)
	}
	return r.pass(n)
}

// takes reports whether a kind of message answers what is expected, and whether it is the last that does.
func (x *expect) takes(kind byte) (ok, last bool) {
	switch x.kind {
	case reqParse:
		return kind == repParseComplete, true
	case reqBind:
		return kind == repBindComplete, true
	case reqClose:
		return kind == repCloseComplete, true
	case reqSync:
		return kind == repReadyForQuery, true
	case describeStatement:
		if kind == repParameterDescription {
			return true, false
		}
		return kind == repRowDescription || kind == repNoData, true
	case reqDescribe:
		return kind == repRowDescription || kind == repNoData, true
	}
	switch kind {
	case repCommandComplete, repEmptyQuery:
		return x.kind == reqQuery || x.kind == reqExecute, x.kind == reqExecute
	case repCopyIn, repCopyOut, msgCopyDone:
		return x.kind == reqQuery || x.kind == reqExecute, false
	case repPortalSuspended:
		return x.kind == reqExecute, true
	case repRowDescription:
		return x.kind == reqQuery, false
	case repFunctionCall:
		return x.kind == reqFunctionCall, false
	case repReadyForQuery:
		return x.kind == reqQuery || x.kind == reqFunctionCall, true
	}
	return false, false
}

// pass passes a message on as it is. A short one is passed on only as a whole.
func (r *relay) pass(n int) error {
	in, to := r.conn.in, r.to
	r.replied()
	size := headerSize + n
	if n <= wholeRow {
		if err := in.Need(size); err != nil {
			return err
		}
		to.out.Write(in.Bytes()[:size])
		in.Discard(size)
		return nil
	}
	for {
		have := min(size, in.Buffered())
		to.out.Write(in.Bytes()[:have])
		in.Discard(have)
		if size -= have; size == 0 {
			return to.err()
		}
		if err := to.err(); err != nil {
			return err
		}
		if err := in.Fill(); err != nil {
			to.torn = true
			return err
		}
	}
}

// wholeRow is the longest message, in bytes, that is passed on only as a whole: when the server dies in it, the
// client gets an error in its place. In a longer one its connection has to be closed.
const wholeRow = 8 << 10

// skip drops a message that the client isn't told of.
func (r *relay) skip(n int) error {
	if n > maxHeld {
		return fmt.Errorf("%w: %d > %d bytes", wire.ErrTooLarge, n, maxHeld)
	}
	if err := r.conn.in.Need(headerSize + n); err != nil {
		return err
	}
	r.conn.in.Discard(headerSize + n)
	return nil
}

// rows passes on rows, or data of a COPY: in one copy those that are there as a whole, else one.
func (r *relay) rows(n int) error {
	if x := r.current(); x.kind != reqExecute && x.kind != reqQuery {
		return malformed("rows that nobody asked for")
	}
	r.firm = true
	if r.passRun() {
		return r.to.err()
	}
	if n <= wholeRow {
		return r.conn.in.Need(headerSize + n)
	}
	if r.conn.in.Bytes()[0] == repDataRow {
		r.out.Rows++
	}
	return r.pass(n)
}

// passRun passes on, in one copy, the whole messages at the head of the read buffer that are rows and nothing else.
// It reports whether there were any.
func (r *relay) passRun() bool {
	b := r.conn.in.Bytes()
	at := 0
	for len(b)-at >= headerSize && (b[at] == repDataRow || b[at] == msgCopyData) {
		n := int(int32(binary.BigEndian.Uint32(b[at+1:])))
		if n < lengthSize || n > len(b)-at-1 {
			break
		}
		if b[at] == repDataRow {
			r.out.Rows++
		}
		at += 1 + n
	}
	if at == 0 {
		return false
	}
	r.to.out.Write(b[:at])
	r.conn.in.Discard(at)
	r.replied()
	return true
}

// parameter takes the report of a setting, and passes it on if it is the client's.
func (r *relay) parameter(n int) error {
	_, p, err := r.conn.in.frame(maxHeld)
	if err != nil {
		return err
	}
	tell, err := r.conn.note(p)
	if err != nil {
		return err
	}
	if !tell {
		r.conn.in.discard(p)
		return nil
	}
	return r.async(len(p))
}

// async passes on a message that servers send at any time. It is not overtaken by an error that is held back.
func (r *relay) async(n int) error {
	if !r.held {
		r.firm, r.urgent = true, true
		return r.pass(n)
	}
	_, p, err := r.conn.in.frame(maxHeld)
	if err != nil {
		return err
	}
	if len(r.to.after) < maxHeld {
		r.to.after = append(r.to.after, r.conn.in.Bytes()[:headerSize+len(p)]...)
	}
	r.conn.in.discard(p)
	return nil
}

// command passes on the end of a statement, with what its tag says.
func (r *relay) command(last bool) error {
	_, p, err := r.conn.in.frame(maxHeld)
	if err != nil {
		return err
	}
	r.count(p)
	r.effect(p)
	r.firm = true
	if r.feed != nil {
		r.endFeed()
		if r.current().kind == reqExecute { // the server has taken the Sync for a part of the COPY
			r.met()
			r.next = len(r.conn.sender.expect)
			r.conn.unsynced = true
			return r.pass(len(p))
		}
	}
	if last {
		r.met()
	}
	return r.pass(len(p))
}

// effect takes in what a statement did, by its tag, to what is prepared.
func (r *relay) effect(tag []byte) {
	switch {
	case bytes.HasPrefix(tag, []byte("CREATE")):
		r.conn.stmts.created = r.conn.exchanges
	case !bytes.HasPrefix(tag, []byte("D")):
	case bytes.HasPrefix(tag, []byte("DEALLOCATE ALL")), bytes.HasPrefix(tag, []byte("DISCARD ALL")):
		r.droppedAll()
	case bytes.HasPrefix(tag, []byte("DEALLOCATE")):
		r.dropped++
	}
}

// count reads the number of rows off a command's tag: the last word, if it is one.
func (r *relay) count(tag []byte) {
	r.out.HasRows = r.out.Rows > 0 || len(tag) > 6 && string(tag[:6]) == "SELECT"
	var n uint64
	for i, digits := len(tag)-2, uint64(1); i > 0 && tag[i] >= '0' && tag[i] <= '9'; i-- {
		n += uint64(tag[i]-'0') * digits
		digits *= 10
	}
	r.out.Affected = n
}

// ready takes the end of the reply: the state of the transaction.
func (r *relay) ready() error {
	_, p, err := r.conn.in.frame(maxHeld)
	if err != nil {
		return err
	}
	tx, err := parseReady(p)
	if err != nil {
		return err
	}
	x := r.current()
	r.met()
	r.conn.tx, r.conn.unsynced = tx, false
	if x.hidden || r.held {
		r.conn.in.discard(p)
		return nil
	}
	return r.pass(len(p))
}
