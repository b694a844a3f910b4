package localdb

// SQL on PostgreSQL servers, the users that each has, and the making of the template.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver that DB opens
)

// Further users of PostgreSQL servers, to log in as over TCP. All have AppPassword and are members of AppUser, except
// that AdminUser is a superuser, as root is.
const (
	AdminUser = "admin"     // a superuser
	PlainUser = "app_plain" // sends its password in the clear
	MD5User   = "app_md5"   // authenticates by MD5
	CertUser  = "app_cert"  // has no password but a certificate (Server.ClientCert)
	// ReaderRole can't log in. AppUser is a member, for SET ROLE.
	ReaderRole = "app_reader"
)

func (postgres) driver() string { return "pgx" }

func (postgres) dsn(s *Server, user, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: s.Addr(), Path: "/" + database,
		RawQuery: "sslmode=disable&connect_timeout=10",
	}
	return u.String()
}

func (f postgres) exec(ctx context.Context, s *Server, database, query string) error {
	_, err := f.asRoot(ctx, s, database, query)
	return err
}

func (f postgres) firstRow(ctx context.Context, s *Server, database, query string) ([]string, []sql.NullString, error) {
	results, err := f.asRoot(ctx, s, database, query)
	if err != nil {
		return nil, nil, err
	}
	for _, result := range results {
		if len(result.Rows) == 0 {
			continue
		}
		names := make([]string, len(result.FieldDescriptions))
		row := make([]sql.NullString, len(names))
		for i, field := range result.FieldDescriptions {
			names[i] = field.Name
			row[i] = sql.NullString{String: string(result.Rows[0][i]), Valid: result.Rows[0][i] != nil}
		}
		return names, row, nil
	}
	return nil, nil, sql.ErrNoRows
}

// asRoot runs statements on a new connection. No connection is kept, so that a test can count those of others.
func (f postgres) asRoot(ctx context.Context, s *Server, database, query string) ([]*pgconn.Result, error) {
	conn, err := f.connect(ctx, s, database)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	return conn.Exec(ctx, query).ReadAll()
}

// connect connects as root, over the unix socket.
func (postgres) connect(ctx context.Context, s *Server, database string) (*pgconn.PgConn, error) {
	if database == "" {
		database = AppDatabase
	}
	conn, err := pgconn.Connect(ctx, rootConnInfo(s)+" connect_timeout=10 dbname="+quoteConnInfo(database))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.Addr(), err)
	}
	return conn, nil
}

// closeConn says goodbye; the caller's context may have ended.
func closeConn(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// rootConnInfo is how programs and libraries reach the server as root.
func rootConnInfo(s *Server) string {
	return fmt.Sprintf("host=%s port=%d user=root sslmode=disable application_name=localdb", quoteConnInfo(s.dir), s.Port)
}

// quoteConnInfo quotes a value of a connection string.
func quoteConnInfo(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// setupPostgres makes the users and databases. What is done in template1 goes for each database made later.
var setupPostgres = []struct{ database, sql string }{
	{"template1", `
CREATE ROLE app_reader;
CREATE ROLE app LOGIN PASSWORD 'app-secret' CREATEDB IN ROLE app_reader, pg_monitor, pg_signal_backend;
CREATE ROLE admin LOGIN SUPERUSER PASSWORD 'app-secret';
CREATE ROLE app_plain LOGIN PASSWORD 'app-secret' IN ROLE app;
CREATE ROLE app_cert LOGIN IN ROLE app;
SET password_encryption = 'md5';
CREATE ROLE app_md5 LOGIN PASSWORD 'app-secret' IN ROLE app;
RESET password_encryption;
CREATE ROLE leat_monitor LOGIN PASSWORD 'monitor-secret' IN ROLE pg_monitor;
CREATE ROLE repl LOGIN REPLICATION PASSWORD 'repl-secret';
GRANT ALL ON SCHEMA public TO app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO app;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app_reader;`},
	{"postgres", "CREATE DATABASE app OWNER app"},
	{"postgres", "CREATE DATABASE test OWNER app"},
}

// setup also names the form of the template, which isn't all in the texts.
func (postgres) setup(*Install) string { return "1" + settings + access + fmt.Sprint(setupPostgres) }

func (f postgres) initialise(ctx context.Context, in *Install, work string) error {
	data := filepath.Join(work, "data")
	cmd := in.command(ctx, in.program("initdb"), "-D", data, "--username=root", "--auth=trust",
		"--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=4", "--no-sync", "--no-instructions")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	s := &Server{install: in, dir: work}
	if err := f.writeConfig(s); err != nil {
		return err
	}
	s, err := Start(ctx, Options{Flavor: in.Flavor, Dir: work})
	if err != nil {
		return err
	}
	for _, step := range setupPostgres {
		if err := s.ExecIn(ctx, step.database, step.sql); err != nil {
			s.Close()
			return err
		}
	}
	return s.Stop(ctx)
}

// writeConfig writes the settings and the certificates.
func (f postgres) writeConfig(s *Server) error {
	cert, key, err := selfSigned("localhost")
	if err != nil {
		return err
	}
	clientCert, clientKey, err := selfSigned(CertUser)
	if err != nil {
		return err
	}
	files := []struct{ name, text string }{
		{"postgresql.conf", settings + "ssl_ca_file = 'client.crt'\n"},
		{"pg_hba.conf", access},
		{"server.crt", cert},
		{"server.key", key},
		{"client.crt", clientCert},
		{"client.key", clientKey},
	}
	for _, file := range files {
		if err := f.write(s, file.name, file.text); err != nil {
			return err
		}
	}
	return nil
}

// selfSigned makes a certificate that is its own authority, for a server on loopback or for a client.
func selfSigned(name string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(30, 0, 0),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	encode := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER), nil
}

// ServerCert is the path of the server's certificate, which is its own authority. PostgreSQL only; all servers of an
// installation have the same.
func (s *Server) ServerCert() string { return filepath.Join(s.dataDir(), "server.crt") }

// ClientCert are the paths of CertUser's certificate and key. PostgreSQL only.
func (s *Server) ClientCert() (cert, key string) {
	return filepath.Join(s.dataDir(), "client.crt"), filepath.Join(s.dataDir(), "client.key")
}

// program runs one of PostgreSQL's programs on the server's data directory, while it is down.
func (s *Server) program(ctx context.Context, name string, args ...string) (string, error) {
	out, err := s.install.command(ctx, s.install.program(name), args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, tail(out, 2000))
	}
	return string(out), nil
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// isStandby reports whether the data directory is that of a replica.
func (s *Server) isStandby() bool {
	_, err := os.Stat(filepath.Join(s.dataDir(), "standby.signal"))
	return err == nil
}
