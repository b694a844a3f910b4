package pgwire

// Accept: the log-in of a client to Leat.

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"leat/proxy/wire"
)

// accepted is a client that has proven who it is, and waits to hear whether it may come in.
type accepted struct {
	nc      net.Conn // the one that was given, or TLS on it
	in      reader   // of nc; may hold what the client has sent ahead
	out     writer   // of nc; may hold the end of the authentication
	version uint32   // of the protocol, version30 or version32
	startup startup

	welcome *wire.Welcome
	tls     *serverTLS // nil: not offered
	secure  bool       // nobody can listen: TLS, or a unix socket
	begun   bool       // the client speaks the protocol, and can be told of an error in its terms
}

// accept logs a client in, up to the point where it waits for Admit or Refuse.
//
// On an error the client has been told, and the connection is to be closed. The error is a *wire.Error or a
// *wire.ServerError for a client that was refused, *wire.CancelRequest for one that came for that, wire.ErrMalformed
// or wire.ErrTooLarge for one that broke the protocol, and one of the connection's otherwise.
func (ac *Acceptor) accept(nc net.Conn, w *wire.Welcome) (*accepted, error) {
	a := &accepted{nc: nc, in: newReader(nc), out: newWriter(nc), welcome: w, tls: ac.serverTLS(w.TLS), secure: isUnix(nc)}
	err := a.login(ac)
	if err != nil {
		a.refuse(err)
		return nil, err
	}
	return a, nil
}

func (a *accepted) login(ac *Acceptor) error {
	if err := a.directTLS(); err != nil {
		return err
	}
	if err := a.negotiate(); err != nil {
		return err
	}
	return a.authenticate(ac)
}

// refuse tells the client why its log-in failed, if it can be told in its terms.
func (a *accepted) refuse(err error) {
	if !a.begun {
		return
	}
	var own *wire.Error
	var servers *wire.ServerError
	switch {
	case errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge):
		err = refusal("08P01", "the log-in breaks the protocol")
	case !errors.As(err, &own) && !errors.As(err, &servers):
		return
	}
	a.out.Write(appendFatal(nil, err))
	_ = a.out.Flush() // the connection is closed in any case
}

// directTLS begins TLS with a client that does so unasked. Its first byte can't be that of a startup message.
func (a *accepted) directTLS() error {
	const handshakeRecord = 0x16
	if err := a.in.Need(1); err != nil {
		return err
	}
	if a.in.Bytes()[0] != handshakeRecord {
		return nil
	}
	if a.tls == nil || a.secure {
		return errors.New("the client begins TLS, which is not offered")
	}
	start := append([]byte(nil), a.in.Bytes()...)
	a.in.Discard(len(start))
	if err := a.startTLS(&prefixed{Conn: a.nc, start: start}); err != nil {
		return err
	}
	if a.nc.(*tls.Conn).ConnectionState().NegotiatedProtocol != alpn {
		return errors.New("the client begins TLS without naming the protocol (ALPN)")
	}
	return nil
}

func (a *accepted) startTLS(nc net.Conn) error {
	conn := tls.Server(nc, a.tls.config)
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("TLS with the client: %w", err)
	}
	a.nc, a.in, a.out, a.secure = conn, newReader(conn), newWriter(conn), true
	return nil
}

// negotiate reads the client's startup message, and what it may ask before that: TLS, GSSAPI, each once.
func (a *accepted) negotiate() error {
	var askedTLS, askedGSS bool
	for {
		p, err := readStartup(a.in)
		if err != nil {
			return err
		}
		code := binary.BigEndian.Uint32(p)
		switch {
		case code == codeCancelRequest:
			return parseCancel(p)
		case code == codeSSLRequest && !askedTLS:
			askedTLS = true
			err = a.answerTLS()
			askedGSS = askedGSS || a.isTLS()
		case code == codeGSSENCRequest && !askedGSS:
			askedGSS = true
			err = a.answer('N')
		default:
			a.begun = true
			return a.start(p)
		}
		if err != nil {
			return err
		}
	}
}

func (a *accepted) isTLS() bool {
	_, ok := a.nc.(*tls.Conn)
	return ok
}

func (a *accepted) answerTLS() error {
	if a.tls == nil || a.secure {
		return a.answer('N')
	}
	if err := a.answer('S'); err != nil {
		return err
	}
	return a.startTLS(a.nc)
}

// answer answers a question about encryption with its one byte. Whatever came behind the question came in the
// clear, from anybody, and ends the connection.
func (a *accepted) answer(b byte) error {
	if a.in.Buffered() > 0 {
		return malformed("data behind a request for encryption")
	}
	a.out.Room(1)
	a.out.Append(b)
	return a.out.Flush()
}

// start takes the startup message, and agrees on the protocol's version.
func (a *accepted) start(p []byte) error {
	asked := binary.BigEndian.Uint32(p)
	if asked>>16 != version30>>16 {
		return refusal("0A000", fmt.Sprintf("unsupported frontend protocol %d.%d: server supports 3.0 to 3.2", asked>>16, asked&0xffff))
	}
	s, err := parseStartup(p)
	if asked > version32 || len(s.unrecognized) > 0 {
		a.out.Write(appendNegotiate(nil, min(asked, version32), s.unrecognized))
	}
	if err != nil {
		return err
	}
	a.version, a.startup = version30, s
	if asked >= version32 {
		a.version = version32
	}
	if a.welcome.TLSRequired && !a.secure {
		return wire.Errorf(wire.CodeTLSRequired, "connections without TLS are refused: connect with sslmode=require")
	}
	return nil
}

// appendNegotiate appends NegotiateProtocolVersion: the version in force, and what the client wanted in vain.
func appendNegotiate(dst []byte, version uint32, unrecognized []string) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(appendHeader(dst, repNegotiateVersion, 0), version)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(unrecognized)))
	for _, name := range unrecognized {
		dst = appendNul(dst, name)
	}
	return endMessage(dst, start)
}

// readStartup reads one message of the kind that has no type, and returns it without its length. It reads
// nothing that doesn't look like one.
func readStartup(in reader) ([]byte, error) {
	if err := in.Need(lengthSize); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(in.Bytes())
	if n < 2*lengthSize || n > lengthSize+maxStartup {
		return nil, fmt.Errorf("length of the startup message: %w", wire.ErrMalformed)
	}
	if err := in.Need(int(n)); err != nil {
		return nil, unexpected(err)
	}
	p := append([]byte(nil), in.Bytes()[lengthSize:n]...)
	in.Discard(int(n))
	return p, nil
}

// parseCancel reads a request to cancel. It returns it as the error that it is to a log-in.
func parseCancel(p []byte) error {
	r := fieldReader{p: p}
	r.uint32()
	c := &wire.CancelRequest{ID: r.uint32(), Key: r.p}
	if r.bad || len(c.Key) == 0 || len(c.Key) > maxCancelKey {
		return malformed("request to cancel")
	}
	return c
}

// password reads the client's next message, which must be its part in the proof of who it is. The payload
// aliases the buffer: valid until it is discarded.
func (a *accepted) password(limit int) ([]byte, error) {
	kind, n, err := a.in.header()
	if err != nil {
		return nil, unexpected(err)
	}
	if kind != reqPassword {
		return nil, malformed("password message")
	}
	if n > limit {
		return nil, fmt.Errorf("password message: %w: %d > %d bytes", wire.ErrTooLarge, n, limit)
	}
	_, p, err := a.in.frame(limit)
	return p, unexpected(err)
}

// ask sends an authentication request of that code.
func (a *accepted) ask(code uint32, data []byte) error {
	a.tell(code, data)
	return a.out.Flush()
}

// tell is ask without sending at once.
func (a *accepted) tell(code uint32, data []byte) {
	a.out.Write(appendAuthentication(nil, code, data))
}

func appendAuthentication(dst []byte, code uint32, data []byte) []byte {
	dst = appendHeader(dst, repAuthentication, 4+len(data))
	return append(binary.BigEndian.AppendUint32(dst, code), data...)
}

// authenticate checks that the client is the user that it claims to be. What ends the proof is not sent yet, so
// that it goes out with what Admit or Refuse has to say.
func (a *accepted) authenticate(ac *Acceptor) error {
	from := a.welcome.From
	if !from.IsValid() {
		from = remoteAddr(a.nc)
	}
	v, exists := ac.find(a.startup.user, from, a.welcome)
	ok, err := false, error(nil)
	switch {
	case v.open:
		ok = true
	case v.md5 != "":
		ok, err = a.proveMD5(v)
	default:
		ok, err = a.proveSCRAM(v.scram())
	}
	if err == nil && (!ok || !exists) {
		err = wire.Errorf(wire.CodeAccessDenied, "password authentication failed for user \"%.63s\"", a.startup.user)
	}
	return err
}

// prefixed is a connection of which some bytes have been read already.
type prefixed struct {
	net.Conn
	start []byte
}

func (c *prefixed) Read(p []byte) (int, error) {
	if len(c.start) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.start)
	if c.start = c.start[n:]; len(c.start) == 0 {
		c.start = nil
	}
	return n, nil
}

// NetConn is the connection below, which package stream looks at.
func (c *prefixed) NetConn() net.Conn { return c.Conn }

// unexpected turns the end of the stream inside a message into an error that says so.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func isUnix(nc net.Conn) bool {
	addr := nc.RemoteAddr()
	return addr != nil && addr.Network() == "unix"
}

// remoteAddr is where a connection comes from; not valid if that is no IP address.
func remoteAddr(nc net.Conn) netip.Addr {
	if addr, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return addr.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
