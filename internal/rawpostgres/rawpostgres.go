// Package rawpostgres is a small PostgreSQL client for tests, which shows the messages of a reply as they came. It
// shares no code with Leat's own codec, so that the two can't be wrong in the same way.
//
// It decodes next to nothing, keeps no state but its socket, and sends nothing that its caller didn't name.
package rawpostgres

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Options of a connection.
type Options struct {
	User, Password, Database string
	// Params are further startup parameters, "name=value", sent in their order.
	Params []string
	// Minor is the protocol's minor version: 0 for 3.0, 2 for 3.2. Default 0.
	Minor uint16
	// TLS asks for TLS, and is used if the server has it; else Dial fails. Default: none.
	TLS *tls.Config
	// DirectTLS begins with TLS, without asking.
	DirectTLS bool
	// Timeout bounds the login and each reply. Default 30s.
	Timeout time.Duration
}

// Conn is a logged-in connection, for one goroutine.
type Conn struct {
	// Greeting are the messages from AuthenticationOk to ReadyForQuery.
	Greeting *Reply
	// PID and Key are what a cancel request takes. Key has 4 bytes in protocol 3.0, and may have more in 3.2.
	PID uint32
	Key []byte
	// Minor is the protocol's minor version in force.
	Minor uint16

	opts    Options
	address string
	net     net.Conn
	in      *bufio.Reader
}

// Message is one message of a server.
type Message struct {
	Kind    byte // as in the protocol, e.g. 'D' for a row
	Payload []byte
}

// ServerError is an ErrorResponse or a NoticeResponse.
type ServerError struct {
	Severity, Code, Message string
	// Fields are all of them by their letter.
	Fields map[byte]string
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Severity, e.Code, e.Message)
}

// Dial connects and logs in. The error is a *ServerError when the server refused. An address with a slash is that of a
// unix socket.
func Dial(ctx context.Context, address string, opts Options) (*Conn, error) {
	c, err := Connect(ctx, address, opts)
	if err != nil {
		return nil, err
	}
	if err := c.login(); err != nil {
		c.net.Close()
		return nil, err
	}
	return c, nil
}

// Connect connects, with TLS if Options ask for it, and sends no startup message.
func Connect(ctx context.Context, address string, opts Options) (*Conn, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 30 * time.Second
	}
	network := "tcp"
	if strings.Contains(address, "/") {
		network = "unix"
	}
	d := net.Dialer{Timeout: opts.Timeout}
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &Conn{opts: opts, address: address, net: nc, in: bufio.NewReaderSize(nc, 16<<10)}
	if opts.TLS != nil {
		if err := c.startTLS(ctx); err != nil {
			nc.Close()
			return nil, err
		}
	}
	return c, nil
}

// startTLS asks for TLS and begins it.
func (c *Conn) startTLS(ctx context.Context) error {
	c.extend()
	cfg := c.opts.TLS
	if c.opts.DirectTLS {
		cfg = cfg.Clone()
		cfg.NextProtos = []string{"postgresql"}
	} else {
		if err := c.SendRaw(SSLRequest()); err != nil {
			return err
		}
		answer, err := c.in.ReadByte()
		if err != nil {
			return err
		}
		if answer != 'S' || c.in.Buffered() > 0 {
			return fmt.Errorf("the server answered %q to SSLRequest", answer)
		}
	}
	secure := tls.Client(c.net, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	c.net = secure
	c.in.Reset(secure)
	return nil
}

// extend gives the next step its time.
func (c *Conn) extend() { _ = c.net.SetDeadline(time.Now().Add(c.opts.Timeout)) }

// Send sends messages in one write, without reading a reply.
func (c *Conn) Send(messages ...[]byte) error {
	var all []byte
	for _, m := range messages {
		all = append(all, m...)
	}
	return c.SendRaw(all)
}

// SendRaw sends bytes that needn't be a message.
func (c *Conn) SendRaw(b []byte) error {
	c.extend()
	_, err := c.net.Write(b)
	return err
}

// Do sends messages and reads up to ReadyForQuery. The error is about the connection: an ErrorResponse is part
// of the reply.
func (c *Conn) Do(messages ...[]byte) (*Reply, error) {
	if err := c.Send(messages...); err != nil {
		return nil, err
	}
	return c.ReadReply(1)
}

// Query runs statements by the simple protocol.
func (c *Conn) Query(sql string) (*Reply, error) { return c.Do(Query(sql)) }

// ReadReply reads messages up to the count-th ReadyForQuery. When the connection fails the reply holds what came before.
func (c *Conn) ReadReply(count int) (*Reply, error) {
	r := &Reply{}
	for range count {
		part, err := c.ReadUntil("Z")
		r.Messages = append(r.Messages, part.Messages...)
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// ReadUntil reads messages up to one of the kinds named. When the connection fails the reply holds what came before.
func (c *Conn) ReadUntil(kinds string) (*Reply, error) {
	r := &Reply{}
	c.extend()
	for {
		m, err := c.ReadMessage()
		if err != nil {
			return r, err
		}
		r.Messages = append(r.Messages, m)
		if strings.IndexByte(kinds, m.Kind) >= 0 {
			return r, nil
		}
	}
}

// maxMessage bounds a message, in bytes: more is taken for a broken stream.
const maxMessage = 1 << 30

// ReadMessage reads one message, whatever it is. Send, ReadUntil and ReadReply set its deadline.
func (c *Conn) ReadMessage() (Message, error) {
	var head [5]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return Message{}, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > maxMessage {
		return Message{}, fmt.Errorf("message %q has length %d", head[0], n)
	}
	m := Message{Kind: head[0], Payload: make([]byte, n-4)}
	_, err := io.ReadFull(c.in, m.Payload)
	return m, err
}

// ReadByte reads the answer to SSLRequest or GSSENCRequest.
func (c *Conn) ReadByte() (byte, error) {
	c.extend()
	return c.in.ReadByte()
}

// Cancel asks, on a connection of its own, to cancel what this one runs. It returns when the server has closed that.
func (c *Conn) Cancel(ctx context.Context) error {
	opts := c.opts
	other, err := Connect(ctx, c.address, opts)
	if err != nil {
		return err
	}
	defer other.net.Close()
	if err := other.SendRaw(CancelRequest(c.PID, c.Key)); err != nil {
		return err
	}
	if _, err := other.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("a cancel request was answered: %w", err)
	}
	return nil
}

// Close says goodbye.
func (c *Conn) Close() error {
	_ = c.Send(Terminate())
	return c.net.Close()
}

// Abort closes the connection without a word.
func (c *Conn) Abort() error { return c.net.Close() }
