package mysqlwire

// client.go: one client's connection: reading its commands, answering it in its own terms.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
)

// wholeRequest is the longest request, in bytes, that is taken into memory to be routed by its text
// and sent again elsewhere. A longer one is streamed to the primary.
const wholeRequest = 1 << 20

// streamedHead is how much of a longer request is in memory while it is routed.
const streamedHead = 8 << 10

// Client is a client's connection. It implements wire.Client.
type Client struct {
	nc     net.Conn
	base   net.Conn // nc without compression, for other goroutines
	in     *reader
	out    writer
	caps   Capability
	flavor wire.Flavor
	limit  int // longest packet that is taken

	accepted *Accepted
	dialer   *Dialer
	batch    bool // several statements may come in one text

	seq     byte // next sequence id to send
	lastSeq byte // of the last frame read
	status  uint16
	track   trackers
	// defaults are the values of a new session's variables, the trackers' among them.
	defaults *wire.State
	// conditions are the warnings and errors that MySQL counts in its answer to a ping.
	conditions uint16
	stmts      map[uint32]*wire.Statement
	nextID     uint32
	scratch    [64]byte
	torn       bool // a frame was begun and can't be ended
	closed     atomic.Bool
}

var _ wire.Client = (*Client)(nil)

// newClient makes a Client of an accepted connection, which waits for Admit or Refuse.
func newClient(a *Accepted, g *wire.Greeting, maxPacket int, d *Dialer) *Client {
	c := &Client{
		nc: a.Conn, base: a.Conn, in: newReader(a.Conn), out: writer{nc: a.Conn}, caps: a.Capabilities, flavor: g.Flavor,
		limit: maxPacket, batch: a.Capabilities&ClientMultiStatements != 0, defaults: g.Defaults, accepted: a, dialer: d,
	}
	c.SetTracker("", "")
	return c
}

// Batch implements wire.Client.
func (c *Client) Batch() bool { return c.batch }

// SetBatch implements wire.Client.
func (c *Client) SetBatch(on bool) { c.batch = on }

// ReadRequest implements wire.Client.
func (c *Client) ReadRequest(r *wire.Request) error {
	*r = wire.Request{}
	c.seq = 0 // of an error that isn't an answer
	n, seq, err := c.in.header()
	if err != nil {
		return c.interrupted(err)
	}
	c.seq, c.lastSeq = seq+1, seq
	if n == 0 {
		r.Kind = wire.Unknown
		r.Frames = c.in.bytes()[:headerSize]
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
		if err := c.in.need(streamedHead); err != nil {
			return err
		}
		r.Frames = c.in.bytes()[:min(size, c.in.buffered())]
		r.Rest = size - len(r.Frames)
		if n == maxFrame {
			r.Rest = -1
		}
		return nil
	}
	if err := c.in.need(size); err != nil {
		return err
	}
	r.Frames = c.in.bytes()[:size]
	return nil
}

// readAll takes a long piece of a parameter into memory.
func (c *Client) readAll(r *wire.Request) error {
	n, _ := frameLength(r.Frames)
	if n == maxFrame {
		return wire.ErrTooLarge
	}
	if err := c.in.need(headerSize + n); err != nil {
		return err
	}
	r.Frames, r.Rest = c.in.bytes()[:headerSize+n], 0
	return nil
}

// Finish drops what is left of a request; its slices are not valid any more.
func (c *Client) Finish(r *wire.Request) error {
	var err error
	switch {
	case !r.Long():
		c.in.discard(len(r.Frames))
	case r.Frames != nil: // refused before it was streamed
		sink := writer{nc: nowhere{}}
		err = c.copyRest(r, &sink)
		sink.flush()
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

// Identify fixes what a statement means when it is prepared: its text in the session's state.
func (c *Client) Identify(s *wire.Statement, text string, state *wire.State) {
	s.Text = text
	s.Wire.(*stmt).identify(text, state)
}

// Keep adds a prepared statement to those the client may run.
func (c *Client) Keep(s *wire.Statement) {
	if c.stmts == nil {
		c.stmts = make(map[uint32]*wire.Statement)
	}
	c.stmts[s.ID] = s
}

// Statements is how many statements the client holds.
func (c *Client) Statements() int { return len(c.stmts) }

// Drop forgets a statement.
func (c *Client) Drop(s *wire.Statement) { delete(c.stmts, s.ID) }

// DropStatements implements wire.Client.
func (c *Client) DropStatements() { c.stmts = nil }

// DropLong implements wire.Client.
func (c *Client) DropLong(s *wire.Statement) { s.Wire.(*stmt).dropLong() }

// KeepLong keeps a piece of a parameter for the statement's next EXECUTE. What is over the limit is
// dropped, and the EXECUTE refused.
func (c *Client) KeepLong(r *wire.Request) {
	p := r.Frames[headerSize:]
	if r.Stmt == nil || len(p) < 7 {
		return
	}
	s := r.Stmt.Wire.(*stmt)
	param := binary.LittleEndian.Uint16(p[5:])
	if int(param) >= s.params {
		s.longAstray = true
		return
	}
	if s.longBytes += len(p) - 7; s.longBytes > c.limit {
		s.long, s.longTooBig = nil, true
		return
	}
	s.long = append(s.long, longData{param, append([]byte(nil), p[7:]...)})
}

// Buffered implements wire.Client.
func (c *Client) Buffered() bool { return c.in.buffered() > 0 }

// copyFrame copies the client's next frame to a server and returns its payload's length.
func (c *Client) copyFrame(to *writer) (n int, err error) {
	n, seq, err := c.in.header()
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
		have := min(left, c.in.buffered())
		to.write(c.in.bytes()[:have])
		c.in.discard(have)
		if left -= have; left == 0 {
			return nil
		}
		if err := c.in.fill(); err != nil {
			return clientGone(err)
		}
	}
}

// copyRest streams the rest of a long request to a server.
func (c *Client) copyRest(r *wire.Request, to *writer) error {
	n, _ := frameLength(r.Frames)
	head := len(r.Frames)
	c.in.discard(head)
	r.Frames = nil
	total := n
	left := headerSize + n - head
	for {
		if err := c.copyBytes(left, to); err != nil {
			return err
		}
		if n < maxFrame {
			c.seq = c.lastSeq + 1
			return to.err
		}
		var err error
		if n, c.lastSeq, err = c.in.header(); err != nil {
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

// send queues one packet of the reply.
func (c *Client) send(p []byte) { c.seq = c.out.packet(p, c.seq) }

func (c *Client) err() error {
	if c.out.err != nil {
		return wire.ErrClientGone
	}
	return nil
}

// sendOK queues an OK, keeping of its session state changes what the client asked for.
func (c *Client) sendOK(ok *okPacket) {
	if len(ok.track) > 0 {
		if c.caps&ClientSessionTrack != 0 {
			ok.track = c.track.filter(nil, ok.track, c.flavor)
		} else {
			ok.track = nil
		}
	}
	c.status = ok.status
	c.send(ok.append(c.scratch[:0], c.caps))
}

// SendError implements wire.Client.
func (c *Client) SendError(e *wire.Error) {
	c.conditions++
	number, state := errorNumber(e.Code)
	c.send(AppendErr(c.scratch[:0], number, state, e.Message, c.caps))
}

// SendServerError implements wire.Client.
func (c *Client) SendServerError(e *wire.ServerError) {
	c.conditions++
	c.send(AppendErr(c.scratch[:0], e.Number, e.SQLState, e.Message, c.caps))
}

// SendNoStatement implements wire.Client.
func (c *Client) SendNoStatement(r *wire.Request) {
	function := map[wire.Kind]string{
		wire.Execute: "mysqld_stmt_execute", wire.Fetch: "mysqld_stmt_fetch", wire.ResetStmt: "mysqld_stmt_reset",
	}[r.Kind]
	if c.flavor == wire.FlavorMySQL {
		function = "mysql_stmt_precheck"
	}
	c.SendServerError(&wire.ServerError{Number: 1243, SQLState: "HY000",
		Message: fmt.Sprintf("Unknown prepared statement handler (%d) given to %s", r.Target, function)})
}

// Torn implements wire.Client.
func (c *Client) Torn() bool { return c.torn }

// statusOf builds status flags for a reply of Leat's own.
func statusOf(tx wire.TxState, autocommit bool) (status uint16) {
	if autocommit {
		status |= StatusAutocommit
	}
	switch tx {
	case wire.TxReadOnly:
		status |= StatusInTrans | StatusInTransReadOnly
	case wire.TxOpen, wire.TxUnknown:
		status |= StatusInTrans
	}
	return status
}

// SendOK implements wire.Client. Only COM_SET_OPTION and COM_DEBUG end with an EOF.
func (c *Client) SendOK(r *wire.Request, tx wire.TxState, autocommit bool) {
	ok := okPacket{mark: markOK, status: statusOf(tx, autocommit)}
	if r != nil && r.Kind == wire.SetOption {
		ok.mark = markEOF
	}
	if r != nil && (r.Kind == wire.SetOption || r.Kind == wire.Ping) && c.flavor == wire.FlavorMySQL {
		ok.warnings = c.conditions
	}
	c.sendOK(&ok)
}

// SendRows implements wire.Client.
func (c *Client) SendRows(columns []string, rows [][]string) {
	c.send(appendLenencInt(nil, uint64(len(columns))))
	for _, name := range columns {
		c.send(appendTextColumn(nil, name))
	}
	status := c.status & (StatusAutocommit | StatusInTrans | StatusInTransReadOnly)
	if c.caps&ClientDeprecateEOF == 0 {
		c.send(appendEOF(nil, 0, status))
	}
	for _, row := range rows {
		var p []byte
		for _, v := range row {
			p = appendLenencString(p, v)
		}
		c.send(p)
	}
	c.sendOK(&okPacket{mark: markEOF, status: status})
}

// appendTextColumn writes the definition of a column of Leat's own: a VARCHAR in utf8mb4.
func appendTextColumn(p []byte, name string) []byte {
	p = appendLenencString(p, "def")
	for _, s := range []string{"", "", "", name, ""} {
		p = appendLenencString(p, s)
	}
	p = append(p, 0x0c, 45, 0) // length of what follows; utf8mb4_general_ci
	p = binary.LittleEndian.AppendUint32(p, 1024)
	return append(p, 0xfd, 0, 0, 0, 0, 0) // VAR_STRING, no flags, no decimals
}

// SetTracker implements wire.Client. An empty name puts all back to the default.
func (c *Client) SetTracker(name, value string) {
	if name == "" {
		c.track = defaultTrackers()
		if c.defaults == nil {
			return
		}
		for _, t := range ownTrackers {
			if v, ok := c.defaults.Get(t.Name); ok { // a server's operator has changed it for all
				c.track.set(t.Name, v)
			}
		}
		return
	}
	c.track.set(name, value)
}

// Flush implements wire.Client.
func (c *Client) Flush() error {
	if err := c.out.flush(); err != nil {
		return wire.ErrClientGone
	}
	return nil
}

// Executed implements wire.Client.
func (c *Client) Executed(s *wire.Statement) {
	st := s.Wire.(*stmt)
	st.long, st.longBytes, st.longTooBig = nil, 0, false
}

// Stalled implements wire.Client.
func (c *Client) Stalled(now time.Time) time.Duration {
	if since := c.out.since.Load(); since != 0 {
		return now.Sub(time.Unix(0, since))
	}
	return 0
}

// Gone implements wire.Client.
func (c *Client) Gone() bool { return c.closed.Load() || c.in.gone() }

// Interrupt ends a wait for the client's next request, from another goroutine.
func (c *Client) Interrupt() { c.base.SetReadDeadline(time.Unix(1, 0)) }

// Close implements wire.Client.
func (c *Client) Close() error {
	c.closed.Store(true)
	return c.base.Close()
}

// IsClosed reports whether an error of ReadRequest is only the client leaving.
func IsClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err)
}
