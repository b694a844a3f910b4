package mysqlwire

// The client's answer to a greeting, the short request for TLS that may come before it,
// COM_CHANGE_USER, which repeats most of it, and the connection attributes in both.

import (
	"encoding/binary"
	"fmt"

	"leat/proxy/wire"
)

const (
	// maxAttributes bounds the connection attributes of one client, in bytes, as servers do.
	maxAttributes = 1 << 16
	// maxName bounds the name of a user, a database or an authentication method, in bytes.
	maxName = 1 << 10
	// maxLoginPacket bounds every packet of a log-in, in bytes.
	maxLoginPacket = maxAttributes + 16<<10
)

// Attribute is one connection attribute: what a client tells of itself, such as program_name.
type Attribute struct{ Name, Value string }

// handshakeResponse is what a client answers to the greeting.
type handshakeResponse struct {
	capabilities Capability
	mariadb      MariaDBCapability // zero for a client that says it is a MySQL one
	maxPacket    uint32            // bytes; what the client says it takes
	charset      uint8             // the low byte of its collation's id
	user         string
	auth         []byte
	database     string
	plugin       string
	attributes   []Attribute
	zstdLevel    uint8 // 1 to 22; only with ClientZstd
}

// append appends the payload. The capabilities say which fields go with it.
func (h *handshakeResponse) append(dst []byte) []byte {
	dst = h.appendSSLRequest(dst)
	dst = append(append(dst, h.user...), 0)
	switch {
	case h.capabilities&ClientPluginAuthLenenc != 0:
		dst = appendLenencString(dst, h.auth)
	case h.capabilities&ClientSecureConnection != 0:
		dst = append(append(dst, byte(len(h.auth))), h.auth...)
	default:
		dst = append(append(dst, h.auth...), 0)
	}
	if h.capabilities&ClientConnectWithDB != 0 {
		dst = append(append(dst, h.database...), 0)
	}
	if h.capabilities&ClientPluginAuth != 0 {
		dst = append(append(dst, h.plugin...), 0)
	}
	if h.capabilities&ClientConnectAttrs != 0 {
		dst = appendAttributes(dst, h.attributes)
	}
	if h.capabilities&ClientZstd != 0 {
		dst = append(dst, h.zstdLevel)
	}
	return dst
}

// appendSSLRequest appends the part before the user, which alone asks for TLS.
func (h *handshakeResponse) appendSSLRequest(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.capabilities))
	dst = binary.LittleEndian.AppendUint32(dst, h.maxPacket)
	dst = append(dst, h.charset)
	dst = append(dst, make([]byte, 19)...)
	return binary.LittleEndian.AppendUint32(dst, uint32(h.mariadb))
}

// errOldClient refuses a client that speaks the protocol before 4.1, or knows no authentication
// method but the old ones.
var errOldClient = &wire.ServerError{
	Number: 1251, SQLState: "08004",
	Message: "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
}

// parseHandshakeStart reads the part before the user, which alone asks for TLS. A client before 4.1
// is errOldClient.
func parseHandshakeStart(p []byte) (*handshakeResponse, fieldReader, error) {
	r := fieldReader{p: p}
	if len(p) < 2 || Capability(binary.LittleEndian.Uint16(p))&ClientProtocol41 == 0 {
		if len(p) < 5 {
			return nil, r, malformed("handshake response")
		}
		return nil, r, errOldClient
	}
	h := &handshakeResponse{capabilities: Capability(r.uint32()), maxPacket: r.uint32(), charset: r.uint8()}
	r.take(19)
	if mariadb := r.uint32(); h.capabilities&ClientLongPassword == 0 {
		h.mariadb = MariaDBCapability(mariadb)
	}
	if r.bad {
		return nil, r, malformed("handshake response")
	}
	return h, r, nil
}

// parseHandshakeResponse reads a client's answer to the greeting. Nothing in it aliases p.
func parseHandshakeResponse(p []byte) (*handshakeResponse, error) {
	h, r, err := parseHandshakeStart(p)
	if err != nil {
		return nil, err
	}
	h.user = string(r.nulOrRest())
	var auth []byte
	switch {
	case h.capabilities&ClientPluginAuthLenenc != 0:
		auth = r.lenenc()
	case h.capabilities&ClientSecureConnection != 0:
		auth = r.take(int(r.uint8()))
	default:
		auth = r.nulOrRest()
	}
	h.auth = append([]byte(nil), auth...)
	if h.capabilities&ClientConnectWithDB != 0 {
		h.database = string(r.nulOrRest())
	}
	h.plugin = pluginNative
	if h.capabilities&ClientPluginAuth != 0 {
		h.plugin = string(r.nulOrRest())
	}
	if h.capabilities&ClientConnectAttrs != 0 && len(r.p) > 0 {
		if h.attributes, err = readAttributes(&r); err != nil {
			return nil, err
		}
	}
	if h.capabilities&ClientZstd != 0 {
		h.zstdLevel = r.uint8()
	}
	if r.bad || tooLong(h.user, h.database, h.plugin) {
		return nil, malformed("handshake response")
	}
	return h, nil
}

// changeUser is COM_CHANGE_USER: a log-in as somebody else on a running connection.
type changeUser struct {
	user       string
	auth       []byte
	database   string
	charset    uint16 // zero: not sent
	plugin     string
	attributes []Attribute
}

// parseChangeUser reads the payload of COM_CHANGE_USER from a client with these capabilities.
// Old clients end after the database or the charset. Nothing in it aliases p.
func parseChangeUser(p []byte, caps Capability) (*changeUser, error) {
	r := fieldReader{p: p}
	if r.uint8() != ComChangeUser {
		return nil, malformed("COM_CHANGE_USER")
	}
	c := &changeUser{user: string(r.nul()), plugin: pluginNative}
	var auth []byte
	if caps&ClientSecureConnection != 0 {
		auth = r.take(int(r.uint8()))
	} else {
		auth = r.nul()
	}
	c.auth = append([]byte(nil), auth...)
	c.database = string(r.nulOrRest())
	if len(r.p) > 0 {
		c.charset = r.uint16()
	}
	if caps&ClientPluginAuth != 0 && len(r.p) > 0 {
		c.plugin = string(r.nulOrRest())
	}
	if caps&ClientConnectAttrs != 0 && len(r.p) > 0 {
		var err error
		if c.attributes, err = readAttributes(&r); err != nil {
			return nil, err
		}
	}
	if r.bad || tooLong(c.user, c.database, c.plugin) {
		return nil, malformed("COM_CHANGE_USER")
	}
	return c, nil
}

func tooLong(names ...string) bool {
	for _, s := range names {
		if len(s) > maxName {
			return true
		}
	}
	return false
}

func appendAttributes(dst []byte, attributes []Attribute) []byte {
	var b []byte
	for _, a := range attributes {
		b = appendLenencString(appendLenencString(b, a.Name), a.Value)
	}
	return appendLenencString(dst, b)
}

// readAttributes reads connection attributes. The error is wire.ErrTooLarge over maxAttributes.
func readAttributes(r *fieldReader) ([]Attribute, error) {
	all := fieldReader{p: r.lenenc()}
	if len(all.p) > maxAttributes {
		return nil, fmt.Errorf("connection attributes: %w: %d > %d bytes", wire.ErrTooLarge, len(all.p), maxAttributes)
	}
	var attributes []Attribute
	for len(all.p) > 0 {
		attributes = append(attributes, Attribute{string(all.lenenc()), string(all.lenenc())})
	}
	if r.bad || all.bad {
		return nil, malformed("connection attributes")
	}
	return attributes, nil
}
