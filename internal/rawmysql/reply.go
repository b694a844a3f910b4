package rawmysql

// Reading a whole reply: where it ends depends on the command, the capabilities and the status flags.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Kind is what a frame of a reply is.
type Kind byte

// The kinds, as letters, so that a reply's shape reads as a word: "nccerre" is a result set of two
// columns and two rows, with both its EOF packets.
const (
	KindOK          Kind = 'o' // also one that ends rows, under DEPRECATE_EOF
	KindError       Kind = 'x'
	KindEOF         Kind = 'e'
	KindColumnCount Kind = 'n'
	KindColumn      Kind = 'c'
	KindRow         Kind = 'r'
	KindPrepared    Kind = 'p' // the first packet of a prepared statement
	KindLocalFile   Kind = 'l' // the server asks for a file
	KindText        Kind = 't' // COM_STATISTICS
)

// Status flags of OK and EOF packets.
const (
	StatusInTrans         uint16 = 1 << 0
	StatusAutocommit      uint16 = 1 << 1
	StatusMoreResults     uint16 = 1 << 3
	StatusCursorExists    uint16 = 1 << 6
	StatusLastRowSent     uint16 = 1 << 7
	StatusPSOutParams     uint16 = 1 << 12
	StatusInTransReadOnly uint16 = 1 << 13
	StatusStateChanged    uint16 = 1 << 14
)

// Reply is all that a server sent for one command.
type Reply struct {
	Frames []Frame
}

// Shape is the kinds of the frames, in a word. Runs of four and more are counted: "ncer1000e".
func (r *Reply) Shape() string {
	var b []byte
	for i := 0; i < len(r.Frames); {
		run := 1
		for i+run < len(r.Frames) && r.Frames[i+run].Kind == r.Frames[i].Kind {
			run++
		}
		kind := byte(r.Frames[i].Kind)
		if run < 4 {
			b = append(b, bytes.Repeat([]byte{kind}, run)...)
		} else {
			b = strconv.AppendInt(append(b, kind), int64(run), 10)
		}
		i += run
	}
	return string(b)
}

// Err is the reply's error packet, a *ServerError, or nil.
func (r *Reply) Err() error {
	for _, f := range r.Frames {
		if f.Kind == KindError {
			return parseError(f.Payload)
		}
	}
	return nil
}

// Text are the rows of a text reply, all result sets after another. NULL is "NULL".
func (r *Reply) Text() [][]string {
	var rows [][]string
	for _, f := range r.Frames {
		if f.Kind != KindRow {
			continue
		}
		var row []string
		for p := f.Payload; len(p) > 0; {
			if p[0] == 0xfb {
				row, p = append(row, "NULL"), p[1:]
				continue
			}
			n, size := lenenc(p)
			if size == 0 || uint64(len(p)-size) < n {
				break
			}
			row, p = append(row, string(p[size:size+int(n)])), p[size+int(n):]
		}
		rows = append(rows, row)
	}
	return rows
}

// StatementID of a prepared statement's reply.
func (r *Reply) StatementID() (id uint32, params int, ok bool) {
	if len(r.Frames) == 0 || r.Frames[0].Kind != KindPrepared {
		return 0, 0, false
	}
	p := r.Frames[0].Payload
	return binary.LittleEndian.Uint32(p[1:]), int(binary.LittleEndian.Uint16(p[7:])), true
}

// ReadReply reads the reply to a command that was sent. For commands without one it is empty.
func (c *Conn) ReadReply(command byte) (*Reply, error) {
	_ = c.net.SetDeadline(time.Now().Add(c.opts.Timeout))
	r := &Reply{}
	var err error
	switch command {
	case ComQuit, ComStmtClose, ComStmtSendLongData:
	case ComQuery, ComStmtExecute, ComProcessInfo:
		err = c.readResults(r)
	case ComStmtPrepare:
		err = c.readPrepared(r)
	case ComStmtFetch:
		_, err = c.readUntilEnd(r, KindRow)
	case ComFieldList:
		_, err = c.readUntilEnd(r, KindColumn)
	case ComStatistics:
		_, err = c.next(r, KindText)
	default:
		_, err = c.next(r, 0)
	}
	if err == io.EOF && len(r.Frames) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return r, err
}

// next reads one frame. A kind of 0 means an OK or EOF packet; an error packet is one everywhere.
func (c *Conn) next(r *Reply, kind Kind) (*Frame, error) {
	f, err := c.readFrame()
	if err != nil {
		return nil, err
	}
	if len(f.Payload) == 0 && kind != KindRow {
		return nil, errShort
	}
	f.Kind = kind
	if kind == 0 {
		f.Kind = KindOK
	}
	if len(f.Payload) > 0 {
		switch first := f.Payload[0]; {
		case first == 0xff && kind != KindText:
			f.Kind = KindError
		case first == 0xfe && kind != KindText && c.isEnd(f.Payload, kind):
			f.Kind = c.endKind()
		}
	}
	r.Frames = append(r.Frames, f)
	return &r.Frames[len(r.Frames)-1], nil
}

// isEnd tells an end packet from a row whose first value is 16 MiB or longer.
func (c *Conn) isEnd(p []byte, kind Kind) bool {
	if c.Flags&DeprecateEOF != 0 {
		return len(p) < maxPacket
	}
	return len(p) < 9 || kind == 0
}

// endKind is what ends rows: EOF, or an OK that begins with 0xfe.
func (c *Conn) endKind() Kind {
	if c.Flags&DeprecateEOF != 0 {
		return KindOK
	}
	return KindEOF
}

// readResults reads result sets and OKs until no more are announced.
func (c *Conn) readResults(r *Reply) error {
	for {
		f, err := c.next(r, KindColumnCount)
		if err != nil {
			return err
		}
		if f.Kind == KindError {
			return nil
		}
		var more bool
		switch f.Payload[0] {
		case 0x00:
			f.Kind = KindOK
			more = status(f)&StatusMoreResults != 0
		case 0xfb:
			f.Kind = KindLocalFile
			err = c.sendFile(f.Seq)
			more = true // its OK
		default:
			more, err = c.readResultSet(r, f)
		}
		if err != nil || !more {
			return err
		}
	}
}

// readResultSet reads columns and rows. More is whether another result follows.
func (c *Conn) readResultSet(r *Reply, first *Frame) (more bool, err error) {
	if first.Kind != KindColumnCount {
		return status(first)&StatusMoreResults != 0, nil
	}
	n, size := lenenc(first.Payload)
	if size != len(first.Payload) {
		return false, fmt.Errorf("column count of %d bytes: %x", len(first.Payload), first.Payload)
	}
	outParams := false
	for range n {
		if f, err := c.next(r, KindColumn); err != nil || f.Kind == KindError {
			return false, err
		}
	}
	if c.Flags&DeprecateEOF == 0 {
		f, err := c.next(r, 0)
		if err != nil || f.Kind == KindError {
			return false, err
		}
		if status(f)&StatusCursorExists != 0 {
			return false, nil
		}
		outParams = status(f)&StatusPSOutParams != 0
	}
	last, err := c.readUntilEnd(r, KindRow)
	if err != nil || last.Kind == KindError {
		return false, err
	}
	// MySQL forgets to announce what follows OUT parameters, when rows end with an EOF packet.
	return status(last)&StatusMoreResults != 0 || outParams, nil
}

// readUntilEnd reads frames of a kind until an end or error packet, which it returns.
func (c *Conn) readUntilEnd(r *Reply, kind Kind) (*Frame, error) {
	for {
		f, err := c.next(r, kind)
		if err != nil || f.Kind != kind {
			return f, err
		}
	}
}

// readPrepared reads the reply to COM_STMT_PREPARE: parameters, then columns.
func (c *Conn) readPrepared(r *Reply) error {
	f, err := c.next(r, KindPrepared)
	if err != nil || f.Kind == KindError {
		return err
	}
	if len(f.Payload) < 9 {
		return errShort
	}
	columns, params := binary.LittleEndian.Uint16(f.Payload[5:]), binary.LittleEndian.Uint16(f.Payload[7:])
	for _, n := range []uint16{params, columns} {
		for range n {
			if _, err := c.next(r, KindColumn); err != nil {
				return err
			}
		}
		if n > 0 && c.Flags&DeprecateEOF == 0 {
			if _, err := c.next(r, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendFile answers LOAD DATA LOCAL.
func (c *Conn) sendFile(seq byte) error {
	for rest := c.opts.File; len(rest) > 0; {
		n := min(len(rest), 64<<10)
		seq++
		if err := c.writePacket(seq, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return c.writePacket(seq+1, nil)
}

// status are the status flags of an OK or EOF packet, or 0.
func status(f *Frame) uint16 {
	p := f.Payload
	if f.Kind == KindEOF {
		if len(p) < 5 {
			return 0
		}
		return binary.LittleEndian.Uint16(p[3:])
	}
	if f.Kind != KindOK || len(p) == 0 {
		return 0
	}
	p = p[1:]
	for range 2 { // affected rows, insert id
		_, size := lenenc(p)
		p = p[size:]
	}
	if len(p) < 2 {
		return 0
	}
	return binary.LittleEndian.Uint16(p)
}

// Status are the status flags of the last frame that has any.
func (r *Reply) Status() uint16 {
	for i := len(r.Frames) - 1; i >= 0; i-- {
		if f := &r.Frames[i]; f.Kind == KindOK || f.Kind == KindEOF {
			return status(f)
		}
	}
	return 0
}

// lenenc reads a length-encoded number; a size of 0 means that there is none.
func lenenc(p []byte) (n uint64, size int) {
	if len(p) == 0 {
		return 0, 0
	}
	width := map[byte]int{0xfc: 2, 0xfd: 3, 0xfe: 8}[p[0]]
	switch {
	case p[0] < 0xfb:
		return uint64(p[0]), 1
	case width == 0 || len(p) < 1+width:
		return 0, 0
	}
	var b [8]byte
	copy(b[:], p[1:1+width])
	return binary.LittleEndian.Uint64(b[:]), 1 + width
}
