package mysqlwire

// stream.go: the protocol's frames on a buffered connection.

import (
	"errors"
	"net"

	"leat/proxy/wire"
	"leat/proxy/wire/stream"
)

// reader reads frames.
type reader struct{ *stream.Reader }

func newReader(nc net.Conn) reader { return reader{stream.NewReader(nc)} }

// header waits for the next frame's header and returns its payload's length and sequence id,
// without consuming it.
func (rd reader) header() (length int, seq byte, err error) {
	if err := rd.Need(headerSize); err != nil {
		return 0, 0, err
	}
	b := rd.Bytes()
	return int(b[0]) | int(b[1])<<8 | int(b[2])<<16, b[3], nil
}

// frame waits for a whole frame and returns its payload, which aliases the buffer. The frame is
// still unread: discard headerSize+len(payload).
func (rd reader) frame(limit int) ([]byte, error) {
	n, _, err := rd.header()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, wire.ErrTooLarge
	}
	if err := rd.Need(headerSize + n); err != nil {
		return nil, err
	}
	return rd.Bytes()[headerSize : headerSize+n], nil
}

// writer writes frames.
type writer struct{ stream.Writer }

func newWriter(nc net.Conn) writer { return writer{stream.NewWriter(nc)} }

// packet appends one packet: its header, and its payload split into frames where it is long.
// It returns the next sequence id.
func (wr *writer) packet(payload []byte, seq byte) byte {
	for {
		n := min(len(payload), maxFrame)
		wr.Room(headerSize)
		wr.Append(byte(n), byte(n>>8), byte(n>>16), seq)
		wr.Write(payload[:n])
		seq++
		payload = payload[n:]
		if n < maxFrame {
			return seq
		}
	}
}

// isTimeout reports whether an error is a deadline that passed.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
