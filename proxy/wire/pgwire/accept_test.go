package pgwire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"leat/proxy/wire"
)

// testTLS is a server's TLS with a certificate of its own, and a client's that trusts it.
var testTLS = sync.OnceValues(func() (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "db"}, DNSNames: []string{"db"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, _ := x509.ParseCertificate(der)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "db"}
})

func testKey() []byte { return []byte("0123456789abcdef0123456789abcdef") }

// welcome lets one user in.
func welcome(user string, cred wire.Credential) *wire.Welcome {
	return &wire.Welcome{ID: 42, Key: testKey(), MaxPacket: 1 << 20, Lookup: func(name string, _ netip.Addr) (wire.Credential, bool) {
		return cred, name == user && user != ""
	}}
}

var testGreeting = wire.Greeting{Flavor: wire.FlavorPostgres, Version: "15.1", Params: []wire.Var{
	{Name: "server_version", Value: "15.1"}, {Name: "DateStyle", Value: "ISO, MDY"}, {Name: "is_superuser", Value: "off"},
}}

// met is what came of an Accept.
type met struct {
	client  wire.Client
	arrival *wire.Arrival
	err     error
}

// accepting runs an Accept, and an Admit behind it, on one end of a pipe and returns the other.
func accepting(t *testing.T, ac *Acceptor, w *wire.Welcome) (net.Conn, <-chan met) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	deadline := time.Now().Add(10 * time.Second)
	ours.SetDeadline(deadline)
	theirs.SetDeadline(deadline)
	done := make(chan met, 1)
	go func() {
		c, a, err := ac.Accept(ours, w)
		if err == nil {
			err = c.Admit(&testGreeting, a.State)
		} else {
			ours.Close()
		}
		done <- met{c, a, err}
	}()
	return theirs, done
}

// connect logs in with pgconn, over nc.
func connect(nc net.Conn, user, password, parameters string, tlsConfig *tls.Config, direct bool) (*pgconn.PgConn, error) {
	cfg, err := pgconn.ParseConfig("postgres://db/data?sslmode=disable" + parameters)
	if err != nil {
		return nil, err
	}
	cfg.User, cfg.Password, cfg.TLSConfig = user, password, tlsConfig
	cfg.Fallbacks = nil
	if direct {
		cfg.SSLNegotiation = "direct"
	}
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nc, nil }
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	return pgconn.ConnectConfig(ctx, cfg)
}

func TestAcceptMethods(t *testing.T) {
	stored := func(password string) string {
		s := NewVerifier(password).scram()
		return fmt.Sprintf("SCRAM-SHA-256$4096:%s$%s:%s", b64(s.salt), b64(s.storedKey[:]), b64(s.serverKey[:]))
	}
	server, client := testTLS()
	withALPN := client.Clone()
	withALPN.NextProtos = []string{alpn}
	tests := []struct {
		name     string
		cred     wire.Credential
		password string
		tls      *tls.Config
		direct   bool
		binding  string
		ok       bool
	}{
		{name: "a password", cred: wire.Credential{Password: "geheim"}, password: "geheim", ok: true},
		{name: "a wrong password", cred: wire.Credential{Password: "geheim"}, password: "gehein"},
		{name: "a verifier", cred: wire.Credential{Verifier: stored("geheim")}, password: "geheim", ok: true},
		{name: "a verifier, and a wrong password", cred: wire.Credential{Verifier: stored("geheim")}, password: "x"},
		{name: "md5", cred: wire.Credential{Verifier: md5Stored("app", "geheim")}, password: "geheim", ok: true},
		{name: "md5, and a wrong password", cred: wire.Credential{Verifier: md5Stored("app", "geheim")}, password: "x"},
		{name: "no password", cred: wire.Credential{}, ok: true},
		{name: "a verifier of MySQL's", cred: wire.Credential{Verifier: "*" + strings.Repeat("A", 40)}, password: "geheim"},
		{name: "TLS", cred: wire.Credential{Password: "geheim"}, password: "geheim", tls: client, binding: "disable", ok: true},
		{name: "TLS bound", cred: wire.Credential{Password: "geheim"}, password: "geheim", tls: client, binding: "require", ok: true},
		{name: "TLS bound, a wrong password", cred: wire.Credential{Password: "geheim"}, password: "x", tls: client, binding: "require"},
		{name: "TLS at once", cred: wire.Credential{Password: "geheim"}, password: "geheim", tls: withALPN, direct: true, binding: "require", ok: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := welcome("app", tt.cred)
			w.TLS = server
			nc, done := accepting(t, NewAcceptor(), w)
			binding := ""
			if tt.binding != "" {
				binding = "&channel_binding=" + tt.binding
			}
			c, err := connect(nc, "app", tt.password, "&application_name=test&DateStyle=German"+binding, tt.tls, tt.direct)
			got := <-done
			if !tt.ok {
				var refused *pgconn.PgError
				if !errors.As(err, &refused) || refused.Code != "28P01" || refused.Severity != "FATAL" || got.err == nil {
					t.Errorf("got %v and %v, want a refusal", err, got.err)
				}
				return
			}
			if err != nil || got.err != nil {
				t.Fatalf("got %v and %v", err, got.err)
			}
			if c.PID() != 42 || !bytes.Equal(c.SecretKey(), testKey()[:4]) || c.TxStatus() != 'I' {
				t.Errorf("got pid %d, key %x, status %c", c.PID(), c.SecretKey(), c.TxStatus())
			}
			if v := c.ParameterStatus("DateStyle"); v != "German" {
				t.Errorf("DateStyle: got %q, want the client's", v)
			}
			a := got.arrival
			if v, _ := a.State.Get("datestyle"); a.User != "app" || a.Database != "data" || a.State.Database() != "data" || v != "German" || a.Attributes["program_name"] != "test" {
				t.Errorf("got %+v %v", a, a.State.Vars())
			}
		})
	}
}

// Case 12: an unknown user goes the way of a wrong password, and looks like it.
func TestAcceptUnknownUser(t *testing.T) {
	nc, done := accepting(t, NewAcceptor(), welcome("app", wire.Credential{Password: "geheim"}))
	_, err := connect(nc, "nobody", "geheim", "", nil, false)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28P01" || refused.Message != `password authentication failed for user "nobody"` {
		t.Errorf("got %v", err)
	}
	if got := <-done; got.err == nil {
		t.Error("the user was let in")
	}
}

// A message of a client before it is logged in.
func untyped(code uint32, rest string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	return string(binary.BigEndian.AppendUint32(b, code)) + rest
}

func typed(kind byte, payload string) string { return string(appendMessage(nil, kind, payload)) }

const userApp = "user\x00app\x00\x00"

func sasl(mechanism, first string) string {
	p := binary.BigEndian.AppendUint32(appendNul(nil, mechanism), uint32(len(first)))
	return typed(reqPassword, string(p)+first)
}

// exchangeStep is something that a client sends, and how the answer to it begins; "": nothing is waited for.
type exchangeStep struct{ send, want string }

// Cases 1 to 6 and 34.
func TestAcceptProtocol(t *testing.T) {
	const ssl, gss = "\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x00\x00\x00\x08\x04\xd2\x16\x30"
	start := untyped(version30, userApp)
	const askSASL = "R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"
	malformed, tooLarge := wire.ErrMalformed, wire.ErrTooLarge
	tests := []struct {
		name  string
		steps []exchangeStep
		state string // SQLSTATE of the refusal that comes then; "": the connection just ends
		err   error
	}{
		{"1: TLS, then GSSAPI", []exchangeStep{{ssl, "N"}, {gss, "N"}, {start, askSASL}, {"", "close"}}, "", io.ErrUnexpectedEOF},
		{"1: GSSAPI, then TLS", []exchangeStep{{gss, "N"}, {ssl, "N"}, {start, askSASL}, {"", "close"}}, "", io.ErrUnexpectedEOF},
		{"1: TLS twice", []exchangeStep{{ssl, "N"}, {ssl, ""}}, "0A000", nil},
		{"1: GSSAPI twice", []exchangeStep{{gss, "N"}, {gss, ""}}, "0A000", nil},
		{"3: data behind the request for TLS", []exchangeStep{{ssl + start, ""}}, "", malformed},
		{"3: data behind the request for GSSAPI", []exchangeStep{{gss + "x", ""}}, "", malformed},
		{"2: TLS at once, where there is none", []exchangeStep{{"\x16\x03\x01", ""}}, "", nil},
		{"4: version 4.0", []exchangeStep{{untyped(4<<16, userApp), ""}}, "0A000", nil},
		{"4: version 2.0", []exchangeStep{{untyped(2<<16, userApp), ""}}, "0A000", nil},
		{"4: version 3.2", []exchangeStep{{untyped(version32, userApp), askSASL}, {"", "close"}}, "", io.ErrUnexpectedEOF},
		{"4: version 3.3", []exchangeStep{{untyped(version32+1, userApp), "v\x00\x00\x00\x0c\x00\x03\x00\x02\x00\x00\x00\x00" + askSASL}, {"", "close"}}, "", io.ErrUnexpectedEOF},
		{
			"4: extensions", []exchangeStep{
				{untyped(version30, "_pq_.x\x001\x00"+userApp), "v\x00\x00\x00\x13\x00\x03\x00\x00\x00\x00\x00\x01_pq_.x\x00" + askSASL}, {"", "close"},
			}, "", io.ErrUnexpectedEOF,
		},
		{"5: a second startup message", []exchangeStep{{start, askSASL}, {start, ""}}, "08P01", malformed},
		{"6: no nonce", []exchangeStep{{start, askSASL}, {sasl(scramSHA256, "n,,n="), ""}}, "08P01", nil},
		{"6: a huge nonce", []exchangeStep{{start, askSASL}, {sasl(scramSHA256, "n,,n=,r="+strings.Repeat("x", maxSASL)), ""}}, "08P01", tooLarge},
		{"6: a huge length", []exchangeStep{{start, askSASL}, {"p\x7f\xff\xff\xff", ""}}, "08P01", tooLarge},
		{"6: a negative length", []exchangeStep{{start, askSASL}, {"p\xff\xff\xff\xff", ""}}, "08P01", malformed},
		{"6: another mechanism", []exchangeStep{{start, askSASL}, {sasl("PLAIN", "x"), ""}}, "08P01", nil},
		{"9: PLUS without TLS", []exchangeStep{{start, askSASL}, {sasl(scramSHA256Plus, "p=tls-server-end-point,,n=,r=x"), ""}}, "08P01", nil},
		{
			"no first message", []exchangeStep{
				{start, askSASL},
				{typed(reqPassword, scramSHA256+"\x00\xff\xff\xff\xff"), "R\x00\x00\x00\x08\x00\x00\x00\x0b"},
				{typed(reqPassword, "n,,n=,r=abc"), "R\x00\x00\x00"},
				{typed(reqPassword, "c=biws"), ""},
			}, "08P01", nil,
		},
		{"34: a query before the log-in", []exchangeStep{{start, askSASL}, {typed(reqQuery, "SELECT 1\x00"), ""}}, "08P01", malformed},
		{"34: too short", []exchangeStep{{"\x00\x00\x00\x07\x00\x03\x00", ""}}, "", malformed},
		{"34: too long", []exchangeStep{{"\x00\x00\x27\x15\x00\x03\x00", ""}}, "", malformed},
		{"HTTP", []exchangeStep{{"GET / HTTP/1.0\r\n\r\n", ""}}, "", malformed},
		{"replication", []exchangeStep{{untyped(version30, "replication\x00database\x00"+userApp), ""}}, "0A000", nil},
		{"options that can't be read", []exchangeStep{{untyped(version30, "options\x00-c\x00"+userApp), ""}}, "42601", nil},
		{"no user", []exchangeStep{{untyped(version30, "\x00"), ""}}, "28000", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			nc, done := accepting(t, NewAcceptor(), welcome("app", wire.Credential{Password: "geheim"}))
			for _, s := range tt.steps {
				talk(t, nc, s)
			}
			rest, _ := io.ReadAll(nc)
			state := ""
			if len(rest) > 0 && rest[0] == repError {
				state = parseError(rest[headerSize:]).SQLState
			}
			if state != tt.state || (state == "" && len(rest) > 0) {
				t.Errorf("the client was told %q, want %q", rest, tt.state)
			}
			if got := <-done; got.err == nil || (tt.err != nil && !errors.Is(got.err, tt.err)) {
				t.Errorf("got %v, want %v", got.err, tt.err)
			}
		})
	}
}

// talk sends what a client does, and checks the answer.
func talk(t *testing.T, nc net.Conn, s exchangeStep) {
	t.Helper()
	if s.want == "close" {
		nc.Close()
		return
	}
	if _, err := nc.Write([]byte(s.send)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Fatal(err)
	}
	got := make([]byte, len(s.want))
	if _, err := io.ReadFull(nc, got); err != nil || string(got) != s.want {
		t.Fatalf("got %q %v, want %q", got, err, s.want)
	}
	if strings.HasPrefix(s.want, "R\x00\x00\x00") && len(s.want) == 4 { // the rest of a challenge, which is random
		challenge := make([]byte, 1000)
		if _, err := nc.Read(challenge); err != nil {
			t.Fatal(err)
		}
	}
}

// Case 4: the key is long with protocol 3.2.
func TestAdmitKey(t *testing.T) {
	for version, size := range map[uint32]int{version30: 4, version30 + 1: 4, version32: 32} {
		nc, done := accepting(t, NewAcceptor(), welcome("app", wire.Credential{}))
		go nc.Write([]byte(untyped(version, userApp)))
		in := newReader(nc)
		for {
			kind, p, err := in.frame(1000)
			if err != nil {
				t.Fatal(err)
			}
			in.discard(p)
			if kind != repBackendKeyData {
				continue
			}
			if pid, key, err := parseKeyData(p); pid != 42 || string(key) != string(testKey()[:size]) || err != nil {
				t.Errorf("version %#x: got %d %q %v", version, pid, key, err)
			}
			break
		}
		go io.Copy(io.Discard, nc)
		<-done
	}
}

func TestAcceptTLSRequired(t *testing.T) {
	w := welcome("app", wire.Credential{Password: "geheim"})
	w.TLS, _ = testTLS()
	w.TLSRequired = true
	nc, done := accepting(t, NewAcceptor(), w)
	_, err := connect(nc, "app", "geheim", "", nil, false)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28000" {
		t.Errorf("got %v", err)
	}
	<-done
}

// Case 2: TLS at once needs ALPN.
func TestAcceptDirectTLS(t *testing.T) {
	server, client := testTLS()
	w := welcome("app", wire.Credential{})
	w.TLS = server
	nc, done := accepting(t, NewAcceptor(), w)
	go func() {
		conn := tls.Client(nc, client)
		conn.Handshake()
		io.Copy(io.Discard, conn)
	}()
	if got := <-done; got.err == nil || !strings.Contains(got.err.Error(), "ALPN") {
		t.Errorf("got %v", got.err)
	}
}

func TestAcceptCancel(t *testing.T) {
	tests := []struct {
		key string
		ok  bool
	}{{"0123", true}, {strings.Repeat("k", 32), true}, {"", false}, {strings.Repeat("k", 257), false}}
	for _, tt := range tests {
		nc, done := accepting(t, NewAcceptor(), welcome("", wire.Credential{}))
		talk(t, nc, exchangeStep{untyped(codeCancelRequest, "\x00\x00\x00\x07"+tt.key), ""})
		got := <-done
		var c *wire.CancelRequest
		if ok := errors.As(got.err, &c); ok != tt.ok || (ok && (c.ID != 7 || string(c.Key) != tt.key)) {
			t.Errorf("key %q: got %v %+v", tt.key, got.err, c)
		}
		if rest, _ := io.ReadAll(nc); len(rest) > 0 {
			t.Errorf("key %q: the client was told %q", tt.key, rest)
		}
	}
}

func TestTurnAway(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		NewAcceptor().TurnAway(ours, wire.Errorf(wire.CodeTooManyClients, "full"))
		ours.Close()
	}()
	talk(t, theirs, exchangeStep{"\x00\x00\x00\x08\x04\xd2\x16\x2f", "N"})
	talk(t, theirs, exchangeStep{untyped(version30, userApp), ""})
	rest, _ := io.ReadAll(theirs)
	if len(rest) < headerSize || parseError(rest[headerSize:]).SQLState != "53300" {
		t.Errorf("got %q", rest)
	}
}

func TestRefuse(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		c, _, err := NewAcceptor().Accept(ours, welcome("app", wire.Credential{}))
		if err == nil {
			c.Refuse(&wire.ServerError{SQLState: "3D000", Message: "none", Fields: []byte("SERROR\x00C3D000\x00Mnone\x00Hhint\x00\x00")})
		}
		ours.Close()
	}()
	talk(t, theirs, exchangeStep{untyped(version30, userApp), ""})
	rest, _ := io.ReadAll(theirs)
	if want := "SFATAL\x00VFATAL\x00C3D000\x00Mnone\x00Hhint\x00\x00"; !strings.HasSuffix(string(rest), want) {
		t.Errorf("got %q, want %q", rest, want)
	}
}

// What a client sends ahead, behind its last word of the log-in, is its first request.
func TestAcceptAhead(t *testing.T) {
	nc, done := accepting(t, NewAcceptor(), welcome("app", wire.Credential{}))
	go func() {
		nc.Write([]byte(untyped(version30, userApp) + typed(reqSync, "")))
		io.Copy(io.Discard, nc)
	}()
	if got := <-done; got.err != nil || !got.client.Buffered() {
		t.Errorf("got %v, and nothing is buffered", got.err)
	}
}

func TestReadMode(t *testing.T) {
	defaults := wire.NewState("").With("default_transaction_read_only", "on")
	tests := []struct {
		name, value string
		want        wire.Mode
	}{
		{"x", "", wire.ReadOnly},
		{"default_transaction_read_only", "off", 0},
		{"default_transaction_read_only", "F", 0},
		{"client_encoding", "UTF8", wire.ReadOnly},
		{"client_encoding", "EUC_JP", wire.ReadOnly},
		{"client_encoding", "shift-JIS", wire.ReadOnly | wire.UnsafeCharset},
		{"client_encoding", "GB18030", wire.ReadOnly | wire.UnsafeCharset},
		{"standard_conforming_strings", "on", wire.ReadOnly},
		{"standard_conforming_strings", "of", wire.ReadOnly | wire.BackslashEscapes},
		{"default_transaction_isolation", "Serializable", wire.ReadOnly | wire.Serializable},
	}
	for _, tt := range tests {
		if got := NewAcceptor().ReadMode(wire.NewState("d").With(tt.name, tt.value), defaults); got != tt.want {
			t.Errorf("%s=%s: got %b, want %b", tt.name, tt.value, got, tt.want)
		}
	}
	if got := NewAcceptor().ReadMode(wire.NewState("d"), nil); got != 0 {
		t.Errorf("without defaults: got %b", got)
	}
}

func TestParseBool(t *testing.T) {
	for _, v := range []string{"t", "TRUE", "tr", "y", "yes", "on", "1"} {
		if on, ok := parseBool(v); !on || !ok {
			t.Errorf("%q: got %v %v", v, on, ok)
		}
	}
	for _, v := range []string{"f", "False", "n", "no", "of", "off", "0"} {
		if on, ok := parseBool(v); on || !ok {
			t.Errorf("%q: got %v %v", v, on, ok)
		}
	}
	for _, v := range []string{"", "o", "2", "truey", "onn"} {
		if _, ok := parseBool(v); ok {
			t.Errorf("%q is taken for a boolean", v)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f"))
	f.Add([]byte(untyped(codeCancelRequest, "\x00\x00\x00\x07keys")))
	f.Add([]byte(untyped(version32+1, "_pq_.x\x00\x00options\x00-c a=b\x00"+userApp) + sasl(scramSHA256, "n,,n=,r=abc") + typed(reqPassword, "c=biws,r=abc,p=")))
	ac := NewAcceptor()
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, err := ac.Accept(scriptedConn{readOnlyConn{r: bytes.NewReader(b)}}, welcome("app", wire.Credential{Password: "geheim"}))
		if err == nil || c != nil {
			t.Fatalf("%q was let in", b)
		}
	})
}
