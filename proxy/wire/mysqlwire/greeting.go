package mysqlwire

// The greeting (protocol version 10): what a server says first on a new connection.

import (
	"encoding/binary"
	"fmt"
	"strings"

	"leat/proxy/wire"
)

// saltSize is the number of random bytes that a server challenges a client with.
const saltSize = 20

// greeting is a server's first packet.
type greeting struct {
	version      string
	threadID     uint32
	salt         []byte // saltSize bytes, or 8 from a server before 4.1
	capabilities Capability
	mariadb      MariaDBCapability // zero unless the server is a MariaDB
	charset      uint8             // the low byte of the default collation's id
	status       uint16
	plugin       string // the authentication method that the salt is meant for
}

// flavor is told by the version: every MariaDB names itself there.
func (g *greeting) flavor() wire.Flavor {
	if strings.Contains(strings.ToLower(g.version), "mariadb") {
		return wire.FlavorMariaDB
	}
	return wire.FlavorMySQL
}

// append appends the greeting's payload.
func (g *greeting) append(dst []byte) []byte {
	dst = append(dst, 10)
	dst = append(append(dst, g.version...), 0)
	dst = binary.LittleEndian.AppendUint32(dst, g.threadID)
	dst = append(append(dst, g.salt[:8]...), 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.capabilities))
	dst = append(dst, g.charset)
	dst = binary.LittleEndian.AppendUint16(dst, g.status)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.capabilities>>16))
	dst = append(dst, byte(len(g.salt)+1), 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(g.mariadb))
	dst = append(append(dst, g.salt[8:]...), 0)
	return append(append(dst, g.plugin...), 0)
}

// parseGreeting reads a greeting. A server that refuses the connection outright sends an error
// packet in its place: the error is then a *wire.ServerError.
func parseGreeting(p []byte) (*greeting, error) {
	if len(p) > 0 && p[0] == markErr {
		return nil, ParseErr(p)
	}
	r := fieldReader{p: p}
	if v := r.uint8(); !r.bad && v != 10 {
		return nil, fmt.Errorf("greeting of protocol version %d, not 10: %w", v, wire.ErrMalformed)
	}
	g := &greeting{version: string(r.nul()), threadID: r.uint32(), plugin: pluginNative}
	g.salt = append(g.salt, r.take(8)...)
	r.take(1)
	g.capabilities = Capability(r.uint16())
	if len(r.p) == 0 && !r.bad { // before 4.1
		return g, nil
	}
	g.charset, g.status = r.uint8(), r.uint16()
	g.capabilities |= Capability(r.uint16()) << 16
	saltLen := int(r.uint8())
	r.take(6)
	if mariadb := r.uint32(); g.capabilities&ClientLongPassword == 0 {
		g.mariadb = MariaDBCapability(mariadb)
	}
	if g.capabilities&ClientSecureConnection != 0 {
		rest := r.take(max(saltSize-8+1, saltLen-8)) // with a zero byte at its end
		if !r.bad {
			g.salt = append(g.salt, rest[:len(rest)-1]...)
		}
	}
	if g.capabilities&ClientPluginAuth != 0 {
		g.plugin = string(r.nulOrRest())
	}
	if r.bad {
		return nil, malformed("greeting")
	}
	return g, nil
}
