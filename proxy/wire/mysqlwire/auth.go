package mysqlwire

// What both sides of a log-in share: the names of the authentication methods, the packets that pass
// between the first answer and the final OK, and the reader and writer of those packets.

import (
	"crypto/rand"
	"fmt"
	"io"

	"leat/proxy/wire"
)

// The authentication methods.
const (
	pluginNative  = "mysql_native_password"
	pluginSHA2    = "caching_sha2_password"
	pluginSHA256  = "sha256_password"
	pluginEd25519 = "client_ed25519"
	pluginClear   = "mysql_clear_password"
)

// PacketIO sends and receives whole packets while somebody logs in.
type PacketIO interface {
	// ReadPacket returns the payload of the next packet. It is valid until the next call.
	ReadPacket() ([]byte, error)
	// WritePacket sends a payload, at once.
	WritePacket(payload []byte) error
}

// loginIO is the PacketIO of a connection on which nobody is logged in yet. It never reads a byte
// beyond the packet that was asked for, since what follows may be TLS or compressed.
type loginIO struct {
	rw  io.ReadWriter
	seq byte // of the next packet, in either direction
	buf []byte
}

// ReadPacket returns the next packet's payload, at most maxLoginPacket bytes.
func (l *loginIO) ReadPacket() ([]byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(l.rw, header[:]); err != nil {
		return nil, err
	}
	n := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	if n > maxLoginPacket {
		return nil, fmt.Errorf("%w: log-in packet of %d > %d bytes", wire.ErrTooLarge, n, maxLoginPacket)
	}
	if header[3] != l.seq {
		return nil, fmt.Errorf("%w: sequence number %d, not %d", wire.ErrMalformed, header[3], l.seq)
	}
	l.seq++
	if n > cap(l.buf) {
		l.buf = make([]byte, n)
	}
	l.buf = l.buf[:n]
	if _, err := io.ReadFull(l.rw, l.buf); err != nil {
		return nil, unexpected(err)
	}
	return l.buf, nil
}

// WritePacket sends a payload of at most maxLoginPacket bytes.
func (l *loginIO) WritePacket(payload []byte) error {
	p := putHeader(make([]byte, 0, headerSize+len(payload)), len(payload), l.seq)
	l.seq++
	_, err := l.rw.Write(append(p, payload...))
	return err
}

// unexpected turns the end of the stream inside a packet into an error that says so.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// newSalt makes a challenge: printable or control characters of seven bits, none of them zero
// (which ends strings) or '$' (which separates the fields of a stored caching_sha2 password).
func newSalt() [saltSize]byte {
	var salt [saltSize]byte
	rand.Read(salt[:])
	for i, b := range salt {
		b &= 0x7f
		if b == 0 || b == '$' {
			b++
		}
		salt[i] = b
	}
	return salt
}

// appendAuthSwitch appends the payload of an AuthSwitchRequest: answer again, by that method.
func appendAuthSwitch(dst []byte, plugin string, salt []byte) []byte {
	dst = append(append(append(dst, markEOF), plugin...), 0)
	return append(append(dst, salt...), 0)
}

// parseAuthSwitch reads an AuthSwitchRequest. The salt aliases p. A server that asks for the
// authentication of before 4.1, in a packet of one byte, is refused.
func parseAuthSwitch(p []byte) (plugin string, salt []byte, err error) {
	r := fieldReader{p: p}
	if r.uint8() != markEOF {
		return "", nil, malformed("authentication switch")
	}
	if len(r.p) == 0 {
		return "", nil, fmt.Errorf("the server asks for the authentication of before MySQL 4.1: %w", errOldClient)
	}
	plugin, salt = string(r.nulOrRest()), r.p
	if len(salt) == saltSize+1 && salt[saltSize] == 0 { // but client_ed25519's ends as it likes
		salt = salt[:saltSize]
	}
	if tooLong(plugin) {
		return "", nil, malformed("authentication switch")
	}
	return plugin, salt, nil
}

// appendAuthMore appends the payload of an AuthMoreData packet.
func appendAuthMore(dst, data []byte) []byte {
	return append(append(dst, markAuthMore), data...)
}
