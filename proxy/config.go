// What a Server is told from outside: users, bounds and time-outs, with their defaults and checks.
package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"leat/proxy/backend"
)

// DefaultMaxClients is the default of Config.MaxClients.
const DefaultMaxClients = 10_000

// Config of a Server. Zero values take the defaults named here; cmd/leat fills it from the file.
type Config struct {
	Users []User
	// TLS towards clients; nil offers none.
	TLS *tls.Config
	// TLSRequired refuses a client that logs in without TLS, before it sends a password.
	TLSRequired bool
	// MaxClients bounds client connections; one more is answered 1040 before it logs in. Default 10,000.
	MaxClients int
	// HandshakeTimeout bounds a log-in. Default 10s.
	HandshakeTimeout time.Duration
	// IdleTimeout closes a client that sent nothing for so long. Default 8h, as MySQL's wait_timeout.
	IdleTimeout time.Duration
	// QueryTimeout cancels a statement that runs longer. Default 0: none.
	QueryTimeout time.Duration
	// TxIdleTimeout ends a transaction whose client sent nothing for so long. Default 0: none beyond the server's own.
	TxIdleTimeout time.Duration
	// TxTimeout ends a transaction that is older. Default 0: none.
	TxTimeout time.Duration
	// SlowQuery logs statements that took longer, by digest. Default 1s; negative: never.
	SlowQuery time.Duration
	// MaxPacket is the longest client packet that is taken, in bytes. Default 64 MiB.
	MaxPacket int
	// MaxStatements bounds the prepared statements that one client holds open. Default 16,382, as MySQL's max_prepared_stmt_count.
	MaxStatements int
	// LocalInfile lets clients use LOAD DATA LOCAL. Default false.
	LocalInfile bool
	// ProxyNetworks are those from which a PROXY protocol header (v1, v2) is required; from others it is refused.
	ProxyNetworks []netip.Prefix
	// Consistency is the default level: session (default) or eventual.
	Consistency string
	// Digests bounds the table of digests. Default 1,000.
	Digests int
}

// User may log in to Leat.
type User struct {
	Name string
	// Password in clear; or Verifier: '*' and 40 hex digits (mysql_native_password), or '$A$005$...'
	// (caching_sha2_password), as in the server's mysql.user table; or SCRAM-SHA-256$... or md5..., as in
	// PostgreSQL's pg_authid. A verifier lets clients of its dialect in.
	Password string
	Verifier string
	// ServerUser and ServerPassword log in to the servers. Default: Name and Password.
	ServerUser, ServerPassword string
	// From lists the networks the user may come from. Empty: anywhere.
	From []netip.Prefix
	// Class is online (default) or batch: which replicas take the user's reads.
	Class string
	// Admin may kill any client's statement.
	Admin bool
}

// Bounds that Validate holds a Config to.
const (
	minMaxPacket = 16 << 10 // a smaller one couldn't even log in with its attributes
	maxMaxPacket = 1 << 30  // the protocol's own bound on max_allowed_packet
)

// withDefaults returns the Config with every zero value that has a default replaced by it.
func (c Config) withDefaults() Config {
	setDefault(&c.MaxClients, DefaultMaxClients)
	setDefault(&c.HandshakeTimeout, 10*time.Second)
	setDefault(&c.IdleTimeout, 8*time.Hour)
	setDefault(&c.SlowQuery, time.Second)
	setDefault(&c.MaxPacket, 64<<20)
	setDefault(&c.MaxStatements, 16_382)
	setDefault(&c.Digests, 1_000)
	setDefault(&c.Consistency, "session")
	c.Users = slices.Clone(c.Users)
	for i := range c.Users {
		u := &c.Users[i]
		u.ServerUser, u.ServerPassword = u.ServerLogin()
		setDefault(&u.Class, backend.Online)
	}
	return c
}

// ServerLogin is how the user's conns log in to the servers.
func (u *User) ServerLogin() (name, password string) {
	name, password = u.ServerUser, u.ServerPassword
	setDefault(&name, u.Name)
	setDefault(&password, u.Password)
	return name, password
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports everything that is wrong with the Config, joined into one error; nil when nothing is.
func (c Config) Validate() error {
	users := c.Users // as given: a default may hide that something is missing
	c = c.withDefaults()
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Consistency != "session" && c.Consistency != "eventual" {
		wrong("consistency %q is neither session nor eventual", c.Consistency)
	}
	if c.TLSRequired && c.TLS == nil {
		wrong("TLS is required of clients, but there is no certificate to offer it with")
	}
	if c.MaxPacket < minMaxPacket || c.MaxPacket > maxMaxPacket {
		wrong("the longest packet is %d bytes; %d to %d are possible", c.MaxPacket, minMaxPacket, maxMaxPacket)
	}
	for name, n := range map[string]int{"clients": c.MaxClients, "prepared statements": c.MaxStatements, "digests": c.Digests} {
		if n < 0 {
			wrong("the bound of %s is negative: %d", name, n)
		}
	}
	for name, d := range map[string]time.Duration{
		"handshake": c.HandshakeTimeout, "idle": c.IdleTimeout, "query": c.QueryTimeout,
		"transaction idle": c.TxIdleTimeout, "transaction": c.TxTimeout,
	} {
		if d < 0 {
			wrong("the %s time-out is negative: %s", name, d)
		}
	}
	seen := map[string]bool{}
	for _, u := range users {
		if err := u.Validate(); err != nil {
			errs = append(errs, err)
		}
		if seen[u.Name] {
			wrong("user %q is there twice", u.Name)
		}
		seen[u.Name] = true
	}
	return errors.Join(errs...)
}

var verifierForms = regexp.MustCompile(`^(\*[0-9A-F]{40}|\$A\$[0-9A-F]{3}\$[\x00-\xff]{63}|` +
	`SCRAM-SHA-256\$[0-9]{4,7}:[A-Za-z0-9+/=]{4,}\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}|md5[0-9a-f]{32})$`)

// CheckVerifier says what is wrong with the form of a User's Verifier.
func CheckVerifier(v string) error {
	if verifierForms.MatchString(v) {
		return nil
	}
	return errors.New("the verifier is neither '*' with 40 upper-case hex digits nor '$A$005$' with a salt of 20 and a hash of 43 characters (MySQL), " +
		"nor as pg_authid has it: SCRAM-SHA-256$... or md5... (PostgreSQL)")
}

// Validate reports everything that is wrong with the User, joined into one error; nil when nothing is.
func (u User) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("user %q: "+format, append([]any{u.Name}, args...)...))
	}
	if u.Name == "" || len(u.Name) > 255 {
		wrong("a name has 1 to 255 bytes")
	}
	if u.Password != "" && u.Verifier != "" {
		wrong("password and verifier are both given; one of them is enough")
	}
	if u.Verifier != "" {
		if err := CheckVerifier(u.Verifier); err != nil {
			wrong("%w", err)
		}
	}
	if u.Verifier != "" && u.ServerPassword == "" {
		wrong("a verifier can't log in to a server; a server password is needed too")
	}
	if u.Class != "" && u.Class != backend.Online && u.Class != backend.Batch {
		wrong("class %q is neither online nor batch", u.Class)
	}
	return errors.Join(errs...)
}
