package mysqlwire

// The log-in of Leat to a server.

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"leat/proxy/wire"
)

// serverCapabilities are what Leat asks of every server, as far as the server has it.
const serverCapabilities = ClientLongPassword | ClientLongFlag | ClientProtocol41 | ClientTransactions |
	ClientSecureConnection | ClientMultiStatements | ClientMultiResults | ClientPSMultiResults |
	ClientPluginAuth | ClientConnectAttrs | ClientPluginAuthLenenc | ClientSessionTrack | ClientDeprecateEOF

// notCapabilities are flags of a login that Leat does not pass on, since it decides them itself.
const notCapabilities = ClientSSL | ClientCompress | ClientZstd | ClientConnectWithDB |
	ClientSSLVerifyServerCert | ClientRememberOptions | ClientCapabilityExtension | ClientMultiFactorAuth

// needCapabilities are those that Leat can't do without.
const needCapabilities = ClientProtocol41 | ClientSecureConnection | ClientPluginAuth

// maxAuthRounds bounds the packets that a server may ask for in one log-in.
const maxAuthRounds = 10

// maxServerPacket is the largest packet that Leat says it takes, in bytes: the protocol's most.
const maxServerPacket = 1 << 30

// loggedIn is a connection to a server on which Leat is logged in.
type loggedIn struct {
	conn         net.Conn // the one given to login, or TLS on it
	greeting     *greeting
	flavor       wire.Flavor
	capabilities Capability // in force
	ok           []byte     // the payload of the OK that ended the log-in
}

// serverLogin is one log-in under way.
type serverLogin struct {
	address  string
	login    wire.Login
	conn     net.Conn
	io       *loginIO
	secure   bool // nobody can listen: TLS, or a unix socket
	plugin   string
	salt     []byte
	greeting *greeting
	response handshakeResponse
}

// login logs in to the server at the other end of nc, within ctx. The address names it in errors, and
// its host is whose certificate is asked for if l.TLS names no other. The collation is set on the
// connection if its id is less than 256; a higher one has no room here and is left to SET NAMES.
//
// The error is a *wire.ServerError when the server refused. Closing nc is left to the caller.
func login(ctx context.Context, nc net.Conn, address string, l wire.Login, collation uint16) (*loggedIn, error) {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	s := &serverLogin{address: address, login: l, conn: nc, io: &loginIO{rw: nc}, secure: isUnix(nc)}
	in, err := s.run(ctx, collation)
	if !stop() {
		return nil, fmt.Errorf("log-in to server %s: %w", address, context.Cause(ctx))
	}
	var refused *wire.ServerError
	if err != nil && !errors.As(err, &refused) {
		err = fmt.Errorf("log-in to server %s: %w", address, err)
	}
	return in, err
}

func (s *serverLogin) run(ctx context.Context, collation uint16) (*loggedIn, error) {
	p, err := s.io.ReadPacket()
	if err != nil {
		return nil, err
	}
	if s.greeting, err = parseGreeting(p); err != nil {
		return nil, err
	}
	if missing := needCapabilities &^ s.greeting.capabilities; missing != 0 {
		return nil, fmt.Errorf("version %q is too old: it lacks capabilities %#x", s.greeting.version, uint32(missing))
	}
	s.prepare(collation)
	if s.login.TLS != nil {
		if err := s.startTLS(ctx); err != nil {
			return nil, err
		}
	}
	s.plugin, s.salt = s.greeting.plugin, s.greeting.salt
	if !s.knows(s.plugin) { // the server will ask for the method of the account
		s.plugin = pluginNative
	}
	if s.response.auth, err = s.answer(); err != nil {
		return nil, err
	}
	s.response.plugin = s.plugin
	if err := s.io.WritePacket(s.response.append(nil)); err != nil {
		return nil, err
	}
	ok, err := s.authenticate()
	if err != nil {
		return nil, err
	}
	return &loggedIn{
		conn: s.conn, greeting: s.greeting, flavor: s.greeting.flavor(),
		capabilities: s.response.capabilities, ok: ok,
	}, nil
}

// prepare fills in what the response says besides the password.
func (s *serverLogin) prepare(collation uint16) {
	const fallback = 45 // utf8mb4_general_ci, which every server knows
	if collation == 0 || collation > 255 {
		collation = fallback
	}
	caps := serverCapabilities | Capability(s.login.Flags)&^notCapabilities
	if s.login.Database != "" {
		caps |= ClientConnectWithDB
	}
	if s.login.TLS != nil {
		caps |= ClientSSL
	}
	s.response = handshakeResponse{
		capabilities: caps & s.greeting.capabilities,
		maxPacket:    maxServerPacket,
		charset:      byte(collation),
		user:         s.login.User,
		database:     s.login.Database,
	}
	for name, value := range s.login.Attributes {
		s.response.attributes = append(s.response.attributes, Attribute{name, value})
	}
	slices.SortFunc(s.response.attributes, func(a, b Attribute) int { return cmp.Compare(a.Name, b.Name) })
}

func (s *serverLogin) startTLS(ctx context.Context) error {
	if s.greeting.capabilities&ClientSSL == 0 {
		return errors.New("TLS is configured, but the server does not offer it")
	}
	if err := s.io.WritePacket(s.response.appendSSLRequest(nil)); err != nil {
		return err
	}
	cfg := s.login.TLS
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName = s.address
		if host, _, err := net.SplitHostPort(s.address); err == nil {
			cfg.ServerName = host
		}
	}
	conn := tls.Client(s.conn, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	s.conn, s.io.rw, s.secure = conn, conn, true
	return nil
}
