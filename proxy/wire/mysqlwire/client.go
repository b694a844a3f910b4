package mysqlwire

// client.go: one client's connection: answering it in its own terms. What it sends is read in client_read.go.

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
	"leat/proxy/wire/stream"
)

// Client is a client's connection. It implements wire.Client.
type Client struct {
	nc     net.Conn
	base   net.Conn // nc without compression, for other goroutines
	in     reader
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
	stmtBytes  int // of the statements' texts
	nextID     uint32
	longBytes  int // of the statements' long data, see pieceOverhead
	// hurried is when Interrupt first hit a request that was arriving; zero if it hasn't
	hurried time.Time
	scratch [64]byte
	torn    bool // a frame was begun and can't be ended
	closed  atomic.Bool
	writing atomic.Int64 // when a write that hasn't ended began, in ns since 1970; 0: none
	reading atomic.Int64 // when the wait for more of a request began that hasn't arrived; 0: none
}

var _ wire.CommandClient = (*Client)(nil)

// newClient makes a Client of an accepted connection, which waits for Admit or Refuse.
func newClient(a *Accepted, g *wire.Greeting, maxPacket int, d *Dialer) *Client {
	c := &Client{
		base: a.Conn, caps: a.Capabilities, flavor: g.Flavor,
		limit: maxPacket, batch: a.Capabilities&ClientMultiStatements != 0, defaults: g.Defaults, accepted: a, dialer: d,
	}
	c.attach(a.Conn)
	c.SetTracker("", "")
	return c
}

// attach makes the client speak over nc: its connection, or compression on that.
func (c *Client) attach(nc net.Conn) {
	if z, ok := nc.(*compressed); ok {
		z.goOn = c.goOn
	}
	c.nc, c.in, c.out = nc, newReader(nc), newWriter(nc)
	c.out.Began = &c.writing
}

// Batch implements wire.Client.
func (c *Client) Batch() bool { return c.batch }

// SetBatch implements wire.Client.
func (c *Client) SetBatch(on bool) { c.batch = on }

// Buffered implements wire.Client.
func (c *Client) Buffered() bool { return c.in.Buffered() > 0 }

// send queues one packet of the reply.
func (c *Client) send(p []byte) { c.seq = c.out.packet(p, c.seq) }

func (c *Client) err() error {
	if c.out.Err() != nil {
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

// SendGoodbye implements wire.Client. It starts a conversation of its own: clients know by the sequence id that
// it is no answer.
func (c *Client) SendGoodbye(e *wire.Error) {
	c.seq = 0
	c.SendError(e)
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
	c.SendServerError(&wire.ServerError{
		Number: 1243, SQLState: "HY000",
		Message: fmt.Sprintf("Unknown prepared statement handler (%d) given to %s", r.Target, function),
	})
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
func (c *Client) SendOK(r *wire.Request, d wire.Done) {
	ok := okPacket{mark: markOK, status: statusOf(d.Tx, d.Autocommit)}
	if r != nil && r.Kind == wire.SetOption {
		ok.mark = markEOF
	}
	if r != nil && (r.Kind == wire.SetOption || r.Kind == wire.Ping) && c.flavor == wire.FlavorMySQL {
		ok.warnings = c.conditions
	}
	c.sendOK(&ok)
}

// SendRows implements wire.Client.
func (c *Client) SendRows(_ *wire.Request, columns []string, rows [][]string) {
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
	if err := c.out.Flush(); err != nil {
		return wire.ErrClientGone
	}
	return nil
}

// Gone implements wire.Client.
func (c *Client) Gone() bool { return c.closed.Load() || c.in.Gone() }

// Stalled implements wire.Client.
func (c *Client) Stalled(now time.Time) time.Duration { return stream.Since(now, &c.writing) }

// Withheld implements wire.Client.
func (c *Client) Withheld(now time.Time) time.Duration { return stream.Since(now, &c.reading) }

// Interrupt ends a wait for the client's next request, from another goroutine.
func (c *Client) Interrupt() { c.base.SetReadDeadline(time.Unix(1, 0)) }

// Close implements wire.Client.
func (c *Client) Close() error {
	c.closed.Store(true)
	return c.base.Close()
}
