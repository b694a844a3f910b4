package mysqlwire

// ok.go: the OK packet, which ends most replies, and the session state changes inside it.

import (
	"encoding/binary"

	"leat/proxy/wire"
)

// okPacket is an OK packet, or an OK in an EOF's place (mark 0xfe). Its slices alias the packet.
type okPacket struct {
	mark     byte
	affected uint64
	insertID uint64
	status   uint16
	warnings uint16
	info     []byte
	track    []byte // session state changes, as they stand in the packet; nil: none, not even an empty list
}

// parseOK reads an OK packet of a connection with ClientSessionTrack in force.
func parseOK(p []byte) (ok okPacket, err error) {
	if len(p) < 1 {
		return ok, malformed("OK packet")
	}
	ok.mark = p[0]
	p = p[1:]
	var n int
	var good bool
	if ok.affected, n, good = readLenencInt(p); !good {
		return ok, malformed("affected rows of an OK packet")
	}
	p = p[n:]
	if ok.insertID, n, good = readLenencInt(p); !good || len(p) < n+4 {
		return ok, malformed("insert id of an OK packet")
	}
	p = p[n:]
	ok.status = binary.LittleEndian.Uint16(p)
	ok.warnings = binary.LittleEndian.Uint16(p[2:])
	p = p[4:]
	if len(p) == 0 {
		return ok, nil
	}
	if ok.info, n, good = readLenencString(p); !good {
		return ok, malformed("info of an OK packet")
	}
	p = p[n:]
	if ok.status&StatusSessionChanged == 0 || len(p) == 0 {
		return ok, nil
	}
	if ok.track, _, good = readLenencString(p); !good {
		return ok, malformed("session state of an OK packet")
	}
	return ok, nil
}

// append writes the packet as a client with these capabilities expects it.
func (ok *okPacket) append(dst []byte, caps Capability) []byte {
	status := ok.status
	if ok.track == nil || caps&ClientSessionTrack == 0 {
		status &^= StatusSessionChanged
	}
	if ok.mark == markEOF && caps&ClientDeprecateEOF == 0 {
		return appendEOF(dst, ok.warnings, status)
	}
	dst = append(dst, ok.mark)
	dst = appendLenencInt(dst, ok.affected)
	dst = appendLenencInt(dst, ok.insertID)
	dst = append(dst, byte(status), byte(status>>8), byte(ok.warnings), byte(ok.warnings>>8))
	changed := status&StatusSessionChanged != 0
	if len(ok.info) > 0 || changed {
		dst = appendLenencString(dst, ok.info)
	}
	if changed {
		dst = appendLenencString(dst, ok.track)
	}
	return dst
}

func appendEOF(dst []byte, warnings, status uint16) []byte {
	return append(dst, markEOF, byte(warnings), byte(warnings>>8), byte(status), byte(status>>8))
}

// trackEntry is one session state change: its type and data, and the whole entry's bytes.
type trackEntry struct {
	kind byte
	data []byte
	raw  []byte
}

// nextTrack splits the first entry off a list of session state changes.
func nextTrack(p []byte) (e trackEntry, rest []byte, err error) {
	if len(p) < 2 {
		return e, nil, malformed("session state change")
	}
	data, n, good := readLenencString(p[1:])
	if !good {
		return e, nil, malformed("session state change")
	}
	return trackEntry{p[0], data, p[:1+n]}, p[1+n:], nil
}

// eachVariable calls f for each name and value of a system variables entry.
func eachVariable(data []byte, f func(name, value []byte)) error {
	for len(data) > 0 {
		name, n, good := readLenencString(data)
		if !good {
			return malformed("tracked variable")
		}
		value, m, good := readLenencString(data[n:])
		if !good {
			return malformed("tracked variable")
		}
		f(name, value)
		data = data[n+m:]
	}
	return nil
}

// txState reads a transaction state off status flags.
func txState(status uint16) wire.TxState {
	switch {
	case status&StatusInTransReadOnly != 0:
		return wire.TxReadOnly
	case status&StatusInTrans != 0:
		return wire.TxOpen
	}
	return wire.TxIdle
}
