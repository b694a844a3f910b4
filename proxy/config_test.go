package proxy

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	sha2 := "$A$005$" + strings.Repeat("s", 20) + strings.Repeat("h", 43)
	for _, c := range []struct {
		name   string
		config Config
		want   []string // in the error; none: valid
	}{
		{"zero", Config{}, nil},
		{"all", Config{
			Users: []User{{Name: "a", Password: "p"}, {Name: "b", Verifier: "*" + strings.Repeat("A", 40), ServerPassword: "p"}, {Name: "c", Verifier: sha2, ServerPassword: "p", Class: "batch"}},
			TLS:   &tls.Config{MinVersion: tls.VersionTLS12}, TLSRequired: true,
			MaxClients: 1, MaxPacket: 1 << 20, Consistency: "eventual", SlowQuery: -1,
		}, nil},
		{"numbers", Config{MaxClients: -1, MaxPacket: 7, Digests: -1}, []string{"clients is negative", "7 bytes", "digests is negative"}},
		{"times", Config{IdleTimeout: -time.Second}, []string{"idle time-out is negative"}},
		{"no certificate", Config{TLSRequired: true}, []string{"no certificate"}},
		{"consistency", Config{Consistency: "strong"}, []string{"neither session nor eventual"}},
		{"users", Config{Users: []User{
			{Password: "p"}, {Name: "a"}, {Name: "a"}, {Name: "b", Password: "p", Verifier: "*x"}, {Name: "c", Class: "fast"},
		}}, []string{
			"1 to 255 bytes", `user "a" is there twice`, "both given", "the verifier is neither", "a server password is needed", `class "fast"`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.config.Validate()
			if (err != nil) != (len(c.want) > 0) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
		})
	}
}

// TestConfigDefaults: who is given no login for the servers uses its own, and nothing of the caller's is changed.
func TestConfigDefaults(t *testing.T) {
	given := Config{Users: []User{{Name: "a", Password: "p"}, {Name: "b", Password: "p", ServerUser: "s", ServerPassword: "q"}}}
	got := given.withDefaults()
	if u := got.Users[0]; u.ServerUser != "a" || u.ServerPassword != "p" || u.Class != "online" {
		t.Errorf("got %+v, want a's own login and class online", u)
	}
	if u := got.Users[1]; u.ServerUser != "s" || u.ServerPassword != "q" {
		t.Errorf("got %+v, want the login that was given", u)
	}
	if given.Users[0].ServerUser != "" {
		t.Error("the caller's users were changed")
	}
	if got.MaxClients != DefaultMaxClients || got.SlowQuery != time.Second || got.Consistency != "session" {
		t.Errorf("got %+v, want the defaults", got)
	}
}
