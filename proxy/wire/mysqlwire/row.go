package mysqlwire

// row.go: the few places that look into a row or a column definition: values that only the session
// knows, and Leat's own small queries.

import (
	"encoding/binary"
	"strconv"
)

const (
	typeLong     = 0x03
	typeLongLong = 0x08
)

// columnType is the type byte of a column definition; 0 when it can't be read.
func columnType(p []byte) byte {
	for range 6 { // catalog, schema, table, original table, name, original name
		_, n, ok := readLenencString(p)
		if !ok {
			return 0
		}
		p = p[n:]
	}
	// length of the fixed part (1), charset (2), length (4), type (1)
	if len(p) < 8 {
		return 0
	}
	return p[7]
}

// rewriteRow returns the row with the given values in place of the server's. In the binary protocol
// only integer columns can be replaced, which is what the functions concerned return.
func rewriteRow(p []byte, values [][]byte, types []byte, binaryRow bool) ([]byte, error) {
	if binaryRow {
		return rewriteBinaryRow(p, values, types)
	}
	row := make([]byte, 0, len(p)+32)
	for i := 0; len(p) > 0; i++ {
		n := 1
		if p[0] != lenencNull {
			var ok bool
			if _, n, ok = readLenencString(p); !ok {
				return nil, malformed("row")
			}
		}
		if i < len(values) && values[i] != nil {
			row = appendLenencString(row, values[i])
		} else {
			row = append(row, p[:n]...)
		}
		p = p[n:]
	}
	return row, nil
}

func rewriteBinaryRow(p []byte, values [][]byte, types []byte) ([]byte, error) {
	at := 1 + (len(types)+7+2)/8
	if len(p) < at {
		return nil, malformed("binary row")
	}
	row := append([]byte(nil), p...)
	for i, t := range types {
		size := map[byte]int{typeLong: 4, typeLongLong: 8}[t]
		if size == 0 || len(row) < at+size || row[1+(i+2)/8]&(1<<((i+2)%8)) != 0 {
			return nil, malformed("binary row of integers")
		}
		if i < len(values) && values[i] != nil {
			v, err := strconv.ParseInt(string(values[i]), 10, 64)
			if err != nil {
				return nil, err
			}
			if size == 8 {
				binary.LittleEndian.PutUint64(row[at:], uint64(v))
			} else {
				binary.LittleEndian.PutUint32(row[at:], uint32(v))
			}
		}
		at += size
	}
	return row, nil
}

// prepareOK is the first packet of the answer to COM_STMT_PREPARE.
type prepareOK struct {
	id              uint32
	columns, params int
	warnings        uint16
}

func parsePrepareOK(p []byte) (a prepareOK, err error) {
	if len(p) < 9 || p[0] != markOK {
		return a, malformed("answer to a prepare")
	}
	a.id = binary.LittleEndian.Uint32(p[1:])
	a.columns = int(binary.LittleEndian.Uint16(p[5:]))
	a.params = int(binary.LittleEndian.Uint16(p[7:]))
	if len(p) >= 12 {
		a.warnings = binary.LittleEndian.Uint16(p[10:])
	}
	return a, nil
}

func putUint32(dst []byte, v uint32) { binary.LittleEndian.PutUint32(dst, v) }
