package pgwire

// acceptor.go: clients of PostgreSQL's protocol as proxy sees them: their log-in, and what their session starts with.

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"leat/proxy/wire"
)

// alpn is the protocol's name in TLS.
const alpn = "postgresql"

// Acceptor implements wire.Acceptor.
type Acceptor struct {
	// decoy makes the salts of users that don't exist
	decoy [sha256.Size]byte

	mu        sync.Mutex
	verifiers map[wire.Credential]*Verifier
	tls       *serverTLS // made of the last Welcome.TLS
}

// NewAcceptor makes an Acceptor.
func NewAcceptor() *Acceptor {
	ac := &Acceptor{verifiers: make(map[wire.Credential]*Verifier)}
	rand.Read(ac.decoy[:])
	return ac
}

// Accept implements wire.Acceptor.
func (ac *Acceptor) Accept(nc net.Conn, w *wire.Welcome) (wire.Client, *wire.Arrival, error) {
	a, err := ac.accept(nc, w)
	if err != nil {
		return nil, nil, err
	}
	c := newClient(a, w.MaxPacket)
	return c, c.arrival(), nil
}

// find returns the verifier of a user. For one that doesn't exist it is a decoy, by which nobody logs in, and which
// looks like a real one for as long as Leat runs.
func (ac *Acceptor) find(user string, from netip.Addr, w *wire.Welcome) (v *Verifier, exists bool) {
	if cred, ok := w.Lookup(user, from); ok {
		if v := ac.verifier(cred); v != nil {
			return v, true
		}
	}
	salt := hmacSHA256(ac.decoy[:], user)
	return &Verifier{secret: &scramSecret{iterations: defaultIterations, salt: salt[:saltSize]}}, false
}

// verifier returns the verifier of a credential; nil if it isn't PostgreSQL's: nobody logs in by it.
func (ac *Acceptor) verifier(cred wire.Credential) *Verifier {
	ac.mu.Lock()
	defer ac.mu.Unlock()
	v, ok := ac.verifiers[cred]
	if ok {
		return v
	}
	if cred.Verifier == "" {
		v = NewVerifier(cred.Password)
	} else if parsed, err := ParseVerifier(cred.Verifier); err == nil {
		v = parsed
	}
	if len(ac.verifiers) >= maxVerifiers {
		clear(ac.verifiers)
	}
	ac.verifiers[cred] = v
	return v
}

// maxVerifiers bounds the verifiers that are kept: reloads with new passwords leave old ones behind.
const maxVerifiers = 10_000

// serverTLS is TLS as it is offered to clients.
type serverTLS struct {
	of      *tls.Config // what it was made of
	config  *tls.Config
	binding []byte // for SCRAM; nil: the channel can't be bound
}

// serverTLS makes what is offered to clients of the config, which must not change any more; nil for nil. The channel
// can be bound if there is one certificate.
func (ac *Acceptor) serverTLS(of *tls.Config) *serverTLS {
	if of == nil {
		return nil
	}
	ac.mu.Lock()
	defer ac.mu.Unlock()
	if ac.tls != nil && ac.tls.of == of {
		return ac.tls
	}
	t := &serverTLS{of: of, config: of.Clone()}
	t.config.NextProtos = []string{alpn}
	if len(of.Certificates) == 1 && of.GetCertificate == nil && of.GetConfigForClient == nil && len(of.Certificates[0].Certificate) > 0 {
		if cert, err := x509.ParseCertificate(of.Certificates[0].Certificate[0]); err == nil {
			t.binding = endPoint(cert)
		}
	}
	ac.tls = t
	return t
}

// TurnAway implements wire.Acceptor. A client is told only once it has said what it wants, which it gets a second for:
// before that it would take an error for an attack.
func (ac *Acceptor) TurnAway(nc net.Conn, e *wire.Error) {
	nc.SetDeadline(time.Now().Add(time.Second))
	in := newReader(nc)
	for range 3 { // at most TLS and GSSAPI are asked for
		p, err := readStartup(in)
		if err != nil {
			return
		}
		switch binary.BigEndian.Uint32(p) {
		case codeCancelRequest:
			return
		case codeSSLRequest, codeGSSENCRequest:
			if _, err := nc.Write([]byte{'N'}); err != nil {
				return
			}
		default:
			nc.Write(appendFatal(nil, e))
			return
		}
	}
}

// IdleTimeout implements wire.Acceptor.
func (ac *Acceptor) IdleTimeout(state *wire.State) time.Duration {
	v, _ := state.Get("idle_session_timeout")
	return milliseconds(v)
}

// ReadTimeout implements wire.Acceptor. Servers wait for ever: a COPY, and what comes before a Sync, is sent as the
// client has it.
func (ac *Acceptor) ReadTimeout(*wire.State) time.Duration { return 0 }

// ReadMode implements wire.Acceptor.
func (ac *Acceptor) ReadMode(state, defaults *wire.State) (m wire.Mode) {
	get := func(name string) string {
		v, ok := state.Get(name)
		if !ok && defaults != nil {
			v, _ = defaults.Get(name)
		}
		return v
	}
	if unsafeEncodings[encodingKey(get("client_encoding"))] {
		m |= wire.UnsafeCharset
	}
	if on, ok := parseBool(get("standard_conforming_strings")); ok && !on {
		m |= wire.BackslashEscapes
	}
	if lower(get("default_transaction_isolation")) == "serializable" {
		m |= wire.Serializable
	}
	if on, _ := parseBool(get("default_transaction_read_only")); on {
		m |= wire.ReadOnly
	}
	return m
}

// unsafeEncodings are the encodings, by all their names, in which a byte of a character may look like ASCII.
var unsafeEncodings = map[string]bool{
	"sjis": true, "shiftjis": true, "mskanji": true, "win932": true, "windows932": true, "shiftjis2004": true,
	"big5": true, "win950": true, "windows950": true,
	"gbk": true, "win936": true, "windows936": true, "gb18030": true,
	"uhc": true, "win949": true, "windows949": true, "johab": true,
}

// encodingKey is an encoding's name as PostgreSQL compares them: letters and digits alone.
func encodingKey(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, lower(name))
}

// parseBool reads a boolean setting, as PostgreSQL does: by any beginning of its word that is no other's.
func parseBool(v string) (on, ok bool) {
	v = lower(v)
	begins := func(word string, least int) bool { return len(v) >= least && strings.HasPrefix(word, v) }
	switch {
	case begins("true", 1), begins("yes", 1), begins("on", 2), v == "1":
		return true, true
	case begins("false", 1), begins("no", 1), begins("off", 2), v == "0":
		return false, true
	}
	return false, false
}

// arrival is what the client said when it logged in.
func (c *Client) arrival() *wire.Arrival {
	s := &c.accepted.startup
	a := &wire.Arrival{User: s.user, Database: s.database, State: wire.NewState(s.database), Attributes: map[string]string{}}
	for _, v := range s.settings {
		a.State = a.State.With(v.Name, v.Value)
	}
	if name, ok := a.State.Get("application_name"); ok {
		a.Attributes["program_name"] = name
	}
	return a
}

// Admit implements wire.Client.
func (c *Client) Admit(g *wire.Greeting, now *wire.State) error {
	w := c.accepted.welcome
	b := appendAuthentication(make([]byte, 0, 1024), authOK, nil)
	for _, p := range g.Params {
		value := p.Value
		if v, ok := now.Get(lower(p.Name)); ok && !ofServer[p.Name] {
			value = v
		}
		b = appendParameterStatus(b, p.Name, value)
	}
	key := w.Key
	if c.accepted.version == version30 {
		key = key[:min(len(key), keySize30)]
	}
	c.out.Write(appendReady(appendKeyData(b, w.ID, key), wire.TxIdle))
	c.accepted = nil // an idle client holds no more than it needs
	return c.Flush()
}

// keySize30 is how long the key of a request to cancel is in protocol 3.0, in bytes.
const keySize30 = 4

// ofServer are the reported settings whose value is always the server's word.
var ofServer = map[string]bool{"is_superuser": true, "session_authorization": true}

// Refuse implements wire.Client.
func (c *Client) Refuse(err error) {
	c.out.Write(appendFatal(nil, err))
	_ = c.Flush() // the connection is closed in any case
}
