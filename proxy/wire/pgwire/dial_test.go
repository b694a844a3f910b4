package pgwire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"leat/proxy/wire"
)

// dialing runs a Dial to a server that is played by serve.
func dialing(t *testing.T, l wire.Login, serve func(nc net.Conn)) (wire.Conn, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	theirs.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		serve(theirs)
		theirs.Close()
	}()
	d := NewDialer()
	d.Net = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	c, err := d.Dial(ctx, "db:5432", l)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// answerDefaults plays a server that is asked for its defaults.
func answerDefaults(nc net.Conn) {
	in := newReader(nc)
	kind, p, err := in.frame(1000)
	if err != nil || kind != reqQuery {
		return
	}
	values := map[string]string{"default_transaction_isolation": "serializable", settingReadOnly: "on"}
	var row []byte
	asked := strings.Split(string(p), "current_setting('")[1:]
	for _, name := range asked {
		v := values[name[:strings.IndexByte(name, '\'')]]
		row = append(append(row, 0, 0, 0, byte(len(v))), v...)
	}
	row = append([]byte{0, byte(len(asked))}, row...)
	in.discard(p)
	b := appendMessage(nil, repDataRow, row)
	nc.Write(appendReady(appendCommandComplete(b, "SELECT 1"), wire.TxIdle))
}

// Leat's own log-in of clients is a server that checks all that a server should.
func TestDialMethods(t *testing.T) {
	server, client := testTLS()
	tests := []struct {
		name  string
		cred  wire.Credential
		login wire.Login
		state string // of the refusal
	}{
		{"SCRAM", wire.Credential{Password: "geheim"}, wire.Login{Password: "geheim"}, ""},
		{"SCRAM, a wrong password", wire.Credential{Password: "geheim"}, wire.Login{Password: "x"}, "28P01"},
		{"SCRAM bound to TLS", wire.Credential{Password: "geheim"}, wire.Login{Password: "geheim", TLS: client}, ""},
		{"md5", wire.Credential{Verifier: md5Stored("app", "geheim")}, wire.Login{Password: "geheim"}, ""},
		{"md5, a wrong password", wire.Credential{Verifier: md5Stored("app", "geheim")}, wire.Login{Password: "x"}, "28P01"},
		{"trust", wire.Credential{}, wire.Login{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.login.User, tt.login.Database = "app", "data"
			tt.login.ReadOnly = true
			w := welcome("app", tt.cred)
			w.TLS = server
			arrived := make(chan *wire.Arrival, 1)
			c, err := dialing(t, tt.login, func(nc net.Conn) {
				c, a, err := NewAcceptor().Accept(nc, w)
				if err == nil && c.Admit(&testGreeting, a.State) == nil {
					arrived <- a
					answerDefaults(c.(*Client).nc)
				}
			})
			if tt.state != "" {
				if stateOf(err) != tt.state {
					t.Errorf("got %v, want %s", err, tt.state)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			a := <-arrived
			if v, _ := a.State.Get("default_transaction_read_only"); a.User != "app" || a.Database != "data" || v != "on" {
				t.Errorf("the server was told %+v %v", a, a.State.Vars())
			}
			g := c.Greeting()
			isolation, _ := g.Defaults.Get("default_transaction_isolation")
			if _, ok := g.Defaults.Get("default_transaction_read_only"); ok || isolation != "serializable" || g.Version != "15.1" || g.Flavor != wire.FlavorPostgres {
				t.Errorf("got greeting %+v with defaults %v", g, g.Defaults.Vars())
			}
			if id := c.ID(); id.ID != 42 || !bytes.Equal(id.Key, testKey()[:4]) {
				t.Errorf("got id %+v", id)
			}
		})
	}
}

// readStart plays a server that reads the startup message.
func readStart(nc net.Conn) { _, _ = readStartup(newReader(nc)) }

// A server that isn't the one that it claims to be, or not one at all.
func TestDialImpostor(t *testing.T) {
	_, client := testTLS()
	says := func(b []byte) func(net.Conn) {
		return func(nc net.Conn) {
			readStart(nc)
			nc.Write(b)
			io.Copy(io.Discard, nc)
		}
	}
	ask := func(code uint32, data string) []byte { return appendAuthentication(nil, code, []byte(data)) }
	offer := ask(authSASL, scramSHA256+"\x00\x00")
	tests := []struct {
		name  string
		login wire.Login
		serve func(net.Conn)
		want  string
	}{
		{"no TLS", wire.Login{TLS: client}, func(nc net.Conn) { readStart(nc); nc.Write([]byte("N")) }, "does not offer it"},
		{"an error in the place of TLS", wire.Login{TLS: client}, func(nc net.Conn) { readStart(nc); nc.Write([]byte("Eget lost")) }, "does not offer it"},
		{"data in the clear before TLS", wire.Login{TLS: client}, func(nc net.Conn) {
			readStart(nc)
			go io.Copy(io.Discard, nc)
			nc.Write(append([]byte("S"), offer...))
		}, "TLS: "},
		{"the password in the clear", wire.Login{}, says(ask(authCleartext, "")), "only sent over TLS"},
		{"Kerberos", wire.Login{}, says(ask(7, "")), "doesn't know (7)"},
		{"no SCRAM", wire.Login{}, says(ask(authSASL, "OAUTHBEARER\x00\x00")), "no SASL mechanism"},
		{"PLUS alone, without TLS", wire.Login{}, says(ask(authSASL, scramSHA256Plus+"\x00\x00")), "no SASL mechanism"},
		{"md5 with a bad salt", wire.Login{}, says(ask(authMD5, "x")), "malformed"},
		{"SCRAM cut short", wire.Login{}, says(append(offer, ask(authOK, "")...)), "malformed"},
		{"a challenge that answers nobody", wire.Login{}, says(append(offer, ask(authSASLContinue, rfcChallenge)...)), "malformed"},
		{"SCRAM twice", wire.Login{}, says(append(offer, offer...)), "malformed"},
		{"not PostgreSQL", wire.Login{}, says([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), "too large"},
		{"a greeting with rows", wire.Login{}, says(append(ask(authOK, ""), appendMessage(nil, repDataRow, "\x00\x00")...)), "malformed"},
		{"an endless greeting", wire.Login{}, says(append(ask(authOK, ""), bytes.Repeat(appendParameterStatus(nil, "a", "b"), maxGreetings)...)), "never ready"},
		{"gone", wire.Login{}, readStart, "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.login.User, tt.login.Password = "app", "geheim"
			_, err := dialing(t, tt.login, tt.serve)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A server that doesn't know the password can't end the exchange, whatever it says.
func TestDialUnproven(t *testing.T) {
	var zero [keySize]byte
	for name, verdict := range map[string][]byte{
		"a wrong signature": appendAuthentication(nil, authSASLFinal, []byte("v="+base64.StdEncoding.EncodeToString(zero[:]))),
		"an error":          appendAuthentication(nil, authSASLFinal, []byte("e=other-error")),
		"success at once":   appendAuthentication(nil, authOK, nil),
	} {
		_, err := dialing(t, wire.Login{User: "app", Password: "geheim"}, func(nc net.Conn) {
			in := newReader(nc)
			readStartup(in)
			nc.Write(appendAuthentication(nil, authSASL, []byte(scramSHA256+"\x00\x00")))
			_, p, err := in.frame(maxSASL)
			if err != nil {
				return
			}
			_, nonce, _ := strings.Cut(string(p), "r=")
			in.discard(p)
			nc.Write(appendAuthentication(nil, authSASLContinue, []byte("r="+nonce+"more,s="+rfcSalt+",i=1")))
			if _, _, err = in.frame(maxSASL); err == nil {
				nc.Write(verdict)
			}
		})
		if err == nil || stateOf(err) != "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDialRefused(t *testing.T) {
	_, err := dialing(t, wire.Login{User: "app"}, func(nc net.Conn) {
		readStart(nc)
		nc.Write(appendError(nil, severityFatal, "53300", "sorry"))
	})
	if stateOf(err) != "53300" {
		t.Errorf("got %v", err)
	}
	d := NewDialer()
	d.Net = func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }
	var unsent *wire.SendError
	if _, err := d.Dial(context.Background(), "db:5432", wire.Login{}); !errors.As(err, &unsent) || unsent.Sent {
		t.Errorf("got %v", err)
	}
}

func TestDialCancelled(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	d := NewDialer()
	d.Net = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		readStart(theirs)
		cancel()
	}()
	if _, err := d.Dial(ctx, "db:5432", wire.Login{User: "app"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCancel(t *testing.T) {
	server, client := testTLS()
	for _, cfg := range []*tls.Config{nil, client} {
		ours, theirs := net.Pipe()
		d := NewDialer()
		d.Net = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
		w := welcome("", wire.Credential{})
		w.TLS = server
		done := make(chan error, 1)
		go func() {
			_, _, err := NewAcceptor().Accept(theirs, w)
			theirs.Close()
			done <- err
		}()
		err := d.Cancel(context.Background(), "db:5432", wire.Login{TLS: cfg}, wire.ConnID{ID: 7, Key: []byte("0123")})
		var got *wire.CancelRequest
		if err != nil || !errors.As(<-done, &got) || got.ID != 7 || string(got.Key) != "0123" {
			t.Errorf("got %v and %+v", err, got)
		}
	}
}

// Keys are derived once.
func TestDialerKeys(t *testing.T) {
	d := NewDialer()
	salt, _ := base64.StdEncoding.DecodeString(rfcSalt)
	by := secretKey{string(salt), 4096}
	_, stored, server := d.keys(rfcPassword, by)
	if want := rfcServer().secret; stored != want.storedKey || server != want.serverKey {
		t.Error("the keys are not those of the password")
	}
	if n := testing.AllocsPerRun(10, func() { d.keys(rfcPassword, by) }); n > 0 {
		t.Errorf("got %v allocations for keys that are known", n)
	}
	for i := range maxDerived + 10 {
		d.keep(derivedOf{"x", secretKey{"y", i}}, &derivedKeys{})
	}
	if len(d.derived) > maxDerived {
		t.Errorf("got %d keys kept", len(d.derived))
	}
}

func FuzzDial(f *testing.F) {
	f.Add(append(appendAuthentication(nil, authOK, nil), appendReady(appendKeyData(nil, 1, []byte("keys")), wire.TxIdle)...))
	f.Add(appendAuthentication(nil, authSASL, []byte(scramSHA256+"\x00\x00")))
	f.Add(appendAuthentication(nil, authMD5, []byte("salt")))
	f.Add(appendError(nil, severityFatal, "53300", "sorry"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &serverLogin{dialer: NewDialer(), address: "db", login: &wire.Login{User: "app", Password: "geheim"}}
		err := s.run(context.Background(), scriptedConn{readOnlyConn{r: bytes.NewReader(b)}})
		if err == nil && s.begun && !s.proven {
			t.Fatal("logged in by a proof that there wasn't")
		}
	})
}

// scriptedConn is a connection to which anything can be written.
type scriptedConn struct{ readOnlyConn }

func (scriptedConn) Write(p []byte) (int, error) { return len(p), nil }

func (scriptedConn) RemoteAddr() net.Addr { return nil }
