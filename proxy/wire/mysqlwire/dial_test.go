package mysqlwire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"

	"leat/proxy/wire"
)

func dialTest(t *testing.T, s *testServer, l wire.Login) (*loggedIn, error) {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(s.addr, "/") {
		network = "unix"
	}
	nc, err := net.Dial(network, s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return login(context.Background(), nc, s.addr, l, 45)
}

func TestLogin(t *testing.T) {
	stored, err := ParseVerifier(storedSHA2("secret", []byte("01234567890123456789")))
	if err != nil {
		t.Fatal(err)
	}
	native, err := ParseVerifier(storedNative("secret"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		network  string
		offered  string
		verifier *Verifier
		tls      *tls.Config
		password string
		want     string
	}{
		{"native", "tcp", pluginNative, NewVerifier("secret"), nil, "secret", ""},
		{"sha2, fast", "tcp", pluginSHA2, NewVerifier("secret"), nil, "secret", ""},
		{"sha2, wrong", "tcp", pluginSHA2, stored, nil, "wrong", "using password: YES"},
		{"sha2, full by RSA", "tcp", pluginSHA2, stored, nil, "secret", ""},
		{"switch to native", "tcp", pluginSHA2, native, nil, "secret", ""},
		{"switch from an unknown method", "tcp", "dialog", native, nil, "secret", ""},
		{"TLS", "tcp", pluginSHA2, NewVerifier("secret"), clientTLS(), "secret", ""},
		{"unix", "unix", pluginSHA2, NewVerifier("secret"), nil, "secret", ""},
		{"empty", "tcp", pluginSHA2, NewVerifier(""), nil, "", ""},
		{"no password", "tcp", pluginNative, NewVerifier("secret"), nil, "", "using password: NO"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(tt.verifier)
			cfg.DefaultPlugin, cfg.TLS = tt.offered, serverTLS()
			s := startServer(t, tt.network, cfg)
			in, err := dialTest(t, s, wire.Login{
				User: "app", Password: tt.password, Database: "features", TLS: tt.tls,
				Flags: uint64(ClientFoundRows | ClientMultiStatements | ClientCompress), Attributes: map[string]string{"b": "2", "a": "1"},
			})
			got := <-s.logins
			if tt.want != "" {
				var refused *wire.ServerError
				if !errors.As(err, &refused) || refused.Number != 1045 || !strings.Contains(refused.Message, tt.want) {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if in.greeting.threadID != 7 || in.flavor != wire.FlavorMySQL || in.greeting.charset != 255 || len(in.ok) != 7 {
				t.Errorf("got %+v", in)
			}
			if in.capabilities&(ClientCompress|ClientFoundRows) != 0 || in.capabilities&ClientDeprecateEOF == 0 {
				t.Errorf("capabilities %#x", uint32(in.capabilities))
			}
			a := got.accepted
			if want := []Attribute{{"a", "1"}, {"b", "2"}}; a.Database != "features" || !reflect.DeepEqual(a.Attributes, want) {
				t.Errorf("server saw %s, %v", a.Database, a.Attributes)
			}
		})
	}
}

func TestLoginTLSErrors(t *testing.T) {
	cfg := testConfig(NewVerifier("secret"))
	plain := startServer(t, "tcp", cfg)
	cfg.TLS = serverTLS()
	encrypted := startServer(t, "tcp", cfg)

	_, err := dialTest(t, encrypted, wire.Login{User: "app", Password: "secret", TLS: &tls.Config{}})
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), encrypted.addr) {
		t.Errorf("unknown authority: got %v, want an error that names %s", err, encrypted.addr)
	}
	_, err = dialTest(t, plain, wire.Login{User: "app", Password: "secret", TLS: clientTLS()})
	if err == nil || !strings.Contains(err.Error(), "does not offer it") || !strings.Contains(err.Error(), plain.addr) {
		t.Errorf("no TLS: got %v", err)
	}
}

func TestLoginCancelled(t *testing.T) {
	client, server := net.Pipe() // says nothing
	defer server.Close()
	defer client.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := login(ctx, client, "silent:3306", wire.Login{}, 45); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "silent:3306") {
		t.Errorf("got %v, want cancelled", err)
	}
}

// What a server may not ask for is refused.
func TestLoginBrokenServer(t *testing.T) {
	old := testGreeting()
	old.capabilities &^= ClientPluginAuth
	more := string(appendAuthMore(nil, []byte{sha2FastOK}))
	tests := []struct {
		name     string
		greeting []byte
		replies  []string
		want     string
	}{
		{"refused at once", AppendErr(nil, 1040, "", "Too many connections", 0), nil, "Too many connections"},
		{"not MySQL", []byte("SSH-2.0-OpenSSH"), nil, "protocol version"},
		{"old", old.append(nil), nil, "too old"},
		{"password in the clear", testGreeting().append(nil), []string{string(appendAuthSwitch(nil, pluginClear, nil))}, "only sent over TLS"},
		{"old switch", testGreeting().append(nil), []string{"\xfe"}, "before MySQL 4.1"},
		{"unknown method", testGreeting().append(nil), []string{string(appendAuthSwitch(nil, "dialog", nil))}, `"dialog"`},
		{"no end", testGreeting().append(nil), []string{more, more, more, more, more, more, more, more, more, more}, "ever more"},
		{"empty reply", testGreeting().append(nil), []string{""}, "malformed"},
		{"no key", testGreeting().append(nil), []string{"\x01\x04", "\x01no key"}, "RSA key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			go func() {
				defer server.Close()
				l := &loginIO{rw: server}
				_ = l.WritePacket(tt.greeting)
				for i, r := range tt.replies {
					if i == 0 || !strings.HasPrefix(r, more) {
						if _, err := l.ReadPacket(); err != nil {
							return
						}
					}
					_ = l.WritePacket([]byte(r))
				}
			}()
			_, err := login(context.Background(), client, "server:3306", wire.Login{User: "app", Password: "secret"}, 300)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
