package rawpostgres

// The messages that a client sends.

import (
	"encoding/binary"
)

// NewMessage makes a message of any kind.
func NewMessage(kind byte, payload []byte) []byte {
	b := append(make([]byte, 0, len(payload)+5), kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)+4))
	return append(b, payload...)
}

// Query is the simple protocol's.
func Query(sql string) []byte { return NewMessage('Q', cstring(nil, sql)) }

// Parse makes a statement; an empty name is the unnamed one. Types are parameter OIDs, of which 0 is unknown.
func Parse(name, sql string, types ...uint32) []byte {
	b := cstring(cstring(nil, name), sql)
	b = binary.BigEndian.AppendUint16(b, uint16(len(types)))
	for _, oid := range types {
		b = binary.BigEndian.AppendUint32(b, oid)
	}
	return NewMessage('P', b)
}

// Arg is a parameter. A nil Value is NULL.
type Arg struct {
	Value  []byte
	Binary bool
}

// Bind makes a portal of a statement. With args that are all text no format codes are sent. Results are the format
// codes asked for: none for text, one for all columns, or one per column.
func Bind(portal, statement string, args []Arg, results ...int16) []byte {
	b := cstring(cstring(nil, portal), statement)
	b = appendArgs(b, args)
	b = binary.BigEndian.AppendUint16(b, uint16(len(results)))
	for _, format := range results {
		b = binary.BigEndian.AppendUint16(b, uint16(format))
	}
	return NewMessage('B', b)
}

// appendArgs appends format codes and values, as Bind and FunctionCall have them.
func appendArgs(b []byte, args []Arg) []byte {
	formats := 0
	for _, a := range args {
		if a.Binary {
			formats = len(args)
		}
	}
	b = binary.BigEndian.AppendUint16(b, uint16(formats))
	for _, a := range args[:formats] {
		code := uint16(0)
		if a.Binary {
			code = 1
		}
		b = binary.BigEndian.AppendUint16(b, code)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(args)))
	for _, a := range args {
		if a.Value == nil {
			b = binary.BigEndian.AppendUint32(b, 0xffffffff)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(a.Value))), a.Value...)
	}
	return b
}

// Describe a statement ('S') or a portal ('P').
func Describe(what byte, name string) []byte {
	return NewMessage('D', cstring([]byte{what}, name))
}

// Execute a portal. Zero rows are all of them.
func Execute(portal string, rows uint32) []byte {
	return NewMessage('E', binary.BigEndian.AppendUint32(cstring(nil, portal), rows))
}

// CloseObject closes a statement ('S') or a portal ('P').
func CloseObject(what byte, name string) []byte {
	return NewMessage('C', cstring([]byte{what}, name))
}

// FunctionCall calls a function by its OID, with a result in text (0) or binary (1).
func FunctionCall(oid uint32, args []Arg, result int16) []byte {
	b := appendArgs(binary.BigEndian.AppendUint32(nil, oid), args)
	return NewMessage('F', binary.BigEndian.AppendUint16(b, uint16(result)))
}

// Sync ends a run of messages.
func Sync() []byte { return NewMessage('S', nil) }

// Flush asks for the answers so far.
func Flush() []byte { return NewMessage('H', nil) }

// CopyData is a piece of what is copied.
func CopyData(b []byte) []byte { return NewMessage('d', b) }

// CopyDone ends a copy.
func CopyDone() []byte { return NewMessage('c', nil) }

// CopyFail makes a copy fail.
func CopyFail(why string) []byte { return NewMessage('f', cstring(nil, why)) }

// Terminate says goodbye.
func Terminate() []byte { return NewMessage('X', nil) }

// SSLRequest asks whether the server has TLS.
func SSLRequest() []byte { return request(80877103, nil) }

// GSSENCRequest asks whether the server has GSS encryption.
func GSSENCRequest() []byte { return request(80877104, nil) }

// CancelRequest stands alone on a connection.
func CancelRequest(pid uint32, key []byte) []byte {
	return request(80877102, append(binary.BigEndian.AppendUint32(nil, pid), key...))
}

// Startup begins a session of protocol 3.minor. Pairs are names and values by turns.
func Startup(minor uint16, pairs ...string) []byte {
	var b []byte
	for _, s := range pairs {
		b = cstring(b, s)
	}
	return request(3<<16|uint32(minor), append(b, 0))
}

// request is a message without a kind.
func request(code uint32, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)+8))
	return append(binary.BigEndian.AppendUint32(b, code), payload...)
}

func cstring(b []byte, s string) []byte { return append(append(b, s...), 0) }
