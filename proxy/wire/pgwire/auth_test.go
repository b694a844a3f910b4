package pgwire

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"leat/proxy/wire"
)

// The exchange of RFC 7677, section 3.
const (
	rfcPassword    = "pencil"
	rfcSalt        = "W22ZaJ0SNY7soEsUEjb6gQ=="
	rfcClientNonce = "rOprNGfwEbeRWgbNEkqO"
	rfcServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	rfcFirst       = "n,,n=user,r=" + rfcClientNonce
	rfcChallenge   = "r=" + rfcClientNonce + rfcServerNonce + ",s=" + rfcSalt + ",i=4096"
	rfcFinal       = "c=biws,r=" + rfcClientNonce + rfcServerNonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcVerdict     = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func rfcServer() *scramServer {
	salt, _ := base64.StdEncoding.DecodeString(rfcSalt)
	return &scramServer{secret: deriveSecret(rfcPassword, salt, 4096), nonce: rfcServerNonce}
}

func TestScramServer(t *testing.T) {
	s := rfcServer()
	got, err := s.first(rfcFirst)
	if got != rfcChallenge || err != nil {
		t.Fatalf("first: got %q %v, want %q", got, err, rfcChallenge)
	}
	verdict, ok, err := s.final(rfcFinal)
	if verdict != rfcVerdict || !ok || err != nil {
		t.Errorf("final: got %q %v %v, want %q", verdict, ok, err, rfcVerdict)
	}
	if _, ok, err := s.final(strings.Replace(rfcFinal, "p=dH", "p=eH", 1)); ok || err != nil {
		t.Errorf("a wrong proof: got %v %v", ok, err)
	}
}

// Cases 6 and 9.
func TestScramFirst(t *testing.T) {
	tests := []struct {
		name, msg    string
		secure, plus bool
		state        string // of the refusal
	}{
		{"the client can't bind", "n,,n=,r=abc", true, false, ""},
		{"nobody can bind", "y,,n=,r=abc", false, false, ""},
		{"a downgrade", "y,,n=,r=abc", true, false, "28000"},
		{"binding", "p=tls-server-end-point,,n=,r=abc", true, true, ""},
		{"extensions", "n,,n=,r=abc,x=1,y=", true, false, ""},
		{"PLUS without binding", "n,,n=,r=abc", true, true, "08P01"},
		{"PLUS and yet believing that there is none", "y,,n=,r=abc", true, true, "08P01"},
		{"binding without PLUS", "p=tls-server-end-point,,n=,r=abc", true, false, "08P01"},
		{"another binding", "p=tls-unique,,n=,r=abc", true, true, "08P01"},
		{"another identity", "n,a=root,n=,r=abc", false, false, "0A000"},
		{"a mandatory extension", "n,,m=x,n=,r=abc", false, false, "0A000"},
		{"no nonce", "n,,n=", false, false, "08P01"},
		{"an empty nonce", "n,,n=,r=", false, false, "08P01"},
		{"a nonce with a space", "n,,n=,r=a b", false, false, "08P01"},
		{"no name", "n,,r=abc", false, false, "08P01"},
		{"garbage behind", "n,,n=,r=abc,", false, false, ""},
		{"more garbage behind", "n,,n=,r=abc,1", false, false, "08P01"},
		{"nothing", "", false, false, "08P01"},
		{"no flag", ",,n=,r=abc", false, false, "08P01"},
		{"another flag", "x,,n=,r=abc", false, false, "08P01"},
	}
	for _, tt := range tests {
		s := rfcServer()
		s.secure, s.plus = tt.secure, tt.plus
		if _, err := s.first(tt.msg); stateOf(err) != tt.state || (err == nil) != (tt.state == "") {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.state)
		}
	}
}

func TestScramFinal(t *testing.T) {
	tests := []struct{ name, msg, state string }{
		{"another nonce", strings.Replace(rfcFinal, "%hv", "%hw", 1), "08P01"},
		{"a longer nonce", strings.Replace(rfcFinal, ",p=", "x,p=", 1), "08P01"},
		{"the word about binding changed", strings.Replace(rfcFinal, "biws", "eSws", 1), "28000"},
		{"no proof", rfcFinal[:strings.Index(rfcFinal, ",p=")], "08P01"},
		{"a short proof", rfcFinal[:strings.Index(rfcFinal, ",p=")] + ",p=dHzb", "08P01"},
		{"a proof that isn't base64", rfcFinal[:strings.Index(rfcFinal, ",p=")] + ",p=????", "08P01"},
		{"garbage behind", rfcFinal + ",x=1", "08P01"},
		{"nothing", "", "08P01"},
	}
	for _, tt := range tests {
		s := rfcServer()
		if _, err := s.first(rfcFirst); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.final(tt.msg); ok || stateOf(err) != tt.state {
			t.Errorf("%s: got %v %v, want %q", tt.name, ok, err, tt.state)
		}
	}
}

// Case 6, of a server.
func TestScramChallenge(t *testing.T) {
	tests := []struct {
		name, msg string
		ok        bool
	}{
		{"the RFC's", rfcChallenge, true},
		{"an extension", rfcChallenge + ",x=1", true},
		{"another nonce", "r=x" + rfcChallenge[2:], false},
		{"no nonce of the server's", "r=" + rfcClientNonce + ",s=" + rfcSalt + ",i=4096", false},
		{"no salt", "r=" + rfcClientNonce + "x,i=4096", false},
		{"an empty salt", "r=" + rfcClientNonce + "x,s=,i=4096", false},
		{"a salt that isn't base64", "r=" + rfcClientNonce + "x,s=?,i=4096", false},
		{"no iterations", strings.Replace(rfcChallenge, "i=4096", "i=0", 1), false},
		{"negative iterations", strings.Replace(rfcChallenge, "i=4096", "i=-1", 1), false},
		{"too many iterations", strings.Replace(rfcChallenge, "i=4096", "i=2147483647", 1), false},
		{"absurdly many iterations", strings.Replace(rfcChallenge, "i=4096", "i=2147483648", 1), false},
		{"nothing", "", false},
	}
	for _, tt := range tests {
		c := &scramClient{nonce: rfcClientNonce}
		if _, _, err := c.read(tt.msg); (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

func TestVerifier(t *testing.T) {
	const stored = "SCRAM-SHA-256$4096:" + rfcSalt + "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	v, err := ParseVerifier(stored)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.scram(), rfcServer().secret; fmt.Sprint(*got) != fmt.Sprint(*want) {
		t.Error("the stored secret is another one than that of the password")
	}
	v, err = ParseVerifier("MD5")
	if err == nil {
		t.Errorf("got %v", v)
	}
	if v, err = ParseVerifier("md5704AC3BC41DADC414B9AA9DBF5E63CDD"); err != nil || v.md5 != md5Stored("md5user", "md5pw") {
		t.Errorf("md5: got %v", err)
	}
	for _, bad := range []string{
		"", "md5", "md5704ac3", "secret", "SCRAM-SHA-256$", strings.Replace(stored, "4096", "0", 1), strings.Replace(stored, "4096", "-1", 1),
		strings.Replace(stored, rfcSalt, "", 1), strings.Replace(stored, ":w", ":", 1), stored + "AAAA", strings.Replace(stored, "256$", "1$", 1),
	} {
		if _, err := ParseVerifier(bad); err != errStored {
			t.Errorf("ParseVerifier(%q): got %v", bad, err)
		}
	}
	for _, text := range []string{fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", NewVerifier("geheim"))} {
		if text != "verifier" {
			t.Errorf("printed: got %q", text)
		}
	}
}

// The answers were taken from PostgreSQL 15, but for the last three, which are RFC 4013's examples.
func TestSASLPrep(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"plain\x07", "plain\x07"},
		{"p\u00aass\u00adw\u00f6rd\u2168", "passw\u00f6rdIX"},
		{"a\u2003b\u00e4", "a b\u00e4"},
		{"no\xffutf8\u00aa", "no\xffutf8\u00aa"},
		{"private\ue000\u00aa", "private\ue000\u00aa"},
		{"\u00ad", "\u00ad"},
		{"I\u00adX", "IX"},
		{"\u00aa", "a"},
		{"\u06271\u00aa", "\u06271\u00aa"},
	}
	for _, tt := range tests {
		if got := saslPrep(tt.in); got != tt.want {
			t.Errorf("saslPrep(%q): got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestEndPoint(t *testing.T) {
	for algorithm, size := range map[x509.SignatureAlgorithm]int{
		x509.SHA1WithRSA: 32, x509.SHA256WithRSAPSS: 32, x509.ECDSAWithSHA384: 48, x509.SHA512WithRSA: 64, x509.PureEd25519: 0,
	} {
		if got := endPoint(&x509.Certificate{SignatureAlgorithm: algorithm}); len(got) != size {
			t.Errorf("%v: got %d bytes, want %d", algorithm, len(got), size)
		}
	}
}

func TestMD5Answer(t *testing.T) {
	// Computed by PostgreSQL: 'md5' || md5(md5('secret' || 'me') || 'salt')
	const want = "md541c83370953958037c7298c50b238bda"
	if got := md5Answer(md5Stored("me", "secret"), []byte("salt")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Users that don't exist get the same salt each time, and each another one.
func TestDecoy(t *testing.T) {
	ac := NewAcceptor()
	w := welcome("", wire.Credential{})
	salt := func(user string) string {
		v, exists := ac.find(user, w.From, w)
		if exists || v.open || v.md5 != "" || v.scram().iterations != defaultIterations || len(v.scram().salt) != saltSize {
			t.Errorf("%s: got %v and a decoy that shows", user, exists)
		}
		return string(v.scram().salt)
	}
	if first, again := salt("a"), salt("a"); first != again || first == salt("b") {
		t.Error("salts of users that don't exist tell them from others")
	}
}

func FuzzScramServer(f *testing.F) {
	f.Add(rfcFirst, rfcFinal, false)
	f.Add("p=tls-server-end-point,,n=,r=abc,x=1", "c=biws,r=x,p=", true)
	f.Fuzz(func(t *testing.T, first, final string, plus bool) {
		s := &scramServer{secret: &scramSecret{iterations: 4096, salt: []byte("salt")}, nonce: "servers", secure: plus, plus: plus, binding: []byte("x")}
		challenge, err := s.first(first)
		if err != nil {
			return
		}
		if strings.Count(challenge, ",") != 2 {
			t.Fatalf("challenge %q", challenge)
		}
		if _, ok, _ := s.final(final); ok {
			t.Fatal("a proof of nothing was taken")
		}
	})
}

func FuzzScramChallenge(f *testing.F) {
	f.Add(rfcChallenge)
	f.Fuzz(func(t *testing.T, msg string) {
		c := &scramClient{nonce: rfcClientNonce}
		_, key, err := c.read(msg)
		if err == nil && (key.iterations < 1 || key.iterations > maxIterations || key.salt == "") {
			t.Fatalf("got %+v of %q", key, msg)
		}
	})
}

func FuzzParseVerifier(f *testing.F) {
	f.Add("SCRAM-SHA-256$4096:" + rfcSalt + "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
	f.Add("md5704ac3bc41dadc414b9aa9dbf5e63cdd")
	f.Fuzz(func(t *testing.T, stored string) {
		v, err := ParseVerifier(stored)
		if err != nil && !errors.Is(err, errStored) {
			t.Fatal(err)
		}
		if err == nil && (v.open || (v.md5 == "") == (v.secret == nil)) {
			t.Fatalf("got a verifier of neither kind of %q", stored)
		}
	})
}

// BenchmarkScramServer is what checking a client costs once its user's keys are known.
func BenchmarkScramServer(b *testing.B) {
	secret := rfcServer().secret
	b.ReportAllocs()
	for b.Loop() {
		s := &scramServer{secret: secret, nonce: rfcServerNonce}
		if _, err := s.first(rfcFirst); err != nil {
			b.Fatal(err)
		}
		if _, ok, err := s.final(rfcFinal); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
