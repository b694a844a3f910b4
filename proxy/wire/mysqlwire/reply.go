package mysqlwire

// reply.go: passing a reply on from a server to a client, frame by frame. Frames are not decoded:
// only their headers, the first byte, and the packets that end a result are looked at.

import (
	"fmt"
	"io"
	"math"

	"leat/proxy/wire"
	"leat/proxy/wire/stream"
)

// shape is how the reply to a command is built.
type shape uint8

const (
	shapeQuery    shape = iota // OK, error, file request, or result sets
	shapePrepare               // the answer to COM_STMT_PREPARE
	shapeRowsOnly              // rows or column definitions up to an EOF: COM_STMT_FETCH, COM_FIELD_LIST
	shapeOne                   // one packet of any kind: COM_STATISTICS
)

// relay is one reply on its way.
type relay struct {
	conn *Conn
	req  *wire.Request
	to   *Client
	out  *wire.Outcome
	opts *wire.Options
	// deprecate is whether the client reads OK in place of EOF, as the server always writes.
	deprecate bool
	more      bool // another result follows
	keeps     bool // the command leaves MySQL's list of warnings alone: what it counts is of the session before
	types     []byte
	mark      int // what was written to the client before the reply, and the sequence id then
	seq       byte
}

// run passes the whole reply on. An error reply that nothing was sent before is not passed on: it is in
// out.Err with out.Replied false.
func (r *relay) run(s shape, stmt *stmt) error {
	r.deprecate = r.to.caps&ClientDeprecateEOF != 0
	r.mark, r.seq = r.to.out.Total(), r.to.seq
	r.keeps = r.conn.flavor == wire.FlavorMySQL && r.req.Kind == wire.UseDatabase
	if !r.keeps {
		r.to.conditions = 0
	}
	switch s {
	case shapePrepare:
		return r.prepare(stmt)
	case shapeRowsOnly:
		return r.rows(nil)
	case shapeOne:
		p, err := r.packet()
		if err != nil {
			return err
		}
		if len(p) > 0 && p[0] == markErr {
			return r.fail(p)
		}
		return r.forward(p)
	}
	for {
		if err := r.result(); err != nil || !r.more {
			return err
		}
	}
}

// packet waits for the next packet, which must be a short one. It aliases the buffer until done.
func (r *relay) packet() ([]byte, error) { return r.conn.in.frame(r.conn.limit) }

func (r *relay) done(p []byte) { r.conn.in.Discard(headerSize + len(p)) }

// replied notes that something of the reply went to the client.
func (r *relay) replied() {
	if r.out.Replied {
		return
	}
	r.out.Replied = true
	if r.opts.Begun != nil {
		r.opts.Begun.Store(true)
	}
}

// forward passes a packet on as it is.
func (r *relay) forward(p []byte) error {
	r.to.send(p)
	r.done(p)
	r.replied()
	return r.to.err()
}

// result passes on one result: an OK, an error, a file request or a result set.
func (r *relay) result() error {
	r.more = false
	p, err := r.packet()
	if err != nil {
		return err
	}
	if len(p) == 0 {
		return malformed("empty reply")
	}
	switch {
	case p[0] == markErr:
		return r.fail(p)
	case p[0] == markOK:
		return r.finish(p)
	case p[0] == markEOF && len(p) >= 5:
		return r.finish(p)
	case p[0] == markLocalInfile:
		return r.localInfile(p)
	}
	count, n, ok := readLenencInt(p)
	if !ok || n != len(p) || count > 1<<16 {
		return malformed("column count")
	}
	if err := r.forward(p); err != nil {
		return err
	}
	r.out.HasRows = true
	r.out.Rows = 0
	if err := r.definitions(int(count)); err != nil {
		return err
	}
	if !r.deprecate {
		if err := r.columnsEnd(); err != nil {
			return err
		}
	}
	return r.rows(r.opts.Override)
}

// fail handles an error packet: held back when it is the whole reply, else passed on. When a replica refuses to
// write, what came of the reply before, the columns of a query whose function writes, is taken back, so that the
// statement can be sent to the primary.
func (r *relay) fail(p []byte) error {
	r.out.Err = ParseErr(p)
	r.conn.tx, r.conn.idStale = wire.TxUnknown, true
	r.out.HasRows = false
	if r.out.Replied && r.conn.readOnly && r.out.Err.Condition().RefusesWrites() && r.to.out.Rewind(r.mark) {
		r.to.seq, r.out.Replied = r.seq, false
	}
	if r.out.Replied {
		r.to.conditions = 1
		return r.forward(p)
	}
	r.done(p)
	return nil
}

// finish passes on an OK packet, or the OK that ends a result set, in the client's own form.
func (r *relay) finish(p []byte) error {
	ok, err := parseOK(p)
	if err != nil {
		return err
	}
	r.conn.note(&ok)
	if err := r.conn.observe(ok.track, r.out); err != nil {
		return err
	}
	if r.keeps {
		ok.warnings = r.to.conditions
	}
	r.to.conditions = ok.warnings
	r.out.Warnings, r.out.Affected = ok.warnings, ok.affected
	if ok.insertID != 0 {
		r.out.InsertID = ok.insertID
	}
	if ok.mark == markOK {
		r.out.HasRows = false
	}
	r.more = ok.status&StatusMoreResults != 0
	r.out.CursorOpen = ok.status&StatusCursorExists != 0 && ok.status&StatusLastRowSent == 0
	if r.conn.flavor == wire.FlavorMySQL && !r.deprecate && ok.mark == markEOF && ok.status&StatusPSOutParams != 0 {
		ok.status &^= StatusMoreResults | StatusPSOutParams // as MySQL does in its classic EOF, although an OK follows
	}
	r.to.sendOK(&ok)
	r.done(p)
	r.replied()
	return r.to.err()
}

// definitions passes on n column definitions.
func (r *relay) definitions(n int) error {
	r.types = r.types[:0]
	for i := 0; i < n; i++ {
		if r.opts.Override == nil {
			if i += r.passRun(n - i); i == n {
				break
			}
		}
		p, err := r.packet()
		if err != nil {
			return err
		}
		if r.opts.Override != nil {
			r.types = append(r.types, columnType(p))
		}
		if err := r.forward(p); err != nil {
			return err
		}
	}
	return nil
}

// columnsEnd sends the EOF that a client without DEPRECATE_EOF expects between columns and rows. The server
// sends none; its flags are those that the rows end with, or of the conn before, if their end isn't near.
func (r *relay) columnsEnd() error {
	status := r.conn.status & (StatusAutocommit | StatusInTrans | StatusInTransReadOnly)
	ok, rows, err := r.peekEnd()
	switch {
	case err != nil:
		return err
	case ok.mark == markEOF && ok.status&StatusCursorExists != 0 && rows == 0:
		return nil // a cursor's rows come by FETCH: the EOF that ends its columns is the whole reply's end
	case ok.mark == markEOF:
		status = ok.status &^ StatusSessionChanged
		if status&StatusPSOutParams != 0 {
			status &^= StatusMoreResults
		}
	}
	r.to.send(appendEOF(r.to.scratch[:0], 0, status))
	return nil
}

// lookAhead is how many bytes of rows are waited for to learn how they end. Servers don't send less at a
// time either, unless the rows end.
const lookAhead = stream.BufferSize

// peekEnd looks for the packet that ends the rows, without consuming anything, and counts the rows before
// it. The packet is empty when it isn't an OK or is too far away.
func (r *relay) peekEnd() (ok okPacket, rows int, err error) {
	in := r.conn.in
	for at := 0; at+headerSize+1 <= lookAhead; rows++ {
		if err := in.Need(at + headerSize + 1); err != nil {
			return ok, rows, err
		}
		frame := in.Bytes()[at:]
		n, _ := frameLength(frame)
		if first := frame[headerSize]; n == 0 || first == markErr {
			return ok, rows, nil
		} else if first != markEOF || n == maxFrame {
			at += headerSize + n
			continue
		}
		if at+headerSize+n > lookAhead {
			return ok, rows, nil
		}
		if err := in.Need(at + headerSize + n); err != nil {
			return ok, rows, err
		}
		ok, err = parseOK(in.Bytes()[at+headerSize : at+headerSize+n])
		return ok, rows, err
	}
	return ok, rows, nil
}

// rows passes on rows up to the packet that ends them.
func (r *relay) rows(o *wire.Override) error {
	in := r.conn.in
	for {
		if o == nil {
			r.out.Rows += uint64(r.passRun(math.MaxInt))
			if err := r.to.err(); err != nil {
				return err
			}
		}
		n, _, err := in.header()
		if err != nil {
			return err
		}
		if n == 0 {
			return malformed("empty row")
		}
		if err := in.Need(headerSize + 1); err != nil {
			return err
		}
		first := in.Bytes()[headerSize]
		if first == markErr || first == markEOF && n < maxFrame {
			p, err := r.packet()
			if err != nil {
				return err
			}
			return r.endRows(p, o)
		}
		if n <= wholeRow && in.Buffered() < headerSize+n {
			if err := in.Need(headerSize + n); err != nil {
				return err
			}
			continue
		}
		r.out.Rows++
		if o != nil {
			if err := r.overrideRow(o); err != nil {
				return err
			}
			continue
		}
		if err := r.passRow(n); err != nil {
			return err
		}
	}
}

// wholeRow is the longest row, in bytes, that is passed on only as a whole: when the server dies in it, the
// client gets an error in its place. In a longer one its connection has to be closed.
const wholeRow = 8 << 10

// passRun passes on, in one copy, the whole frames at the head of the read buffer that are rows or
// definitions and nothing else, at most max of them. It returns how many.
func (r *relay) passRun(max int) (frames int) {
	b := r.conn.in.Bytes()
	at := 0
	for frames < max && len(b)-at > headerSize {
		n, _ := frameLength(b[at:])
		first := b[at+headerSize]
		if n == 0 || n == maxFrame || len(b)-at < headerSize+n || first == markErr || first == markEOF {
			break
		}
		b[at+3] = r.to.seq
		r.to.seq++
		at += headerSize + n
		frames++
	}
	if frames > 0 {
		r.to.out.Write(b[:at])
		r.conn.in.Discard(at)
		r.replied()
	}
	return frames
}

// passRow passes one row on, however long: it is never held as a whole.
func (r *relay) passRow(n int) error {
	r.replied()
	for {
		if err := r.passFrame(n); err != nil {
			return err
		}
		if n < maxFrame {
			return r.to.err()
		}
		var err error
		if n, _, err = r.conn.in.header(); err != nil {
			r.to.torn = true
			return err
		}
	}
}

// passFrame passes one frame on with the client's sequence id.
func (r *relay) passFrame(n int) error {
	in, to := r.conn.in, r.to
	in.Bytes()[3] = to.seq
	to.seq++
	left := headerSize + n
	for {
		have := min(left, in.Buffered())
		to.out.Write(in.Bytes()[:have])
		in.Discard(have)
		if left -= have; left == 0 {
			return nil
		}
		if to.out.Err() != nil {
			return wire.ErrClientGone
		}
		if err := in.Fill(); err != nil {
			to.torn = true
			return err
		}
	}
}

// prepare passes on the answer to COM_STMT_PREPARE under the client's own statement id.
func (r *relay) prepare(s *stmt) error {
	p, err := r.packet()
	if err != nil {
		return err
	}
	if len(p) > 0 && p[0] == markErr {
		return r.fail(p)
	}
	a, err := parsePrepareOK(p)
	if err != nil {
		return err
	}
	s.params, s.columns = a.params, a.columns
	r.conn.keep(s, a.id)
	reply := append(r.to.scratch[:0], p...)
	putUint32(reply[1:], s.id)
	r.to.send(reply)
	r.done(p)
	r.replied()
	r.out.Warnings = a.warnings
	for _, n := range [2]int{a.params, a.columns} {
		if err := r.definitions(n); err != nil {
			return err
		}
		if n > 0 && !r.deprecate {
			r.to.send(appendEOF(r.to.scratch[:0], 0, r.conn.status&(StatusAutocommit|StatusInTrans|StatusInTransReadOnly)))
		}
	}
	return r.to.err()
}

// localInfile passes on the server's request for a file, then the client's file to the server.
func (r *relay) localInfile(p []byte) error {
	if !r.opts.LocalInfile {
		return fmt.Errorf("the server asked for a local file although that is switched off: %w", wire.ErrMalformed)
	}
	if err := r.forward(p); err != nil {
		return err
	}
	if err := r.to.out.Flush(); err != nil {
		return wire.ErrClientGone
	}
	r.to.in.Discard(len(r.req.Frames)) // the request itself: the file comes after it
	r.req.Frames = nil
	for {
		n, err := r.to.copyFrame(&r.conn.out)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	r.to.seq = r.to.lastSeq + 1
	if err := r.conn.out.Flush(); err != nil && r.conn.in.Quiet() {
		return err
	}
	return r.result() // a server that stopped listening may have said why
}

// overrideRow replaces values in a row, or drops it.
func (r *relay) overrideRow(o *wire.Override) error {
	p, err := r.packet()
	if err != nil {
		return err
	}
	defer r.done(p)
	columns := o.Columns
	if o.NoRows {
		if len(r.types) != 1 {
			return nil
		}
		columns = [][]byte{{'0'}}
	}
	row, err := rewriteRow(p, columns, r.types, r.opts.Binary)
	if err != nil {
		return err
	}
	r.to.send(row)
	r.replied()
	return r.to.err()
}

// endRows passes on the packet that ends rows, behind those that an override puts in.
func (r *relay) endRows(p []byte, o *wire.Override) error {
	if p[0] == markErr {
		return r.fail(p)
	}
	if o != nil {
		for _, row := range o.Rows {
			var text []byte
			for _, v := range row {
				text = appendLenencString(text, v)
			}
			r.to.send(text)
		}
	}
	return r.finish(p)
}

// cutOff turns the end of a stream inside a reply into the error that it is.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
