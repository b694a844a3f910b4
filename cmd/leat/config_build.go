// From the file to each package's Config. Every section is checked where it is mapped, and all that is
// wrong is reported at once.
package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"leat/proxy"
	"leat/proxy/backend"
	"leat/router"
	"leat/shard"
)

// loaded is a config file turned into what each package wants.
type loaded struct {
	listen  listenConfig
	proxy   proxy.Config
	backend backend.Config
	router  router.Config
	// first content of the map
	shards    map[shard.ID]shard.Dialect
	databases map[string]shard.ID
	// Leat's own
	level slog.Level
	json  bool
	token string
	drain time.Duration
	lines map[string]int // path of a value → its line
}

// newMap makes the map at a version.
func (l *loaded) newMap(version uint64) (*shard.Map, error) {
	return shard.NewMap(version, l.shards, l.databases)
}

// maxClients is how many clients may be connected.
func (l *loaded) maxClients() int {
	if l.proxy.MaxClients == 0 {
		return proxy.DefaultMaxClients
	}
	return l.proxy.MaxClients
}

// builder turns a config into a loaded one and notes what is wrong with it.
type builder struct {
	found *problems
	dir   string // relative paths start here: where the config file is
}

func (b *builder) build(c *config) *loaded {
	l := &loaded{
		listen: c.Listen,
		router: router.Config{PlanCacheBytes: b.bytes("limits.plan_cache", c.Limits.PlanCache, 64<<10, maxSize)},
		drain:  b.positive("timeouts.drain", c.Timeouts.Drain, 30*time.Second),
		lines:  b.found.lines,
	}
	for _, name := range c.PureFunctions {
		l.router.PureFunctions = append(l.router.PureFunctions, strings.ToLower(name))
	}
	l.token = b.token(c.Admin)
	l.level, l.json = b.log(c.Log)
	b.listen(c, l.token)
	l.proxy = b.proxy(c)
	l.backend = b.backend(c)
	l.shards, l.databases = b.owners(c)
	b.lastWord(l)
	return l
}

// lastWord asks the packages themselves, when nothing was found wrong in the file.
func (b *builder) lastWord(l *loaded) {
	if len(b.found.list) > 0 {
		return
	}
	_, mapErr := l.newMap(1)
	for _, err := range []error{l.proxy.Validate(), l.backend.Validate(), mapErr} {
		if err != nil {
			b.found.add("", "%v", err)
		}
	}
}

func (b *builder) listen(c *config, token string) {
	b.clientPorts(c)
	if c.Listen.Admin == "" {
		return
	}
	b.listenAddress("listen.admin", c.Listen.Admin)
	if token == "" && !b.found.has("listen.admin") && !b.found.has("admin") && !isLocal(c.Listen.Admin) {
		b.found.add("listen.admin", "%s can be reached from other machines; set admin.token_file too, or listen on 127.0.0.1", c.Listen.Admin)
	}
}

// clientPorts checks that the clients of each shard have a port, and each port a shard.
func (b *builder) clientPorts(c *config) {
	shards := map[string]bool{}
	for _, s := range c.Shards {
		shards[cmp.Or(s.Dialect, shard.MySQL.String())] = true
	}
	examples := map[shard.Dialect]string{shard.MySQL: "127.0.0.1:6033", shard.Postgres: "127.0.0.1:6432"}
	for _, p := range c.Listen.ports() {
		d := p.dialect.String()
		switch {
		case p.address != "":
			b.listenAddress(p.key, p.address)
			if !shards[d] && len(shards) > 0 {
				b.found.add(p.key, "no shard has dialect %s; leave the port out, or give a shard dialect: %s", d, d)
			}
		case shards[d] || len(shards) == 0 && p.dialect == shard.MySQL:
			b.found.add(p.key, "where clients connect is needed; write %s: %s, or a unix socket's path", d, examples[p.dialect])
		}
	}
}

func (b *builder) listenAddress(path, address string) {
	if isSocketPath(address) {
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		b.found.add(path, "%q is not an address; write host:port, or a unix socket's path with a /", address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		b.found.add(path, "%q is no port; write a number from 1 to 65535", port)
	}
	if host != "" && host != "localhost" && net.ParseIP(host) == nil {
		b.found.add(path, "%q is not an IP address of this machine; write 127.0.0.1:%s, or 0.0.0.0:%s for all", host, port, port)
	}
}

// isSocketPath tells a unix socket's path from host:port.
func isSocketPath(address string) bool { return strings.Contains(address, "/") }

// isLocal reports whether an address to listen on can be reached from this machine only.
func isLocal(address string) bool {
	if isSocketPath(address) {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func (b *builder) token(c adminConfig) string {
	token := c.Token
	if c.TokenFile != "" {
		if token != "" {
			b.found.add("admin.token_file", "admin.token is given too; leave one of them out")
		}
		token = b.secretFile("admin.token_file", c.TokenFile)
	}
	if token != "" && len(token) < 16 {
		b.found.add("admin", "the token has %d characters, which can be guessed; use 16 or more: openssl rand -hex 16", len(token))
	}
	return token
}

func (b *builder) log(c logConfig) (slog.Level, bool) {
	var level slog.Level
	if b.oneOf("log.level", c.Level, "info", "debug", "info", "warn", "error") {
		_ = level.UnmarshalText([]byte(c.Level)) // an empty one stays info
	}
	b.oneOf("log.format", c.Format, "text", "text", "json")
	return level, c.Format == "json"
}

func (b *builder) proxy(c *config) proxy.Config {
	t, lim := c.Timeouts, c.Limits
	b.oneOf("consistency", c.Consistency, "session", "session", "eventual")
	out := proxy.Config{
		Users:            b.users(c.Users),
		MaxClients:       b.count("limits.clients", lim.Clients, 1, 1_000_000),
		HandshakeTimeout: b.positive("timeouts.handshake", t.Handshake, 0),
		IdleTimeout:      b.positive("timeouts.idle", t.Idle, 0),
		QueryTimeout:     t.Query.or(0),
		TxIdleTimeout:    t.TxIdle.or(0),
		TxTimeout:        t.Tx.or(0),
		SlowQuery:        orNegative(c.SlowQuery),
		MaxPacket:        b.bytes("limits.packet", lim.Packet, 16<<10, 1<<30),
		MaxStatements:    b.count("limits.statements", lim.Statements, 1, 1_000_000),
		LocalInfile:      c.LocalInfile,
		ProxyNetworks:    prefixes(c.ProxyNetworks),
		Consistency:      c.Consistency,
		Digests:          b.count("limits.digests", lim.Digests, 10, 100_000),
	}
	if c.TLS != nil {
		out.TLS, out.TLSRequired = b.clientTLS(c.TLS), c.TLS.Required
	}
	return out
}

// clientTLS is how Leat answers clients that ask for TLS.
func (b *builder) clientTLS(c *tlsConfig) *tls.Config {
	if c.Cert == "" || c.Key == "" {
		if b.found.has("tls") {
			return nil // said already: one couldn't be read
		}
		b.found.add("tls", "cert and key are both needed; write tls: {cert: leat.crt, key: leat.key}")
		return nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: b.keyPair("tls", c.Cert, c.Key)}
	if c.ClientCA != "" {
		out.ClientCAs = b.certPool("tls.client_ca", c.ClientCA)
		out.ClientAuth = tls.VerifyClientCertIfGiven
		if c.Required {
			out.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	return out
}

func (b *builder) keyPair(path, cert, key string) []tls.Certificate {
	pair, err := tls.LoadX509KeyPair(b.file(cert), b.file(key))
	if err != nil {
		b.found.add(path, "the certificate can't be used: %v", err)
		return nil
	}
	return []tls.Certificate{pair}
}

func (b *builder) certPool(path, name string) *x509.CertPool {
	text, err := os.ReadFile(b.file(name))
	if err != nil {
		b.found.add(path, "the file can't be read: %v", err)
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		b.found.add(path, "%s holds no certificate; a PEM file is needed", name)
	}
	return pool
}

// file is a path as the config means it: relative to the config file.
func (b *builder) file(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(b.dir, name)
}

// secretFile reads a secret; a line end after it doesn't count.
func (b *builder) secretFile(path, name string) string {
	text, err := os.ReadFile(b.file(name))
	if err != nil {
		b.found.add(path, "the file can't be read: %v", err)
		return ""
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		b.found.add(path, "%s is empty", name)
	}
	return secret
}

// oneOf refuses a value that isn't among those known. An empty one is the default.
func (b *builder) oneOf(path, value, standard string, known ...string) bool {
	if value == "" || slices.Contains(known, value) {
		return true
	}
	b.found.add(path, "%q is not known here; write one of %s (default %s)", value, strings.Join(known, ", "), standard)
	return false
}

// count is a number within bounds; 0 when it isn't given.
func (b *builder) count(path string, n *int, low, high int) int {
	if n != nil && (*n < low || *n > high) {
		b.found.add(path, "%d is out of range; write %d to %d", *n, low, high)
	}
	return intOr(n, 0)
}

// bytes is a size within bounds; 0 when it isn't given.
func (b *builder) bytes(path string, n *size, low, high int) int {
	if n != nil && (int(*n) < low || int(*n) > high) {
		b.found.add(path, "%d bytes is out of range; write %s to %s", *n, showSize(low), showSize(high))
	}
	return n.or(0)
}

// positive is a duration that can't be 0; the default when it isn't given.
func (b *builder) positive(path string, d *duration, standard time.Duration) time.Duration {
	if d != nil && *d == 0 {
		b.found.add(path, "0 isn't possible; write how long, as 10s")
	}
	return d.or(standard)
}

func showSize(n int) string {
	for _, unit := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n >= 1<<unit.shift && n&(1<<unit.shift-1) == 0 {
			return fmt.Sprintf("%d%s", n>>unit.shift, unit.name)
		}
	}
	return strconv.Itoa(n)
}
