package mysqlwire

// Accept: the log-in of a client to Leat.

import (
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"leat/proxy/wire"
)

// AcceptConfig is what Leat shows to a client and asks of it. One may be used by many log-ins if it
// is copied for the ThreadID.
type AcceptConfig struct {
	Version  string // as a server sends it, e.g. "8.4.6" or "5.5.5-10.11.19-MariaDB"
	ThreadID uint32
	// Charset is the default collation's id. The greeting has room for its low byte alone, as a server's.
	Charset uint16
	Flavor  wire.Flavor // MySQL if unknown
	// Capabilities are offered on top of those without which Leat can't log anybody in. Compression
	// is by ClientCompress and ClientZstd; ClientSSL is decided by TLS.
	Capabilities Capability
	// DefaultPlugin is the authentication method that the greeting names: mysql_native_password or
	// caching_sha2_password. Default: the first for MariaDB, the second for MySQL.
	DefaultPlugin string

	TLS         *tls.Config // nil: not offered. Its ClientAuth decides about client certificates.
	TLSRequired bool        // refuse clients without TLS, except on a unix socket
	// RSAKey lets clients without TLS send a password in full. Nil: they can't. Make it once and share it.
	RSAKey *rsa.PrivateKey

	// Address is where the client comes from. Default: the connection's remote address. It is not
	// valid for a unix socket.
	Address netip.Addr
	// Lookup finds a user. If there is none it may still return the verifier of a decoy, whose
	// log-in takes the way of a real user's and fails.
	Lookup func(user string, from netip.Addr) (*Verifier, bool)
}

// requiredCapabilities are those that a log-in rests on.
const requiredCapabilities = ClientProtocol41 | ClientSecureConnection | ClientPluginAuth | ClientPluginAuthLenenc |
	ClientConnectAttrs | ClientConnectWithDB | ClientTransactions | ClientLongFlag

// Accepted is a client that has proven who it is, and waits to hear whether it may come in: call
// Finish or Fail.
type Accepted struct {
	// Conn is the connection to go on with: the one given to Accept, TLS on it, and, once Finish has
	// returned, compression on that.
	Conn         net.Conn
	Capabilities Capability // offered by Leat and the client both
	Charset      uint16     // collation id; at log-in its low byte alone is known
	User         string
	Database     string // empty: none
	Attributes   []Attribute
	MaxPacket    uint32 // bytes that the client says it takes; zero: it doesn't say
	TLS          bool
	Plugin       string         // the method by which the client logged in
	Salt         [saltSize]byte // the last challenge
	NextSeq      byte           // of the packet that Finish or Fail sends

	cfg       *AcceptConfig
	secure    bool
	zstdLevel uint8
}

// Accept logs a client in, up to the point where only the final OK is missing. It reads no byte that
// belongs to what follows. A deadline on nc bounds it.
//
// On an error the client has been told, and the connection is to be closed. The error is a *wire.Error
// for a client that was refused, wire.ErrMalformed or wire.ErrTooLarge for one that broke the protocol,
// and one of the connection's otherwise.
func Accept(nc net.Conn, cfg *AcceptConfig) (*Accepted, error) {
	a := &Accepted{Conn: nc, cfg: cfg, secure: isUnix(nc)}
	io := &loginIO{rw: nc}
	err := a.login(io)
	a.NextSeq = io.seq
	if err != nil {
		a.refuse(err)
		return nil, err
	}
	return a, nil
}

func (a *Accepted) login(io *loginIO) error {
	g := a.cfg.greeting()
	if err := io.WritePacket(g.append(nil)); err != nil {
		return err
	}
	h, err := a.readResponse(io, g)
	if err != nil {
		return err
	}
	a.Capabilities = h.capabilities & g.capabilities
	if a.Capabilities&ClientCompress != 0 {
		a.Capabilities &^= ClientZstd
	}
	a.Charset, a.MaxPacket, a.zstdLevel = uint16(h.charset), h.maxPacket, h.zstdLevel
	a.User, a.Database, a.Attributes = h.user, h.database, h.attributes
	return a.prove(h.user, &claim{
		io: io, offered: g.plugin,
		plugin: h.plugin, salt: [saltSize]byte(g.salt), answer: h.auth,
	})
}

// readResponse reads the answer to the greeting, with TLS begun before it if the client asks for that.
func (a *Accepted) readResponse(io *loginIO, g *greeting) (*handshakeResponse, error) {
	p, err := io.ReadPacket()
	if err != nil {
		return nil, err
	}
	start, _, err := parseHandshakeStart(p)
	if err != nil {
		return nil, err
	}
	a.Capabilities = start.capabilities & g.capabilities
	if a.Capabilities&ClientSSL != 0 {
		conn := tls.Server(a.Conn, a.cfg.TLS)
		if err := conn.Handshake(); err != nil {
			return nil, fmt.Errorf("TLS with the client: %w", err)
		}
		a.Conn, io.rw = conn, conn
		a.TLS, a.secure = true, true
		if p, err = io.ReadPacket(); err != nil {
			return nil, err
		}
	}
	if a.cfg.TLSRequired && !a.secure {
		return nil, wire.Errorf(wire.CodeTLSRequired, "Connections using insecure transport are prohibited: connect with TLS")
	}
	return parseHandshakeResponse(p)
}

// prove checks a claim to be a user. Salt and Plugin are those of the last answer afterwards.
func (a *Accepted) prove(user string, c *claim) error {
	c.capabilities, c.secure, c.key = a.Capabilities, a.secure, a.cfg.RSAKey
	from := a.cfg.Address
	if !from.IsValid() {
		from = remoteAddr(a.Conn)
	}
	v, exists := a.cfg.Lookup(user, from)
	if v == nil {
		v, exists = decoy(), false
	}
	ok, err := c.prove(v)
	a.Salt, a.Plugin = c.salt, c.plugin
	if err != nil {
		return err
	}
	if !ok || !exists {
		return accessDenied(user, from, c.usedPassword)
	}
	return nil
}

// Reauth handles COM_CHANGE_USER, whose payload is given with its command byte, on a running session. It
// reads and writes by io, which goes on from the command's sequence number. When it returns nil, User,
// Database, Charset and Attributes are the new ones and the caller answers with an OK; otherwise it answers
// with the error and closes the connection, as a server does.
func (a *Accepted) Reauth(payload []byte, io PacketIO) error {
	u, err := parseChangeUser(payload, a.Capabilities)
	if err != nil {
		return err
	}
	c := &claim{io: io, offered: u.plugin, plugin: u.plugin, salt: a.Salt, answer: u.auth}
	if a.Capabilities&ClientPluginAuth != 0 { // as servers do: what comes with the command isn't looked at
		c.offered, c.answer = "", nil
	}
	if err := a.prove(u.user, c); err != nil {
		return err
	}
	a.User, a.Database, a.Attributes = u.user, u.database, u.attributes
	if u.charset != 0 {
		a.Charset = u.charset
	}
	return nil
}

// Finish sends the final OK, whose payload is given, and begins compression if it was agreed on.
func (a *Accepted) Finish(ok []byte) error {
	if err := a.write(ok); err != nil {
		return err
	}
	switch {
	case a.Capabilities&ClientCompress != 0:
		a.Conn = newCompressed(a.Conn, zlibCompression{})
	case a.Capabilities&ClientZstd != 0:
		a.Conn = newCompressed(a.Conn, zstdCompression{level: int(a.zstdLevel)})
	}
	return nil
}

// Fail refuses a client that has logged in, with an error that it may see: a *wire.Error or a
// *wire.ServerError. Any other is sent without its text. The caller closes the connection.
func (a *Accepted) Fail(err error) error {
	number, state, msg := uint16(1105), "HY000", "internal error"
	var own *wire.Error
	var servers *wire.ServerError
	switch {
	case errors.As(err, &own):
		number, state = errorNumber(own.Code)
		msg = own.Message
	case errors.As(err, &servers):
		number, state, msg = servers.Number, servers.SQLState, servers.Message
	}
	return a.write(AppendErr(nil, number, state, msg, a.Capabilities))
}

// refuse tells the client why its log-in failed, if it can still be told: as best it can, since the
// connection is closed in any case.
func (a *Accepted) refuse(err error) {
	if errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge) {
		err = &wire.ServerError{Number: 1043, SQLState: "08S01", Message: "Bad handshake"}
	}
	var own *wire.Error
	var servers *wire.ServerError
	if errors.As(err, &own) || errors.As(err, &servers) {
		_ = a.Fail(err)
	}
}

func (a *Accepted) write(payload []byte) error {
	io := loginIO{rw: a.Conn, seq: a.NextSeq}
	err := io.WritePacket(payload)
	a.NextSeq = io.seq
	return err
}

// greeting makes the greeting, with a new salt.
func (cfg *AcceptConfig) greeting() *greeting {
	salt := newSalt()
	g := &greeting{
		version: cfg.Version, threadID: cfg.ThreadID, salt: salt[:], charset: byte(cfg.Charset),
		capabilities: cfg.Capabilities | requiredCapabilities | ClientLongPassword,
		status:       StatusAutocommit, plugin: cfg.DefaultPlugin,
	}
	g.capabilities &^= ClientSSL
	if cfg.TLS != nil {
		g.capabilities |= ClientSSL
	}
	if cfg.Flavor == wire.FlavorMariaDB {
		g.capabilities &^= ClientLongPassword | ClientZstd
	}
	if g.plugin == "" {
		g.plugin = pluginSHA2
		if cfg.Flavor == wire.FlavorMariaDB {
			g.plugin = pluginNative
		}
	}
	return g
}

func isUnix(nc net.Conn) bool {
	addr := nc.RemoteAddr()
	return addr != nil && addr.Network() == "unix"
}

// remoteAddr is where a connection comes from; not valid if that is no IP address.
func remoteAddr(nc net.Conn) netip.Addr {
	if addr, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return addr.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
