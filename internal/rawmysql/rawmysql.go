// Package rawmysql is a small MySQL client for tests, which shows the frames of a reply as they came. It
// shares no code with Leat's own codec, so that the two can't be wrong in the same way.
//
// It speaks plain TCP (no TLS; compression is its caller's) and asks for nothing that its caller didn't name.
package rawmysql

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Capabilities that a client may ask for.
const (
	FoundRows       uint32 = 1 << 1
	ConnectWithDB   uint32 = 1 << 3
	LocalFiles      uint32 = 1 << 7
	IgnoreSpace     uint32 = 1 << 8
	Interactive     uint32 = 1 << 10
	MultiStatements uint32 = 1 << 16
	MultiResults    uint32 = 1 << 17
	PSMultiResults  uint32 = 1 << 18
	ConnectAttrs    uint32 = 1 << 20
	SessionTrack    uint32 = 1 << 23
	DeprecateEOF    uint32 = 1 << 24
	Zlib            uint32 = 1 << 5
	Zstd            uint32 = 1 << 26

	longPassword     uint32 = 1 << 0
	longFlag         uint32 = 1 << 2
	protocol41       uint32 = 1 << 9
	transactions     uint32 = 1 << 13
	secureConnection uint32 = 1 << 15
	pluginAuth       uint32 = 1 << 19
)

// Commands, the first byte of a request.
const (
	ComQuit             byte = 0x01
	ComInitDB           byte = 0x02
	ComQuery            byte = 0x03
	ComFieldList        byte = 0x04
	ComStatistics       byte = 0x09
	ComProcessInfo      byte = 0x0a
	ComProcessKill      byte = 0x0c
	ComDebug            byte = 0x0d
	ComPing             byte = 0x0e
	ComChangeUser       byte = 0x11
	ComStmtPrepare      byte = 0x16
	ComStmtExecute      byte = 0x17
	ComStmtSendLongData byte = 0x18
	ComStmtClose        byte = 0x19
	ComStmtReset        byte = 0x1a
	ComSetOption        byte = 0x1b
	ComStmtFetch        byte = 0x1c
	ComResetConnection  byte = 0x1f
)

// Options of a connection.
type Options struct {
	User, Password, Database string
	// Flags are the capabilities to ask for; those that the server lacks are left out.
	Flags uint32
	// Collation id of the login, of which the protocol carries the low byte. Default 45, utf8mb4_general_ci.
	Collation byte
	// Attributes are sent as connection attributes, if Flags has ConnectAttrs.
	Attributes map[string]string
	// Timeout bounds the login and each reply. Default 30s.
	Timeout time.Duration
	// Compress wraps the connection once it is logged in. Flags must ask for a compression.
	Compress func(net.Conn) net.Conn
	// File is what LOAD DATA LOCAL uploads, whatever its name. Nil refuses: an empty upload.
	File []byte
}

// Conn is a logged-in connection, for one goroutine.
type Conn struct {
	// Greeting is what the server said first.
	Greeting Greeting
	// Flags are the capabilities in force.
	Flags uint32

	opts Options
	net  net.Conn
	in   *bufio.Reader
}

// Greeting is the server's first packet.
type Greeting struct {
	Version      string
	ThreadID     uint32
	Capabilities uint32
	Collation    byte
	Status       uint16
	Plugin       string
	salt         []byte
}

// Frame is one packet of a reply. Packets of 16 MiB that belong together are joined.
type Frame struct {
	Seq     byte // of the last packet
	Kind    Kind
	Payload []byte
}

// ServerError is an error packet.
type ServerError struct {
	Number   uint16
	SQLState string
	Message  string
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("%d (%s): %s", e.Number, e.SQLState, e.Message)
}

// Dial connects and logs in. The error is a *ServerError when the server refused.
func Dial(ctx context.Context, address string, opts Options) (*Conn, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.Collation == 0 {
		opts.Collation = 45
	}
	d := net.Dialer{Timeout: opts.Timeout}
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &Conn{opts: opts, net: nc, in: bufio.NewReaderSize(nc, 16<<10)}
	if err := c.login(); err != nil {
		nc.Close()
		return nil, err
	}
	if opts.Compress != nil {
		c.net = opts.Compress(nc)
		c.in.Reset(c.net)
	}
	return c, nil
}

// Do sends one command and reads its reply. The error is about the connection: an error packet is part
// of the reply.
func (c *Conn) Do(payload []byte) (*Reply, error) {
	if err := c.Send(payload); err != nil {
		return nil, err
	}
	return c.ReadReply(payload[0])
}

// Query sends a text statement.
func (c *Conn) Query(sql string) (*Reply, error) {
	return c.Do(append([]byte{ComQuery}, sql...))
}

// Send sends one command without reading a reply, for pipelines.
func (c *Conn) Send(payload []byte) error { return c.writePacket(0, payload) }

// SendRaw sends bytes that needn't be a packet.
func (c *Conn) SendRaw(b []byte) error {
	_, err := c.net.Write(b)
	return err
}

// Close says goodbye.
func (c *Conn) Close() error {
	_ = c.Send([]byte{ComQuit})
	return c.net.Close()
}

// Abort closes the connection without a word.
func (c *Conn) Abort() error { return c.net.Close() }

const maxPacket = 1<<24 - 1

// writePacket splits a payload into packets, counting from seq.
func (c *Conn) writePacket(seq byte, payload []byte) error {
	_ = c.net.SetDeadline(time.Now().Add(c.opts.Timeout))
	buf := make([]byte, 0, len(payload)+4)
	for {
		n := min(len(payload), maxPacket)
		buf = append(buf, byte(n), byte(n>>8), byte(n>>16), seq)
		buf = append(buf, payload[:n]...)
		payload, seq = payload[n:], seq+1
		if n < maxPacket {
			break
		}
	}
	_, err := c.net.Write(buf)
	return err
}

// readFrame reads one packet, with its continuations. Its kind isn't known yet.
func (c *Conn) readFrame() (Frame, error) {
	var f Frame
	for {
		var head [4]byte
		if _, err := io.ReadFull(c.in, head[:]); err != nil {
			return f, err
		}
		n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		start := len(f.Payload)
		f.Payload = append(f.Payload, make([]byte, n)...)
		if _, err := io.ReadFull(c.in, f.Payload[start:]); err != nil {
			return f, err
		}
		f.Seq = head[3]
		if n < maxPacket {
			return f, nil
		}
	}
}

// errShort is for a packet that ends before its content does.
var errShort = errors.New("packet is too short")

// parseError reads an error packet.
func parseError(p []byte) error {
	if len(p) < 3 {
		return errShort
	}
	e := &ServerError{Number: binary.LittleEndian.Uint16(p[1:])}
	rest := p[3:]
	if len(rest) >= 6 && rest[0] == '#' {
		e.SQLState, rest = string(rest[1:6]), rest[6:]
	}
	e.Message = string(rest)
	return e
}
