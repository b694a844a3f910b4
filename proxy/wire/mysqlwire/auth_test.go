package mysqlwire

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"leat/proxy/wire"
)

// testKey is an RSA key for all tests.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// storedSHA2 spells a password as caching_sha2_password stores it.
func storedSHA2(password string, salt []byte) string {
	return "$A$005$" + string(salt) + cryptText(sha256Crypt([]byte(password), salt, 5*cryptRounds))
}

func storedNative(password string) string { return fmt.Sprintf("*%X", nativeHash(password)) }

// The vectors were made with openssl passwd -5.
func TestSHA256Crypt(t *testing.T) {
	tests := []struct {
		password, salt string
		rounds         int
		want           string
	}{
		{"Hello world!", "saltstring", 5000, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
		{"This is just a test", "toolongsaltstrin", 5000, "Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"},
		{"a", "x", 5000, "85aGabM7xSEYcp0wkefjwtqWAYi1Rrq3b01Gtllmmh7"},
		{strings.Repeat("x", 100), "abcdefgh", 5000, ".wvAZFRM3qcOyii0UxLpCnmG9xkhWx4Yxd4UqvBYIa7"},
	}
	for _, tt := range tests {
		got := cryptText(sha256Crypt([]byte(tt.password), []byte(tt.salt), tt.rounds))
		if got != tt.want {
			t.Errorf("%.20q: got %s, want %s", tt.password, got, tt.want)
		}
	}
}

func TestNative(t *testing.T) {
	if got, want := storedNative("secret"), "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"; got != want {
		t.Errorf("hash = %s, want %s", got, want)
	}
	salt := newSalt()
	answer := nativeAnswer("secret", salt[:])
	if !nativeMatches(nativeHash("secret"), salt[:], answer) {
		t.Error("the right password does not match")
	}
	if nativeMatches(nativeHash("Secret"), salt[:], answer) || nativeMatches(nativeHash("secret"), salt[1:], answer) ||
		nativeMatches(nativeHash("secret"), salt[:], answer[1:]) || nativeMatches(nativeHash(""), salt[:], nil) {
		t.Error("a wrong answer matches")
	}
}

func TestSHA2(t *testing.T) {
	salt := newSalt()
	answer := sha2Answer("secret", salt[:])
	if !sha2Matches(sha2Digest("secret"), salt[:], answer) {
		t.Error("the right password does not match")
	}
	if sha2Matches(sha2Digest("Secret"), salt[:], answer) || sha2Matches(sha2Digest("secret"), salt[1:], answer) ||
		sha2Matches(sha2Digest("secret"), salt[:], answer[1:]) || sha2Matches(sha2Digest(""), salt[:], nil) {
		t.Error("a wrong answer matches")
	}
}

// The public key is what MariaDB stores for the password "secret".
func TestEd25519(t *testing.T) {
	public, err := base64.RawStdEncoding.DecodeString("ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY")
	if err != nil {
		t.Fatal(err)
	}
	salt := []byte("an arbitrary salt of 32 bytes...")
	answer, err := ed25519Answer("secret", salt)
	if err != nil || !ed25519.Verify(public, salt, answer) {
		t.Errorf("the answer %x does not verify: %v", answer, err)
	}
}

func TestRSA(t *testing.T) {
	pem, err := encodePublicKey(&testKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public, err := parsePublicKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	salt := newSalt()
	const password = "a password that is longer than the salt"
	b, err := encryptPassword(password, salt[:], public)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decryptPassword(b, salt[:], testKey()); err != nil || got != password {
		t.Errorf("got %q, %v, want %q", got, err, password)
	}
	if _, err := decryptPassword(b[1:], salt[:], testKey()); err == nil {
		t.Error("a cut text decrypts")
	}
	if _, err := parsePublicKey([]byte("no key")); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("got %v, want malformed", err)
	}
}

func TestParseVerifier(t *testing.T) {
	salt := []byte("\x01\x7f'\"\\\n234567890123+é")[:saltSize]
	sha2 := storedSHA2("secret", salt)
	for _, stored := range []string{sha2, fmt.Sprintf("0x%X", sha2)} {
		v, err := ParseVerifier(stored)
		if err != nil {
			t.Fatalf("%q: %v", stored, err)
		}
		if v.takes(pluginNative) || !v.takes(pluginSHA2) || v.plugin(pluginNative) != pluginSHA2 {
			t.Errorf("%q: takes the wrong methods", stored)
		}
		if v.checkFast(salt, sha2Answer("secret", salt)) {
			t.Error("the fast path is open before a full log-in")
		}
		if v.checkPassword("Secret") || v.checkPassword("") || v.checkPassword(strings.Repeat("x", 300)) {
			t.Error("a wrong password is right")
		}
		if !v.checkPassword("secret") {
			t.Error("the right password is wrong")
		}
		if !v.checkFast(salt, sha2Answer("secret", salt)) || v.checkFast(salt, sha2Answer("Secret", salt)) {
			t.Error("the fast path is wrong after a full log-in")
		}
	}
	// as MySQL 9.7 prints it
	v, err := ParseVerifier("0x2441243030412478195E3C134B6D7F172378300162032A34051A2B2E675149653037776C756345685768586C5276374B75376549336443707878744E43344A6C32322F777835")
	if err != nil || !v.checkPassword("secret") {
		t.Errorf("MySQL's own hash: %v, or the right password is wrong", err)
	}
	v, err = ParseVerifier(storedNative("secret"))
	if err != nil || !v.takes(pluginNative) || v.takes(pluginSHA2) || v.plugin(pluginSHA2) != pluginNative {
		t.Errorf("stored native: %+v, %v", v, err)
	}
}

func TestParseVerifierRefuses(t *testing.T) {
	salt := []byte("01234567890123456789")
	good := storedSHA2("secret", salt)
	for _, stored := range []string{
		"", "secret", "*", "*14E6", storedNative("x") + "0", "*" + strings.Repeat("g", 40), good[:69], good + "x",
		"$A$000$" + good[7:], "$A$zzz$" + good[7:], "$A$0055" + good[7:], "0x2", "0xzz", "$5$" + good,
	} {
		_, err := ParseVerifier(stored)
		if err == nil {
			t.Errorf("%q: no error", stored)
		} else if len(stored) > 5 && strings.Contains(err.Error(), stored) {
			t.Errorf("the error quotes %q", stored)
		}
	}
}

func FuzzParseVerifier(f *testing.F) {
	f.Add(storedSHA2("secret", []byte("01234567890123456789")))
	f.Add(storedNative("secret"))
	f.Add("0x2A")
	f.Fuzz(func(t *testing.T, stored string) {
		v, err := ParseVerifier(stored)
		if err == nil && v.takes(pluginNative) == v.takes(pluginSHA2) {
			t.Fatalf("%q: takes both methods or none", stored)
		}
	})
}

func TestLoginIO(t *testing.T) {
	tests := []struct {
		name, in string
		want     error
	}{
		{"whole", "\x03\x00\x00\x00abcX", nil},
		{"closed", "", io.EOF},
		{"cut header", "\x03\x00", io.ErrUnexpectedEOF},
		{"cut payload", "\x03\x00\x00\x00ab", io.ErrUnexpectedEOF},
		{"no payload", "\x03\x00\x00\x00", io.ErrUnexpectedEOF},
		{"out of order", "\x03\x00\x00\x01abc", wire.ErrMalformed},
		{"too large", "\xff\xff\xff\x00abc", wire.ErrTooLarge},
		{"PROXY header", "PROXY TCP4 1.2.3.4", wire.ErrTooLarge},
	}
	for _, tt := range tests {
		buf := bytes.NewBufferString(tt.in)
		l := &loginIO{rw: buf}
		p, err := l.ReadPacket()
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if err == nil && (string(p) != "abc" || buf.String() != "X" || l.seq != 1) {
			t.Errorf("%s: got %q, left %q, next %d", tt.name, p, buf, l.seq)
		}
	}
}
