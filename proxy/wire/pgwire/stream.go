package pgwire

// stream.go: the protocol's messages on a buffered connection.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"leat/proxy/wire"
	"leat/proxy/wire/stream"
)

// reader reads messages.
type reader struct{ *stream.Reader }

func newReader(nc net.Conn) reader { return reader{stream.NewReader(nc)} }

// header waits for the next message's header and returns its type and its payload's length, without
// consuming it. The length is not bounded: a length over the limit is the caller's to refuse.
func (rd reader) header() (kind byte, length int, err error) {
	if err := rd.Need(headerSize); err != nil {
		return 0, 0, err
	}
	b := rd.Bytes()
	n := int32(binary.BigEndian.Uint32(b[1:]))
	if n < lengthSize {
		return b[0], 0, fmt.Errorf("message of length %d: %w", n, wire.ErrMalformed)
	}
	return b[0], int(n) - lengthSize, nil
}

// frame waits for a whole message of at most limit bytes of payload, which aliases the buffer. The message is
// still unread: discard headerSize+len(payload).
func (rd reader) frame(limit int) (kind byte, payload []byte, err error) {
	kind, n, err := rd.header()
	if err != nil {
		return 0, nil, err
	}
	if n > limit {
		return kind, nil, fmt.Errorf("message %q: %w: %d > %d bytes", kind, wire.ErrTooLarge, n, limit)
	}
	if err := rd.Need(headerSize + n); err != nil {
		return kind, nil, err
	}
	return kind, rd.Bytes()[headerSize : headerSize+n], nil
}

// discard drops a message that frame has returned.
func (rd reader) discard(payload []byte) { rd.Discard(headerSize + len(payload)) }

// writer writes messages.
type writer struct{ stream.Writer }

func newWriter(nc net.Conn) writer { return writer{stream.NewWriter(nc)} }

// message appends one message: its header and its payload, which is sent as it is where it is long.
func (wr *writer) message(kind byte, payload []byte) {
	n := len(payload) + lengthSize
	wr.Room(headerSize)
	wr.Append(kind, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	wr.Write(payload)
}

// isTimeout reports whether an error is a deadline that passed.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
