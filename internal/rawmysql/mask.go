package rawmysql

// Masking what two runs of the same commands may differ in.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Session tracker entries of an OK packet.
const (
	trackVariable byte = 0
	trackGTID     byte = 3
)

// volatile are tracked variables whose values two runs don't share.
var volatile = map[string]bool{"last_gtid": true, "statement_id": true, "pseudo_thread_id": true, "timestamp": true, "gtid_seq_no": true}

// foretold are the status flags that an EOF between columns and rows must have right, as clients act on
// them there. The others are the final EOF's to tell: what comes before the rows is a guess, and a proxy
// whose server sends no such EOF has none to pass on.
const foretold = StatusCursorExists | StatusPSOutParams

// Masked is the reply with statement ids, GTIDs and such tracker values blanked out, and of the EOF between
// columns and rows the warnings and all status flags but those foretold. Their presence shows.
func (r *Reply) Masked(flags uint32) *Reply {
	m := &Reply{Frames: make([]Frame, len(r.Frames))}
	for i, f := range r.Frames {
		m.Frames[i] = f
		switch f.Kind {
		case KindPrepared:
			p := bytes.Clone(f.Payload)
			copy(p[1:5], "\x00\x00\x00\x00")
			m.Frames[i].Payload = p
		case KindEOF:
			if i > 0 && r.Frames[i-1].Kind == KindColumn && len(f.Payload) >= 5 {
				p := bytes.Clone(f.Payload)
				binary.LittleEndian.PutUint16(p[1:], 0) // warnings
				binary.LittleEndian.PutUint16(p[3:], status(&f)&foretold)
				m.Frames[i].Payload = p
			}
		case KindOK:
			if flags&SessionTrack != 0 && status(&f)&StatusStateChanged != 0 {
				m.Frames[i].Payload = maskTrackers(f.Payload)
			}
		}
		maskIndexFlags(&m.Frames[i])
	}
	return m
}

// maskIndexFlags blanks SERVER_QUERY_NO_GOOD_INDEX_USED and _NO_INDEX_USED: they follow each server's statistics.
func maskIndexFlags(f *Frame) {
	const noGoodIndex, noIndex = 1 << 4, 1 << 5
	at := 3 // of an EOF: mark and warnings come first
	if f.Kind == KindOK && len(f.Payload) > 0 {
		at = 1
		for range 2 { // affected rows, insert id
			_, size := lenenc(f.Payload[at:])
			at += size
		}
	}
	if f.Kind != KindOK && f.Kind != KindEOF || at >= len(f.Payload) || f.Payload[at]&(noGoodIndex|noIndex) == 0 {
		return
	}
	f.Payload = bytes.Clone(f.Payload)
	f.Payload[at] &^= noGoodIndex | noIndex
}

// maskTrackers rewrites an OK packet in a readable form, with the volatile values left out.
func maskTrackers(p []byte) []byte {
	rest := p[1:]
	skip := func() {
		_, size := lenenc(rest)
		rest = rest[size:]
	}
	skip() // affected rows
	skip() // insert id
	if len(rest) < 4 {
		return p
	}
	rest = rest[4:] // status, warnings
	info, rest := cutString(rest)
	head := p[:len(p)-len(rest)-len(info)]
	trackers, _ := cutString(rest)
	var entries []string
	for len(trackers) > 0 {
		kind := trackers[0]
		var data []byte
		data, trackers = cutString(trackers[1:])
		entries = append(entries, fmt.Sprintf("|%d:%s", kind, maskTracker(kind, data)))
	}
	if len(entries) == 0 { // MySQL may set the flag and have nothing to tell
		head = bytes.Clone(p[:len(p)-len(rest)-len(info)-1])
		at := len(head) - 4
		binary.LittleEndian.PutUint16(head[at:], binary.LittleEndian.Uint16(head[at:])&^StatusStateChanged)
		if len(info) > 0 {
			head = append(append(head, byte(len(info))), info...)
		}
		return head
	}
	slices.Sort(entries) // variables come in the order of a hash table
	return append(append(bytes.Clone(head), info...), strings.Join(entries, "")...)
}

func maskTracker(kind byte, data []byte) []byte {
	switch kind {
	case trackGTID:
		return []byte("GTID")
	case trackVariable:
		// name and value; MariaDB puts several pairs into one entry
		var out []byte
		for len(data) > 0 {
			var name, value []byte
			name, data = cutString(data)
			value, data = cutString(data)
			if volatile[strings.ToLower(string(name))] {
				value = []byte("MASKED")
			}
			out = append(append(append(append(out, name...), '='), value...), ' ')
		}
		return out
	}
	return data
}

// cutString takes a length-encoded string off p.
func cutString(p []byte) (s, rest []byte) {
	n, size := lenenc(p)
	if size == 0 || n > uint64(len(p)-size) {
		return nil, nil
	}
	return p[size : size+int(n)], p[size+int(n):]
}

// ColumnName is the name (alias) of a column frame.
func (f *Frame) ColumnName() string {
	p := f.Payload
	var s []byte
	for range 5 { // catalog, schema, table, original table, name
		s, p = cutString(p)
	}
	return string(s)
}

// Warnings is the warning count of an OK or EOF frame.
func (f *Frame) Warnings() uint16 {
	if f.Kind == KindEOF && len(f.Payload) >= 5 {
		return binary.LittleEndian.Uint16(f.Payload[1:])
	}
	if f.Kind != KindOK || len(f.Payload) == 0 {
		return 0
	}
	p := f.Payload[1:]
	for range 2 {
		_, size := lenenc(p)
		p = p[size:]
	}
	if len(p) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint16(p[2:])
}
