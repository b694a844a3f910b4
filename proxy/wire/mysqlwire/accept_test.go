package mysqlwire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"leat/proxy/wire"
)

// testCertificate makes a certificate for 127.0.0.1, and the pool of the authority that signed it: itself.
var testCertificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
})

func serverTLS() *tls.Config {
	cert, _ := testCertificate()
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

func clientTLS() *tls.Config {
	_, pool := testCertificate()
	return &tls.Config{RootCAs: pool}
}

// testConfig lets in one user, "app".
func testConfig(v *Verifier) AcceptConfig {
	return AcceptConfig{
		Version: "8.4.6", ThreadID: 7, Charset: 255, Flavor: wire.FlavorMySQL, RSAKey: testKey(),
		Capabilities: ClientCompress | ClientZstd | ClientDeprecateEOF | ClientMultiStatements | ClientSessionTrack,
		Lookup: func(user string, _ netip.Addr) (*Verifier, bool) {
			if user != "app" {
				return nil, false
			}
			return v, true
		},
	}
}

var testOK = []byte{markOK, 0, 0, 2, 0, 0, 0}

// login is what a testServer saw.
type testLogin struct {
	accepted *Accepted
	err      error
}

// testServer accepts clients until the test ends, and answers every command with OK.
type testServer struct {
	addr   string
	logins chan testLogin
}

func startServer(t *testing.T, network string, cfg AcceptConfig) *testServer {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{addr: ln.Addr().String(), logins: make(chan testLogin, 64)}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(nc, cfg) })
		}
	})
	return s
}

func (s *testServer) serve(nc net.Conn, cfg AcceptConfig) {
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	a, err := Accept(nc, &cfg)
	s.logins <- testLogin{a, err}
	if err != nil {
		return
	}
	if a.Database == "missing" {
		_ = a.Fail(wire.Errorf(wire.CodeNoDatabase, "Unknown database 'missing'"))
		return
	}
	if a.Finish(testOK) != nil {
		return
	}
	for {
		io := &loginIO{rw: a.Conn}
		p, err := io.ReadPacket()
		if err != nil || len(p) == 0 || p[0] == ComQuit {
			return
		}
		if p[0] == ComChangeUser {
			if err := a.Reauth(append([]byte(nil), p...), io); err != nil {
				a.NextSeq = io.seq
				_ = a.Fail(err)
				return
			}
		}
		if io.WritePacket(testOK) != nil {
			return
		}
	}
}

// connect logs in with go-sql-driver/mysql and runs two statements.
func connect(network, addr string, change func(*mysql.Config)) error {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd = network, addr, "app", "secret"
	cfg.ConnectionAttributes = "program_name:leat-test"
	cfg.Logger = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	change(cfg)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	if err := db.Ping(); err != nil {
		return err
	}
	_, err = db.Exec("SET x = '" + strings.Repeat("long enough to be compressed ", 20) + "'")
	return err
}

func TestAcceptClients(t *testing.T) {
	sha2 := func() *Verifier {
		v, err := ParseVerifier(storedSHA2("secret", []byte("01234567890123456789")))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	native, err := ParseVerifier(storedNative("secret"))
	if err != nil {
		t.Fatal(err)
	}
	verifiers := []struct {
		name   string
		make   func() *Verifier
		plugin string // the only one that it takes
	}{
		{"password", func() *Verifier { return NewVerifier("secret") }, ""},
		{"stored native", func() *Verifier { return native }, pluginNative},
		{"stored sha2", sha2, pluginSHA2},
	}
	for _, v := range verifiers {
		for _, plugin := range []string{pluginNative, pluginSHA2} {
			for _, way := range []string{"tcp", "tls", "unix"} {
				t.Run(v.name+"/"+plugin+"/"+way, func(t *testing.T) {
					want := plugin
					if v.plugin != "" {
						want = v.plugin
					}
					testWay(t, v.make(), plugin, way, want)
				})
			}
		}
	}
}

func testWay(t *testing.T, v *Verifier, offered, way, wantPlugin string) {
	cfg := testConfig(v)
	cfg.DefaultPlugin, cfg.TLS = offered, serverTLS()
	network := "tcp"
	if way == "unix" {
		network = way
	}
	s := startServer(t, network, cfg)
	secure := func(c *mysql.Config) {
		if way == "tls" {
			c.TLS = clientTLS()
		}
	}
	for _, compress := range []bool{false, true} { // the second time by the fast path
		err := connect(network, s.addr, func(c *mysql.Config) {
			secure(c)
			c.DBName = "features"
			if compress {
				_ = c.Apply(mysql.EnableCompression(true))
			}
		})
		got := <-s.logins
		if err != nil || got.err != nil {
			t.Fatalf("compress %t: client: %v, server: %v", compress, err, got.err)
		}
		a := got.accepted
		if a.User != "app" || a.Database != "features" || a.Plugin != wantPlugin || a.TLS != (way == "tls") {
			t.Errorf("got %s@%s by %s, TLS %t; want app@features by %s", a.User, a.Database, a.Plugin, a.TLS, wantPlugin)
		}
		if !hasAttribute(a, "program_name", "leat-test") {
			t.Errorf("attributes %v lack program_name", a.Attributes)
		}
	}
	for user, password := range map[string]string{"app": "wrong", "nobody": "secret"} {
		err := connect(network, s.addr, func(c *mysql.Config) { secure(c); c.User, c.Passwd = user, password })
		<-s.logins
		host := "127.0.0.1"
		if way == "unix" {
			host = "localhost"
		}
		wantError(t, err, 1045, "Access denied for user '"+user+"'@'"+host+"' (using password: YES)")
	}
	err := connect(network, s.addr, func(c *mysql.Config) { secure(c); c.Passwd = "" })
	<-s.logins
	wantError(t, err, 1045, "(using password: NO)")
}

func hasAttribute(a *Accepted, name, value string) bool {
	for _, attr := range a.Attributes {
		if attr == (Attribute{name, value}) {
			return true
		}
	}
	return false
}

func wantError(t *testing.T, err error, number uint16, text string) {
	t.Helper()
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) || refused.Number != number || !strings.Contains(refused.Message, text) {
		t.Errorf("got %v, want %d ... %s", err, number, text)
	}
}

func TestAcceptEmptyPassword(t *testing.T) {
	for _, plugin := range []string{pluginNative, pluginSHA2} {
		cfg := testConfig(NewVerifier(""))
		cfg.DefaultPlugin = plugin
		s := startServer(t, "tcp", cfg)
		if err := connect("tcp", s.addr, func(c *mysql.Config) { c.Passwd = "" }); err != nil {
			t.Errorf("%s: %v", plugin, err)
		}
		wantError(t, connect("tcp", s.addr, func(*mysql.Config) {}), 1045, "using password: YES")
	}
}

func TestAcceptTLSRequired(t *testing.T) {
	cfg := testConfig(NewVerifier("secret"))
	cfg.TLS, cfg.TLSRequired = serverTLS(), true
	cfg.Lookup = func(string, netip.Addr) (*Verifier, bool) {
		t.Error("the user was looked up")
		return nil, false
	}
	s := startServer(t, "tcp", cfg)
	wantError(t, connect("tcp", s.addr, func(*mysql.Config) {}), 3159, "TLS")
	if got := (<-s.logins).err; got == nil {
		t.Error("no error from Accept")
	}
}

func TestAcceptClientCertificate(t *testing.T) {
	cert, pool := testCertificate()
	cfg := testConfig(NewVerifier("secret"))
	cfg.TLS = serverTLS()
	cfg.TLS.ClientAuth, cfg.TLS.ClientCAs = tls.RequireAndVerifyClientCert, pool
	s := startServer(t, "tcp", cfg)
	for _, certs := range [][]tls.Certificate{nil, {cert}} {
		err := connect("tcp", s.addr, func(c *mysql.Config) { c.TLS = clientTLS(); c.TLS.Certificates = certs })
		if got := (<-s.logins).err; (err == nil) != (certs != nil) || (got == nil) != (certs != nil) {
			t.Errorf("%d certificates: client: %v, server: %v", len(certs), err, got)
		}
	}
}

func TestAcceptFail(t *testing.T) {
	s := startServer(t, "tcp", testConfig(NewVerifier("secret")))
	err := connect("tcp", s.addr, func(c *mysql.Config) { c.DBName = "missing" })
	wantError(t, err, 1049, "Unknown database 'missing'")
}

func TestAcceptMariaDBGreeting(t *testing.T) {
	cfg := testConfig(NewVerifier("secret"))
	cfg.Version, cfg.Flavor, cfg.Charset = "5.5.5-10.11.19-MariaDB", wire.FlavorMariaDB, 2304
	g, err := parseGreeting(cfg.greeting().append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if g.capabilities&(ClientLongPassword|ClientZstd|ClientSSL) != 0 || g.mariadb != 0 || g.plugin != pluginNative || g.charset != 0 {
		t.Errorf("got %+v", g)
	}
	cfg.Flavor, cfg.TLS = wire.FlavorMySQL, serverTLS()
	if g := cfg.greeting(); g.capabilities&(ClientLongPassword|ClientSSL) != ClientLongPassword|ClientSSL || g.plugin != pluginSHA2 {
		t.Errorf("got %+v", g)
	}
}

// What a client may not say is answered by an error, without a panic and without a hang.
func TestAcceptBroken(t *testing.T) {
	packet := func(seq byte, payload string) string {
		return string(putHeader(nil, len(payload), seq)) + payload
	}
	tests := []struct {
		name, in string
		number   uint16 // 0: only closed
		want     error
	}{
		{"nothing", "", 0, io.EOF},
		{"cut", "\x20\x00\x00\x01\x05", 0, io.ErrUnexpectedEOF},
		{"PROXY header from elsewhere", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 1043, wire.ErrTooLarge},
		{"garbage", packet(1, "\x00\x02\x00\x00garbage"), 1043, wire.ErrMalformed},
		{"out of order", packet(3, "x"), 1043, wire.ErrMalformed},
		{"before 4.1", packet(1, "\x05\x24\x00\x00\x00root\x00"), 1251, errOldClient},
		{"TLS that isn't offered", packet(1, string((&handshakeResponse{capabilities: testCaps | ClientSSL}).appendSSLRequest(nil))), 1043, wire.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			cfg := testConfig(NewVerifier("secret"))
			got := make(chan error, 1)
			go func() {
				_, err := Accept(server, &cfg)
				server.Close()
				got <- err
			}()
			l := &loginIO{rw: client}
			if _, err := l.ReadPacket(); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = client.Write([]byte(tt.in))
				if tt.number == 0 {
					client.Close()
				}
			}()
			if tt.number != 0 {
				l.seq = tt.in[3] + 1
				if tt.want == wire.ErrTooLarge || tt.name == "out of order" {
					l.seq = 1
				}
				p, err := l.ReadPacket()
				if err != nil || ParseErr(p).Number != tt.number {
					t.Errorf("got %q, %v, want error %d", p, err, tt.number)
				}
			}
			if err := <-got; !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestReauth(t *testing.T) {
	for _, plugin := range []string{pluginNative, pluginSHA2} {
		cfg := testConfig(NewVerifier("secret"))
		cfg.DefaultPlugin = plugin
		s := startServer(t, "tcp", cfg)
		for _, password := range []string{"secret", "wrong"} {
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			in, err := login(context.Background(), nc, s.addr, wire.Login{User: "app", Password: "secret"}, 45)
			if err != nil {
				t.Fatal(err)
			}
			io := &loginIO{rw: nc}
			again := &serverLogin{io: io, plugin: in.greeting.plugin, salt: in.greeting.salt}
			again.login.Password = password
			u := changeUser{user: "app", database: "other", charset: 305, plugin: plugin}
			if u.auth, err = again.answer(); err != nil {
				t.Fatal(err)
			}
			if err := io.WritePacket(u.append(nil, in.capabilities)); err != nil {
				t.Fatal(err)
			}
			_, err = again.authenticate()
			a := (<-s.logins).accepted
			var refused *wire.ServerError
			switch {
			case password == "wrong" && (!errors.As(err, &refused) || refused.Number != 1045):
				t.Errorf("%s: got %v, want 1045", plugin, err)
			case password == "secret" && (err != nil || a.Database != "other" || a.Charset != 305):
				t.Errorf("%s: got %s, %d, %v, want other, 305", plugin, a.Database, a.Charset, err)
			}
		}
	}
}
