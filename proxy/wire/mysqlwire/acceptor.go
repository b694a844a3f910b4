package mysqlwire

// acceptor.go: clients of the MySQL protocol as proxy sees them: their log-in, and what their session
// starts with.

import (
	"crypto/rand"
	"crypto/rsa"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"leat/proxy/wire"
)

// offered are the capabilities that Leat has for clients. What isn't here isn't advertised.
const offered = requiredCapabilities | ClientLongPassword | ClientFoundRows | ClientNoSchema | ClientODBC | ClientIgnoreSpace |
	ClientInteractive | ClientIgnoreSigpipe | ClientMultiStatements | ClientMultiResults | ClientPSMultiResults |
	ClientSessionTrack | ClientDeprecateEOF | ClientCompress | ClientZstd

// poolFlags are the client flags that change what a server does and can't be changed on a live conn.
const poolFlags = ClientFoundRows | ClientNoSchema | ClientIgnoreSpace | ClientInteractive | ClientMultiResults |
	ClientPSMultiResults | ClientLocalFiles | ClientODBC

// Acceptor implements wire.Acceptor.
type Acceptor struct {
	dialer *Dialer
	key    *rsa.PrivateKey // nil: clients without TLS can't send a password in full

	mu        sync.Mutex
	verifiers map[wire.Credential]*Verifier
}

// NewAcceptor makes an Acceptor. The dialer knows the servers' collations. It makes an RSA key, which takes
// about 0.1 s.
func NewAcceptor(d *Dialer) *Acceptor {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		key = nil
	}
	return &Acceptor{dialer: d, verifiers: make(map[wire.Credential]*Verifier), key: key}
}

// Accept implements wire.Acceptor.
func (ac *Acceptor) Accept(nc net.Conn, w *wire.Welcome) (wire.Client, *wire.Arrival, error) {
	caps := offered
	if w.LocalInfile {
		caps |= ClientLocalFiles
	}
	cfg := &AcceptConfig{
		Version: w.Greeting.Version, ThreadID: w.ID, Charset: w.Greeting.Charset, Flavor: w.Greeting.Flavor,
		Capabilities: caps, TLS: w.TLS, TLSRequired: w.TLSRequired, Address: w.From, RSAKey: ac.key,
		Lookup: func(user string, from netip.Addr) (*Verifier, bool) {
			cred, ok := w.Lookup(user, from)
			if !ok {
				return nil, false
			}
			return ac.verifier(cred), true
		},
	}
	a, err := Accept(nc, cfg)
	if err != nil {
		return nil, nil, err
	}
	c := newClient(a, &w.Greeting, w.MaxPacket, ac.dialer)
	return c, c.arrival(), nil
}

// verifier returns the verifier of a credential, which remembers what a full log-in taught it.
func (ac *Acceptor) verifier(cred wire.Credential) *Verifier {
	ac.mu.Lock()
	defer ac.mu.Unlock()
	v := ac.verifiers[cred]
	if v != nil {
		return v
	}
	if cred.Verifier != "" {
		var err error
		if v, err = ParseVerifier(cred.Verifier); err != nil {
			v = nil // refused when the config was read; nobody logs in by it
		}
	} else {
		v = NewVerifier(cred.Password)
	}
	if len(ac.verifiers) >= maxVerifiers {
		clear(ac.verifiers)
	}
	ac.verifiers[cred] = v
	return v
}

// maxVerifiers bounds the verifiers that are kept: reloads with new passwords leave old ones behind.
const maxVerifiers = 10_000

// TurnAway implements wire.Acceptor.
func (ac *Acceptor) TurnAway(nc net.Conn, e *wire.Error) {
	number, state := errorNumber(e.Code)
	nc.SetWriteDeadline(time.Now().Add(time.Second))
	payload := AppendErr(nil, number, state, e.Message, 0)
	nc.Write(append(putHeader(nil, len(payload), 0), payload...))
}

// Schemas implements wire.Acceptor: MySQL has databases.
func (ac *Acceptor) Schemas(_, _ *wire.State, _ string) []string { return nil }

// IdleTimeout implements wire.Acceptor.
func (ac *Acceptor) IdleTimeout(state *wire.State) time.Duration {
	v, _ := state.Get("wait_timeout")
	return seconds(v)
}

// readTimeout is how long a client may not go on with a request, or a file, unless it sets net_read_timeout: as that's
// default in servers.
const readTimeout = 30 * time.Second

// ReadTimeout implements wire.Acceptor.
func (ac *Acceptor) ReadTimeout(state *wire.State) time.Duration {
	if v, ok := state.Get("net_read_timeout"); ok && seconds(v) > 0 {
		return seconds(v)
	}
	return readTimeout
}

// seconds reads a time-out as the servers tell it; what isn't a number is 0.
func seconds(v string) time.Duration {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// ReadMode implements wire.Acceptor.
func (ac *Acceptor) ReadMode(state, defaults *wire.State) (m wire.Mode) {
	get := func(names ...string) string {
		for _, s := range [...]*wire.State{state, defaults} {
			for _, name := range names {
				if s == nil {
					continue
				}
				if v, ok := s.Get(name); ok {
					return strings.ToUpper(v)
				}
			}
		}
		return ""
	}
	mode := get("sql_mode")
	if strings.Contains(mode, "ANSI") { // ANSI_QUOTES, or ANSI, which implies it
		m |= wire.AnsiQuotes
	}
	if strings.Contains(mode, "NO_BACKSLASH_ESCAPES") {
		m |= wire.NoBackslashEscapes
	}
	switch get("character_set_client") {
	case "GBK", "BIG5", "SJIS", "CP932", "GB18030":
		m |= wire.UnsafeCharset
	}
	if get("transaction_isolation", "tx_isolation") == "SERIALIZABLE" {
		m |= wire.Serializable
	}
	if v := get("transaction_read_only", "tx_read_only"); v == "ON" || v == "1" {
		m |= wire.ReadOnly
	}
	if v := get("autocommit"); v == "OFF" || v == "0" {
		m |= wire.AutocommitOff
	}
	return m
}

// arrival is what the client said when it logged in.
func (c *Client) arrival() *wire.Arrival {
	a := c.accepted
	state := wire.NewState(a.Database)
	if cs, coll, ok := c.dialer.Collation(a.Charset); ok {
		state = state.With("character_set_client", cs).With("character_set_results", cs).With("collation_connection", coll)
	}
	attrs := make(map[string]string, len(a.Attributes))
	for _, at := range a.Attributes {
		attrs[at.Name] = at.Value
	}
	return &wire.Arrival{User: a.User, State: state, Flags: uint64(c.caps & poolFlags), Attributes: attrs}
}

// ResetState implements wire.Client: the database stays; the charset becomes MySQL's server default, or
// MariaDB's of the log-in.
func (c *Client) ResetState(now *wire.State) *wire.State {
	c.conditions = 0
	if c.flavor == wire.FlavorMariaDB {
		return c.arrival().State.WithDatabase(now.Database())
	}
	return wire.NewState(now.Database())
}

// Admit implements wire.Client.
func (c *Client) Admit(*wire.Greeting, *wire.State) error {
	ok := okPacket{mark: markOK, status: StatusAutocommit}
	if err := c.accepted.Finish(ok.append(nil, c.caps)); err != nil {
		return err
	}
	c.attach(c.accepted.Conn)
	return nil
}

// Refuse implements wire.Client.
func (c *Client) Refuse(err error) { _ = c.accepted.Fail(err) }

// Relogin implements wire.Client.
func (c *Client) Relogin(r *wire.Request) (*wire.Arrival, error) {
	payload := append([]byte(nil), r.Frames[headerSize:]...)
	c.in.Discard(len(r.Frames))
	r.Frames = nil
	if err := c.accepted.Reauth(payload, &clientIO{c}); err != nil {
		return nil, err
	}
	c.conditions = 0
	return c.arrival(), nil
}

// clientIO is the PacketIO of a session that is already running.
type clientIO struct{ c *Client }

func (io *clientIO) ReadPacket() ([]byte, error) {
	if err := io.c.Flush(); err != nil {
		return nil, err
	}
	io.c.await()
	defer io.c.arrived()
	p, err := io.c.in.frame(maxLoginPacket)
	for err != nil && io.c.goOn(err) {
		p, err = io.c.in.frame(maxLoginPacket)
	}
	if err != nil {
		return nil, err
	}
	_, seq, _ := io.c.in.header()
	io.c.seq = seq + 1
	p = append([]byte(nil), p...)
	io.c.in.Discard(headerSize + len(p))
	return p, nil
}

func (io *clientIO) WritePacket(payload []byte) error {
	io.c.send(payload)
	return io.c.Flush()
}
