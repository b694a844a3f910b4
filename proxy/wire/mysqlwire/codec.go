package mysqlwire

// The protocol's smallest pieces: integers, strings, packet headers and error packets.

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"leat/proxy/wire"
)

// headerSize is the size of a packet's header: three bytes of length and the sequence number.
const headerSize = 4

// maxFrame is the largest payload of one packet. A payload of this size or more goes on in the
// next packet, and an exact multiple of it ends with an empty one.
const maxFrame = 1<<24 - 1

// putHeader appends a packet header. The length is that of the payload, at most maxFrame.
func putHeader(dst []byte, length int, seq byte) []byte {
	return append(dst, byte(length), byte(length>>8), byte(length>>16), seq)
}

// lenencNull stands in the place of a length for a NULL value.
const lenencNull = 0xfb

// appendLenencInt appends a length-encoded integer.
func appendLenencInt(dst []byte, v uint64) []byte {
	switch {
	case v < 251:
		return append(dst, byte(v))
	case v < 1<<16:
		return append(dst, 0xfc, byte(v), byte(v>>8))
	case v < 1<<24:
		return append(dst, 0xfd, byte(v), byte(v>>8), byte(v>>16))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xfe), v)
}

// readLenencInt reads a length-encoded integer from the start of p; n is the number of bytes that
// it takes. It is not ok when p is too short, and for lenencNull and 0xff, which are no integers.
func readLenencInt(p []byte) (v uint64, n int, ok bool) {
	if len(p) == 0 {
		return 0, 0, false
	}
	switch c := p[0]; {
	case c < lenencNull:
		return uint64(c), 1, true
	case c == 0xfc && len(p) >= 3:
		return uint64(p[1]) | uint64(p[2])<<8, 3, true
	case c == 0xfd && len(p) >= 4:
		return uint64(p[1]) | uint64(p[2])<<8 | uint64(p[3])<<16, 4, true
	case c == 0xfe && len(p) >= 9:
		return binary.LittleEndian.Uint64(p[1:]), 9, true
	}
	return 0, 0, false
}

// appendLenencString appends a string behind its length.
func appendLenencString[T string | []byte](dst []byte, s T) []byte {
	return append(appendLenencInt(dst, uint64(len(s))), s...)
}

// readLenencString reads a string behind its length from the start of p; n is the number of bytes
// that both take. The string aliases p. It is not ok when p is too short.
func readLenencString(p []byte) (s []byte, n int, ok bool) {
	length, n, ok := readLenencInt(p)
	if !ok || length > uint64(len(p)-n) {
		return nil, 0, false
	}
	end := n + int(length)
	return p[n:end:end], end, true
}

// readNulString reads the string before the first zero byte; n counts that byte too.
// The string aliases p.
func readNulString(p []byte) (s []byte, n int, ok bool) {
	i := bytes.IndexByte(p, 0)
	if i < 0 {
		return nil, 0, false
	}
	return p[:i:i], i + 1, true
}

// fieldReader takes a packet apart, field by field. Once a field is missing, bad is set and all that
// follow are empty, so that a decoder checks once at its end. What it returns aliases the packet.
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
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *fieldReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// nul returns the string before the next zero byte.
func (r *fieldReader) nul() []byte {
	s, n, ok := readNulString(r.p)
	if !ok {
		n = -1
	}
	r.take(n)
	return s
}

// nulOrRest is nul for a string whose zero byte some clients leave out at the packet's end.
func (r *fieldReader) nulOrRest() []byte {
	if bytes.IndexByte(r.p, 0) < 0 {
		return r.take(len(r.p))
	}
	return r.nul()
}

// lenenc returns a string behind its length.
func (r *fieldReader) lenenc() []byte {
	s, n, ok := readLenencString(r.p)
	if !ok {
		n = -1
	}
	r.take(n)
	return s
}

// The first byte of a reply's first packet, and of packets that end a result.
const (
	markOK          = 0x00
	markAuthMore    = 0x01
	markLocalInfile = 0xfb
	markEOF         = 0xfe // also an OK that ends a result, and AuthSwitchRequest
	markErr         = 0xff
)

// AppendErr appends the payload of an error packet. The SQLSTATE is left out for a client that
// does not speak the 4.1 protocol, or hasn't said yet that it does.
func AppendErr(dst []byte, number uint16, state, msg string, caps Capability) []byte {
	dst = append(dst, markErr, byte(number), byte(number>>8))
	if caps&ClientProtocol41 != 0 {
		if len(state) != 5 {
			state = "HY000"
		}
		dst = append(append(dst, '#'), state...)
	}
	return append(dst, msg...)
}

// ParseErr reads the payload of an error packet. What is too short to be one is still an error,
// with number 2027 (malformed packet).
func ParseErr(p []byte) *wire.ServerError {
	if len(p) < 3 || p[0] != markErr {
		return &wire.ServerError{Number: 2027, SQLState: "HY000", Message: "malformed error packet"}
	}
	e := &wire.ServerError{Number: binary.LittleEndian.Uint16(p[1:]), SQLState: "HY000"}
	p = p[3:]
	if len(p) >= 6 && p[0] == '#' {
		e.SQLState, p = string(p[1:6]), p[6:]
	}
	e.Message = string(p)
	return e
}

// errorNumber is MySQL's number and SQLSTATE for an error of Leat's own.
func errorNumber(code wire.Code) (number uint16, sqlstate string) {
	if int(code) < len(errorNumbers) {
		if e := errorNumbers[code]; e.number != 0 {
			return e.number, e.state
		}
	}
	return 1105, "HY000"
}

var errorNumbers = [...]struct {
	number uint16
	state  string
}{
	wire.CodeInternal:          {1105, "HY000"},
	wire.CodeAccessDenied:      {1045, "28000"},
	wire.CodeTooManyClients:    {1040, "08004"},
	wire.CodeNoDatabase:        {1049, "42000"},
	wire.CodeUnknownCommand:    {1047, "08S01"},
	wire.CodeMalformed:         {1835, "HY000"},
	wire.CodeTooLarge:          {1153, "08S01"},
	wire.CodeUnavailable:       {1105, "HY000"},
	wire.CodePoolTimeout:       {1203, "42000"},
	wire.CodeServerGone:        {2013, "HY000"},
	wire.CodeUnknownOutcome:    {2013, "HY000"},
	wire.CodeCancelled:         {1317, "70100"},
	wire.CodeQueryTimeout:      {3024, "HY000"},
	wire.CodeShutdown:          {1053, "08S01"},
	wire.CodeNotSupported:      {1235, "42000"},
	wire.CodeNoSuchThread:      {1094, "HY000"},
	wire.CodeKillDenied:        {1095, "HY000"},
	wire.CodeNoSuchStatement:   {1243, "HY000"},
	wire.CodeIdle:              {4031, "HY000"},
	wire.CodeTLSRequired:       {3159, "HY000"},
	wire.CodeBadValue:          {1231, "42000"},
	wire.CodeTooManyStatements: {1461, "42000"},
	wire.CodeTxTimeout:         {1105, "HY000"},
	wire.CodeReadOnlyTx:        {1792, "25006"},
	wire.CodeConnKilled:        {1927, "70100"},
}

// malformed is wire.ErrMalformed with what was being read.
func malformed(what string) error { return fmt.Errorf("%s: %w", what, wire.ErrMalformed) }
