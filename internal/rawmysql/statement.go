package rawmysql

// Payloads of prepared statement commands.

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Cursor flags of an EXECUTE.
const (
	NoCursor       byte = 0
	ReadOnlyCursor byte = 1
)

// PreparePayload is a COM_STMT_PREPARE.
func PreparePayload(sql string) []byte { return append([]byte{ComStmtPrepare}, sql...) }

// ClosePayload, ResetPayload and FetchPayload are commands on a statement.
func ClosePayload(id uint32) []byte { return statementCommand(ComStmtClose, id) }

// ResetPayload is a COM_STMT_RESET.
func ResetPayload(id uint32) []byte { return statementCommand(ComStmtReset, id) }

// FetchPayload is a COM_STMT_FETCH of n rows.
func FetchPayload(id, n uint32) []byte {
	return binary.LittleEndian.AppendUint32(statementCommand(ComStmtFetch, id), n)
}

// LongDataPayload is a COM_STMT_SEND_LONG_DATA for one parameter.
func LongDataPayload(id uint32, param uint16, data []byte) []byte {
	p := binary.LittleEndian.AppendUint16(statementCommand(ComStmtSendLongData, id), param)
	return append(p, data...)
}

// LongData as an argument of ExecutePayload stands for a value sent by LongDataPayload before.
type LongData struct{}

// ExecutePayload is a COM_STMT_EXECUTE that binds its arguments: nil, int, uint64, float64, string,
// []byte or LongData.
func ExecutePayload(id uint32, cursor byte, args ...any) ([]byte, error) {
	p := append(statementCommand(ComStmtExecute, id), cursor, 1, 0, 0, 0)
	if len(args) == 0 {
		return p, nil
	}
	nulls := make([]byte, (len(args)+7)/8)
	var types, values []byte
	for i, arg := range args {
		switch v := arg.(type) {
		case nil:
			nulls[i/8] |= 1 << (i % 8)
			types = append(types, 0x06, 0)
		case int:
			types = append(types, 0x08, 0)
			values = binary.LittleEndian.AppendUint64(values, uint64(v))
		case uint64:
			types = append(types, 0x08, 0x80)
			values = binary.LittleEndian.AppendUint64(values, v)
		case float64:
			types = append(types, 0x05, 0)
			values = binary.LittleEndian.AppendUint64(values, math.Float64bits(v))
		case string:
			types = append(types, 0xfd, 0)
			values = append(appendLenenc(values, len(v)), v...)
		case []byte:
			types = append(types, 0xfc, 0)
			values = append(appendLenenc(values, len(v)), v...)
		case LongData:
			types = append(types, 0xfc, 0)
		default:
			return nil, fmt.Errorf("argument %d: no way to bind a %T", i, arg)
		}
	}
	p = append(append(p, nulls...), 1)
	return append(append(p, types...), values...), nil
}

// ReExecutePayload is a COM_STMT_EXECUTE that sends values without their types, as clients do after the
// first: the server keeps the types.
func ReExecutePayload(id uint32, cursor byte, args ...any) ([]byte, error) {
	full, err := ExecutePayload(id, cursor, args...)
	if err != nil || len(args) == 0 {
		return full, err
	}
	head := 10 + (len(args)+7)/8
	p := append(append([]byte{}, full[:head]...), 0)
	return append(p, full[head+1+2*len(args):]...), nil
}

func statementCommand(command byte, id uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{command}, id)
}

func appendLenenc(b []byte, n int) []byte {
	switch {
	case n < 0xfb:
		return append(b, byte(n))
	case n < 1<<16:
		return append(b, 0xfc, byte(n), byte(n>>8))
	case n < 1<<24:
		return append(b, 0xfd, byte(n), byte(n>>8), byte(n>>16))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0xfe), uint64(n))
}
