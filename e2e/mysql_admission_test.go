package e2e

// Cases 10, 14-17: who is let in, and what changes while Leat runs.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addMySQLCase(10, "password rotation", passwordRotation)
	addMySQLCase(14, "proxy protocol", proxyProtocol)
	addMySQLCase(15, "stalled log-ins and too many clients", stalledAndTooMany)
	addMySQLCase(16, "tls is required", tlsRequired)
	addMySQLCase(17, "certificate rotation", certificateRotation)
}

// certificate is a key pair on disk that signs itself.
type certificate struct{ cert, key string }

func newCertificate(t *testing.T, dir string, serial int64) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leat"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := certificate{filepath.Join(dir, "leat.crt"), filepath.Join(dir, "leat.key")}
	for file, block := range map[string]*pem.Block{c.cert: {Type: "CERTIFICATE", Bytes: der}, c.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// config is the certificate's section in the config file.
func (c certificate) config(more string) string {
	return fmt.Sprintf("tls: {cert: '%s', key: '%s'%s}", c.cert, c.key, more)
}

// client trusts whatever certificate it is shown.
func (certificate) client() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func passwordRotation(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := sharedServers(ctx, t, flavor)
	rotate := func(sql string) {
		if err := top.Primary().Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
		if err := top.WaitSynced(ctx); err != nil {
			t.Fatal(err)
		}
	}
	rotate("DROP USER IF EXISTS rotated; CREATE USER rotated IDENTIFIED BY 'old'; GRANT SELECT ON *.* TO rotated")
	opts := leatOptions{Users: "[{name: rotated, password: old}]"}
	l := startLeat(ctx, t, top, opts)
	running := []*sql.DB{}
	for range 3 {
		cfg := mysql.NewConfig()
		cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = "rotated", "old", "tcp", l.Addr
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		db.SetMaxOpenConns(1)
		defer db.Close()
		if err := db.PingContext(ctx); err != nil {
			t.Fatal(err)
		}
		running = append(running, db)
	}
	use := func() {
		t.Helper()
		for _, db := range running {
			for _, query := range []string{"SELECT COUNT(*) FROM mysql.user WHERE user = 'rotated'", "SELECT LAST_INSERT_ID() + 1"} {
				var n int
				if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil || n != 1 {
					t.Errorf("a running session: %d, %v; want 1", n, err)
				}
			}
		}
	}
	use()
	rotate("ALTER USER rotated IDENTIFIED BY 'new'")
	use()
	opts.Users = "[{name: rotated, password: new}]"
	l.WriteConfig(top, opts)
	l.Reload()
	eventually(ctx, t, "the new password isn't taken", func() error { return l.driver(ctx, "rotated", "new", nil) })
	if err := l.driver(ctx, "rotated", "old", nil); serverError(err) != 1045 {
		t.Errorf("the old password: %v, want error 1045", err)
	}
	// Conns of the old password go; what a running session needs is opened by the new one.
	use()
	if err := l.login(ctx, func(o *rawmysql.Options) { o.User, o.Password, o.Database = "rotated", "new", "mysql" }); err != nil {
		t.Errorf("a new log-in with a database: %v", err)
	}
}

// withHeader is a connection to Leat that says something before all else.
func withHeader(ctx context.Context, l *leat, header string) error {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = localdb.AppUser, localdb.AppPassword, "tcp", l.Addr
	cfg.Logger = &mysql.NopLogger{}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, network, address)
		if err == nil {
			_, err = nc.Write([]byte(header))
		}
		return nc, err
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	c, err := connector.Connect(ctx)
	if err == nil {
		c.Close()
	}
	return err
}

func proxyProtocol(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := sharedServers(ctx, t, flavor)
	const v1 = "PROXY TCP4 192.0.2.7 192.0.2.9 51234 3306\r\n"
	const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x09\xc8\x22\x0c\xea"
	const elsewhere = "PROXY TCP4 198.51.100.7 192.0.2.9 51234 3306\r\n"
	users := fmt.Sprintf("[{name: %s, password: %s, from: [192.0.2.0/24]}]", localdb.AppUser, localdb.AppPassword)
	trusting := startLeat(ctx, t, top, leatOptions{Users: users, Top: []string{"proxy_networks: [127.0.0.0/8]", "timeouts: {handshake: 2s}"}})
	strict := startLeat(ctx, t, top, leatOptions{Top: []string{"timeouts: {handshake: 2s}"}})
	for _, try := range []struct {
		name   string
		leat   *leat
		header string
		ok     bool
	}{
		{"version 1", trusting, v1, true},
		{"version 2", trusting, v2, true},
		{"an address that the user may not come from", trusting, elsewhere, false},
		{"no header", trusting, "", false},
		{"no header, as always", strict, "", true},
		{"spoofed version 1", strict, v1, false},
		{"spoofed version 2", strict, v2, false},
	} {
		if err := withHeader(ctx, try.leat, try.header); (err == nil) != try.ok {
			t.Errorf("%s: %v, want success %t", try.name, err, try.ok)
		}
	}
}

func stalledAndTooMany(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := sharedServers(ctx, t, flavor)
	l := startLeat(ctx, t, top, leatOptions{Top: []string{"timeouts: {handshake: 300ms}", "limits: {clients: 2}"}})
	stalled, err := net.Dial("tcp", l.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	stalled.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadAll(stalled); err != nil {
		t.Errorf("a client that says nothing is kept: %v", err)
	}
	s := &stage{T: t, ctx: ctx, flavor: flavor, top: top, leat: l}
	first, second := s.dial(l.Addr, "", peerFlags), s.dial(l.Addr, "", peerFlags)
	err = l.login(ctx, func(o *rawmysql.Options) { o.Password = "never read" })
	if serverError(err) != 1040 {
		t.Errorf("one client too many: %v, want error 1040", err)
	}
	first.wants("SELECT 1", "1")
	second.Close()
	eventually(ctx, t, "the place of a client that left isn't free", func() error { return l.login(ctx, func(*rawmysql.Options) {}) })
}

func tlsRequired(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := sharedServers(ctx, t, flavor)
	cert := newCertificate(t, t.TempDir(), 1)
	l := startLeat(ctx, t, top, leatOptions{Top: []string{cert.config(", required: true")}})
	if err := l.login(ctx, func(*rawmysql.Options) {}); serverError(err) != 3159 {
		t.Errorf("without TLS: %v, want error 3159", err)
	}
	if err := l.driver(ctx, localdb.AppUser, localdb.AppPassword, cert.client()); err != nil {
		t.Errorf("with TLS: %v", err)
	}
	// A server whose certificate isn't what the config asks for is named, with what is wrong.
	l.WriteConfig(top, leatOptions{Shard: []string{fmt.Sprintf("tls: {ca: '%s'}", cert.cert)}})
	out, err := exec.CommandContext(ctx, leatProgram(t), "check", "--connect", "--config", l.config).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), top.Primary().Addr()) || !strings.Contains(strings.ToLower(string(out)), "tls") {
		t.Errorf("a CA that didn't sign the servers' certificates: %v, want the server and TLS named:\n%s", err, out)
	}
}

func certificateRotation(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := sharedServers(ctx, t, flavor)
	dir := t.TempDir()
	cert := newCertificate(t, dir, 1)
	l := startLeat(ctx, t, top, leatOptions{Top: []string{cert.config("")}})
	var serial int64
	config := &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
		shown, err := x509.ParseCertificate(raw[0])
		if err == nil {
			serial = shown.SerialNumber.Int64()
		}
		return err
	}}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.TLS = localdb.AppUser, localdb.AppPassword, "tcp", l.Addr, config
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	open := sql.OpenDB(connector)
	defer open.Close()
	conn, err := open.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if serial != 1 {
		t.Errorf("certificate %d was shown, want 1", serial)
	}
	newCertificate(t, dir, 2)
	l.Reload()
	eventually(ctx, t, "the old certificate is shown", func() error {
		err := l.driver(ctx, localdb.AppUser, localdb.AppPassword, config)
		if err == nil && serial != 2 {
			err = fmt.Errorf("it is number %d", serial)
		}
		return err
	})
	if err := conn.PingContext(ctx); err != nil {
		t.Errorf("a session that was open: %v", err)
	}
}
