package rawpostgres

// What a reply says, and masking what two runs of the same requests may differ in.

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// Reply is what a server sent for one or more requests.
type Reply struct {
	Messages []Message
}

// Shape is the kinds of the messages, in a word. Runs of four and more are counted: "TD1000CZ".
func (r *Reply) Shape() string {
	var b []byte
	for i := 0; i < len(r.Messages); {
		run := 1
		for i+run < len(r.Messages) && r.Messages[i+run].Kind == r.Messages[i].Kind {
			run++
		}
		kind := r.Messages[i].Kind
		if run < 4 {
			b = append(b, bytes.Repeat([]byte{kind}, run)...)
		} else {
			b = strconv.AppendInt(append(b, kind), int64(run), 10)
		}
		i += run
	}
	return string(b)
}

// Err is the reply's first ErrorResponse, a *ServerError, or nil.
func (r *Reply) Err() error {
	for _, m := range r.Messages {
		if m.Kind == 'E' {
			return parseError(m.Payload)
		}
	}
	return nil
}

// Rows are the values of all rows, as they came. NULL is "NULL".
func (r *Reply) Rows() [][]string {
	var rows [][]string
	for _, m := range r.Messages {
		if m.Kind == 'D' {
			rows = append(rows, m.row())
		}
	}
	return rows
}

func (m Message) row() []string {
	p := m.Payload
	if len(p) < 2 {
		return nil
	}
	p = p[2:]
	var row []string
	for len(p) >= 4 {
		n := int32(binary.BigEndian.Uint32(p))
		if p = p[4:]; n < 0 {
			row = append(row, "NULL")
			continue
		}
		if int(n) > len(p) {
			break
		}
		row, p = append(row, string(p[:n])), p[n:]
	}
	return row
}

// Value is the first column of the first row, or empty.
func (r *Reply) Value() string {
	rows := r.Rows()
	if len(rows) == 0 || len(rows[0]) == 0 {
		return ""
	}
	return rows[0][0]
}

// Tags are those of the CommandComplete messages.
func (r *Reply) Tags() []string {
	var tags []string
	for _, m := range r.Messages {
		if m.Kind == 'C' {
			tags = append(tags, string(bytes.TrimRight(m.Payload, "\x00")))
		}
	}
	return tags
}

// Params are the values of ParameterStatus messages.
func (r *Reply) Params() map[string]string {
	all := map[string]string{}
	for _, m := range r.Messages {
		if m.Kind != 'S' {
			continue
		}
		if parts := bytes.Split(m.Payload, []byte{0}); len(parts) >= 2 {
			all[string(parts[0])] = string(parts[1])
		}
	}
	return all
}

// Status is the last ReadyForQuery's: I (idle), T (in a transaction), E (in a failed one), or 0 without one.
func (r *Reply) Status() byte {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if m := r.Messages[i]; m.Kind == 'Z' && len(m.Payload) == 1 {
			return m.Payload[0]
		}
	}
	return 0
}

// firstUserOID is the first that isn't the same in each database.
const firstUserOID = 16384

// Masked is the reply without what a connection or a newly made table has to itself: the key for cancel requests, the process of a
// notification, OIDs of what users made, and where in the server's source an error comes from.
func (r *Reply) Masked() *Reply {
	m := &Reply{Messages: make([]Message, len(r.Messages))}
	for i, msg := range r.Messages {
		msg.Payload = bytes.Clone(msg.Payload)
		switch msg.Kind {
		case 'K':
			clear(msg.Payload)
		case 'A':
			clear(msg.Payload[:min(4, len(msg.Payload))])
		case 'E', 'N':
			msg.Payload = maskError(msg.Payload)
		case 'T':
			maskColumns(msg.Payload)
		case 't':
			for p := msg.Payload; len(p) >= 6; p = p[4:] {
				maskOID(p[2:6])
			}
		}
		m.Messages[i] = msg
	}
	return m
}

// maskError leaves out the fields F, L and R.
func maskError(p []byte) []byte {
	var out []byte
	for len(p) > 0 && p[0] != 0 {
		end := bytes.IndexByte(p, 0)
		if end < 0 {
			return append(out, p...)
		}
		if p[0] != 'F' && p[0] != 'L' && p[0] != 'R' {
			out = append(out, p[:end+1]...)
		}
		p = p[end+1:]
	}
	return append(out, p...)
}

// maskColumns masks the table and the type of each column of a RowDescription, in place.
func maskColumns(p []byte) {
	if len(p) < 2 {
		return
	}
	p = p[2:]
	const fixed = 18 // table, column, type, size, modifier, format
	for {
		end := bytes.IndexByte(p, 0)
		if end < 0 || len(p) < end+1+fixed {
			return
		}
		p = p[end+1:]
		maskOID(p[:4])
		maskOID(p[6:10])
		p = p[fixed:]
	}
}

func maskOID(p []byte) {
	if binary.BigEndian.Uint32(p) > firstUserOID {
		binary.BigEndian.PutUint32(p, firstUserOID)
	}
}
