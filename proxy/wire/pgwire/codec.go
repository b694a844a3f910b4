// Package pgwire speaks PostgreSQL's protocol, 3.0 and 3.2: with clients as their server, and with servers
// as their client. Messages are passed on as they came wherever nothing in them has to be known.
//
// It does not route, pool or parse SQL, and it never looks into a row.
package pgwire

// The protocol's smallest pieces: integers, strings and message headers, and the messages that Leat writes itself.

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"leat/proxy/wire"
)

const (
	// lengthSize is the size of a message's length, which counts itself.
	lengthSize = 4
	// headerSize is the size of a message's header: its type and its length.
	headerSize = 1 + lengthSize
)

// appendHeader appends a message's header. The length is that of the payload.
func appendHeader(dst []byte, kind byte, length int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, kind), uint32(length+lengthSize))
}

// appendMessage appends a message.
func appendMessage[T string | []byte](dst []byte, kind byte, payload T) []byte {
	return append(appendHeader(dst, kind, len(payload)), payload...)
}

// endMessage writes the length of a message that begins at start, and goes up to the end, into its header.
func endMessage(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-1))
	return dst
}

// appendNul appends a string and the zero byte that ends it. The string must have none of its own.
func appendNul[T string | []byte](dst []byte, s T) []byte {
	return append(append(dst, s...), 0)
}

// appendParameterStatus appends the message that tells a client a setting's value.
func appendParameterStatus(dst []byte, name, value string) []byte {
	dst = appendHeader(dst, repParameterStatus, len(name)+len(value)+2)
	return appendNul(appendNul(dst, name), value)
}

// parseParameterStatus reads a setting's name and value from a ParameterStatus. Both alias p.
func parseParameterStatus(p []byte) (name, value []byte, err error) {
	r := fieldReader{p: p}
	name, value = r.nul(), r.nul()
	if !r.done() {
		return nil, nil, malformed("ParameterStatus")
	}
	return name, value, nil
}

// appendKeyData appends BackendKeyData: what a client must show to cancel a request.
func appendKeyData(dst []byte, pid uint32, key []byte) []byte {
	dst = appendHeader(dst, repBackendKeyData, 4+len(key))
	return append(binary.BigEndian.AppendUint32(dst, pid), key...)
}

// parseKeyData reads BackendKeyData. The key aliases p.
func parseKeyData(p []byte) (pid uint32, key []byte, err error) {
	r := fieldReader{p: p}
	pid = r.uint32()
	if r.bad || len(r.p) < 4 || len(r.p) > maxCancelKey {
		return 0, nil, malformed("BackendKeyData")
	}
	return pid, r.p, nil
}

// appendReady appends ReadyForQuery.
func appendReady(dst []byte, tx wire.TxState) []byte {
	status := byte(txOpen)
	switch tx {
	case wire.TxIdle:
		status = txIdle
	case wire.TxFailed:
		status = txFailed
	}
	return append(appendHeader(dst, repReadyForQuery, 1), status)
}

// parseReady reads the transaction state from a ReadyForQuery.
func parseReady(p []byte) (wire.TxState, error) {
	if len(p) == 1 {
		switch p[0] {
		case txIdle:
			return wire.TxIdle, nil
		case txOpen:
			return wire.TxOpen, nil
		case txFailed:
			return wire.TxFailed, nil
		}
	}
	return wire.TxUnknown, malformed("ReadyForQuery")
}

// appendCommandComplete appends the message that ends a statement's reply, with its tag.
func appendCommandComplete(dst []byte, tag string) []byte {
	return appendNul(appendHeader(dst, repCommandComplete, len(tag)+1), tag)
}

// appendQuery appends a simple query. The text must have no zero byte.
func appendQuery(dst []byte, sql string) []byte {
	return appendNul(appendHeader(dst, reqQuery, len(sql)+1), sql)
}

// fieldReader takes a message apart, field by field. Once a field is missing, bad is set and all that
// follow are empty, so that a decoder checks once at its end. What it returns aliases the message.
type fieldReader struct {
	p   []byte
	bad bool
}

// take returns the next n bytes; nil when there are fewer.
func (r *fieldReader) take(n int) []byte {
	if n < 0 || n > len(r.p) {
		r.bad, r.p = true, nil
		return nil
	}
	b := r.p[:n:n]
	r.p = r.p[n:]
	return b
}

func (r *fieldReader) uint8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *fieldReader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *fieldReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// nul returns the string before the next zero byte.
func (r *fieldReader) nul() []byte {
	i := bytes.IndexByte(r.p, 0)
	if i < 0 {
		r.take(-1)
		return nil
	}
	s := r.p[:i:i]
	r.p = r.p[i+1:]
	return s
}

// done reports whether the message was read to its very end, and nothing was missing.
func (r *fieldReader) done() bool { return !r.bad && len(r.p) == 0 }

// malformed is wire.ErrMalformed with what was being read.
func malformed(what string) error { return fmt.Errorf("%s: %w", what, wire.ErrMalformed) }
