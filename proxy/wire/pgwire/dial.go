package pgwire

// The log-in of Leat to a server.

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"leat/proxy/wire"
)

// loggedIn is a connection to a server on which Leat is logged in.
type loggedIn struct {
	nc     net.Conn // the one given to login, or TLS on it
	in     reader   // of nc
	out    writer   // of nc
	pid    uint32
	key    []byte
	params []wire.Var // what the server reported, names as it spells them, in the order of their coming
}

// version is what the server calls itself.
func (in *loggedIn) version() string {
	for _, p := range in.params {
		if p.Name == "server_version" {
			return p.Value
		}
	}
	return ""
}

// maxGreetings bounds the messages that a server may send until it is ready.
const maxGreetings = 1000

// serverLogin is one log-in under way.
type serverLogin struct {
	loggedIn
	dialer  *Dialer
	address string
	login   *wire.Login
	secure  bool // nobody can listen: TLS, or a unix socket
	// proven is whether the server has shown, by SCRAM, that it knows the password; begun is whether it was asked to.
	begun, proven bool
}

// within runs f, which talks over nc, and ends its waits when ctx is done. The error says what was tried then.
func within(ctx context.Context, nc net.Conn, what string, f func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(past) })
	err := f()
	if !stop() {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	var refused *wire.ServerError
	if err != nil && !errors.As(err, &refused) {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return err
}

// run logs in over nc. The error is a *wire.ServerError when the server refused. Closing nc is left to the caller.
func (s *serverLogin) run(ctx context.Context, nc net.Conn) error {
	if err := s.connect(ctx, nc); err != nil {
		return err
	}
	s.out.Write(appendStartup(nil, s.parameters()))
	if err := s.out.Flush(); err != nil {
		return err
	}
	if err := s.authenticate(); err != nil {
		return err
	}
	return s.greet()
}

// connect takes nc, with TLS on it if the login asks for that.
func (s *serverLogin) connect(ctx context.Context, nc net.Conn) (err error) {
	s.secure = isUnix(nc)
	if s.login.TLS != nil && !s.secure {
		if nc, err = startTLS(ctx, nc, s.address, s.login.TLS); err != nil {
			return err
		}
		s.secure = true
	}
	s.nc, s.in, s.out = nc, newReader(nc), newWriter(nc)
	return nil
}

// startTLS asks the server for TLS, and begins it. What the server says before that is nobody's word.
func startTLS(ctx context.Context, nc net.Conn, address string, cfg *tls.Config) (net.Conn, error) {
	request := binary.BigEndian.AppendUint32(nil, 8)
	if _, err := nc.Write(binary.BigEndian.AppendUint32(request, codeSSLRequest)); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := nc.Read(answer[:]); err != nil {
		return nil, unexpected(err)
	}
	if answer[0] != 'S' {
		return nil, errors.New("TLS is configured, but the server does not offer it")
	}
	if cfg.ServerName == "" || len(cfg.NextProtos) == 0 {
		cfg = cfg.Clone()
		cfg.NextProtos = []string{alpn}
		if cfg.ServerName == "" {
			cfg.ServerName = address
			if host, _, err := net.SplitHostPort(address); err == nil {
				cfg.ServerName = host
			}
		}
	}
	conn := tls.Client(nc, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return conn, nil
}

// parameters are what the startup message says. No application is named: a client that names none sees none.
func (s *serverLogin) parameters() []wire.Var {
	p := []wire.Var{{Name: "user", Value: s.login.User}}
	if s.login.Database != "" {
		p = append(p, wire.Var{Name: "database", Value: s.login.Database})
	}
	if s.login.ReadOnly {
		p = append(p, wire.Var{Name: "options", Value: "-c default_transaction_read_only=on"})
	}
	return p
}

// appendStartup appends a startup message of protocol 3.0.
func appendStartup(dst []byte, parameters []wire.Var) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, version30)
	for _, p := range parameters {
		dst = appendNul(appendNul(dst, p.Name), p.Value)
	}
	dst = append(dst, 0)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

// next reads the server's next message. Its payload is valid until the next call; the server's refusal is an error.
func (s *serverLogin) next() (kind byte, p []byte, err error) {
	kind, p, err = s.in.frame(maxHeld)
	if err != nil {
		return 0, nil, unexpected(err)
	}
	p = append([]byte(nil), p...)
	s.in.discard(p)
	if kind == repError {
		return 0, nil, parseError(p)
	}
	return kind, p, nil
}

// greet reads what a server says of itself until it is ready.
func (s *serverLogin) greet() error {
	for range maxGreetings {
		kind, p, err := s.next()
		if err != nil {
			return err
		}
		switch kind {
		case repParameterStatus:
			name, value, err := parseParameterStatus(p)
			if err != nil {
				return err
			}
			s.report(string(name), string(value))
		case repBackendKeyData:
			if s.pid, s.key, err = parseKeyData(p); err != nil {
				return err
			}
		case repReadyForQuery:
			_, err := parseReady(p)
			return err
		case repNotice, repNegotiateVersion:
		default:
			return malformed("greeting of the server")
		}
	}
	return errors.New("the server is never ready")
}

// report keeps what the server says of a setting. That Leat has made the conn READ ONLY is nobody else's business.
func (s *serverLogin) report(name, value string) {
	if s.login.ReadOnly && name == settingReadOnly {
		value = "off"
	}
	for i := range s.params {
		if s.params[i].Name == name {
			s.params[i].Value = value
			return
		}
	}
	s.params = append(s.params, wire.Var{Name: name, Value: value})
}

// cancel asks the server at the other end of nc to stop what one of its processes runs, and waits for it to have
// been told, which it shows by closing the connection.
func (s *serverLogin) cancel(ctx context.Context, nc net.Conn, id wire.ConnID) error {
	if err := s.connect(ctx, nc); err != nil {
		return err
	}
	p := binary.BigEndian.AppendUint32(nil, uint32(3*lengthSize+len(id.Key)))
	p = binary.BigEndian.AppendUint32(p, codeCancelRequest)
	p = binary.BigEndian.AppendUint32(p, uint32(id.ID))
	s.out.Write(append(p, id.Key...))
	if err := s.out.Flush(); err != nil {
		return err
	}
	_ = s.in.Need(1) // the end of the connection, whatever it looks like
	return nil
}

// deadlineOf bounds what follows by the context; the zero time is no bound.
func deadlineOf(ctx context.Context) time.Time {
	deadline, _ := ctx.Deadline()
	return deadline
}
