package pgwire

// SCRAM-SHA-256 (RFC 5802, 7677) with and without channel binding: what both sides share. The exchange with a client
// is in auth_accept.go, that with a server in auth_dial.go.

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"strings"

	"leat/proxy/wire"
)

// The mechanisms.
const (
	scramSHA256     = "SCRAM-SHA-256"
	scramSHA256Plus = "SCRAM-SHA-256-PLUS" // bound to the TLS connection
)

const (
	keySize  = sha256.Size
	saltSize = 16 // of PostgreSQL's secrets
	// nonceSize is how many random bytes a nonce of Leat's has.
	nonceSize = 18
	// defaultIterations is PostgreSQL's own default.
	defaultIterations = 4096
	// maxIterations bounds what a server may ask Leat to compute: about 0.2 s.
	maxIterations = 1_000_000
	// maxSASL is the longest message of a client's exchange in bytes, as PostgreSQL bounds it.
	maxSASL = 1024
	// bindingHeader begins what a client that binds the channel proves to have seen.
	bindingHeader = "p=tls-server-end-point,,"
)

// scramSecret is what it takes to check a client's proof, and to answer it with one's own.
type scramSecret struct {
	iterations           int
	salt                 []byte
	storedKey, serverKey [keySize]byte
}

// deriveKeys makes the keys of a password. It takes about 0.2 µs per iteration.
func deriveKeys(password string, salt []byte, iterations int) (clientKey, serverKey [keySize]byte) {
	salted, err := pbkdf2.Key(sha256.New, saslPrep(password), salt, iterations, keySize)
	if err != nil { // only of wrong sizes
		panic(err)
	}
	return hmacSHA256(salted, "Client Key"), hmacSHA256(salted, "Server Key")
}

func deriveSecret(password string, salt []byte, iterations int) *scramSecret {
	clientKey, serverKey := deriveKeys(password, salt, iterations)
	return &scramSecret{iterations: iterations, salt: salt, storedKey: sha256.Sum256(clientKey[:]), serverKey: serverKey}
}

func hmacSHA256(key []byte, text string) (sum [keySize]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	h.Sum(sum[:0])
	return sum
}

func xorKeys(a, b [keySize]byte) [keySize]byte {
	for i := range a {
		a[i] ^= b[i]
	}
	return a
}

func newNonce() string {
	var raw [nonceSize]byte
	rand.Read(raw[:])
	return base64.StdEncoding.EncodeToString(raw[:])
}

// attribute takes the next attribute off a message, which must be of that name.
func attribute(msg *string, name byte) (value string, ok bool) {
	got, value, ok := anyAttribute(msg)
	return value, ok && got == name
}

// anyAttribute takes the next attribute off a message: a letter, '=' and a value, up to a comma or the end.
func anyAttribute(msg *string) (name byte, value string, ok bool) {
	s := *msg
	if len(s) < 2 || s[1] != '=' || !('a' <= s[0]|0x20 && s[0]|0x20 <= 'z') {
		return 0, "", false
	}
	value, rest, _ := strings.Cut(s[2:], ",")
	*msg = rest
	return s[0], value, true
}

// printable reports whether a nonce consists of what RFC 5802 allows, and isn't empty.
func printable(nonce string) bool {
	for i := range len(nonce) {
		if nonce[i] < 0x21 || nonce[i] > 0x7e || nonce[i] == ',' {
			return false
		}
	}
	return nonce != ""
}

// endPoint is the channel binding data of tls-server-end-point (RFC 5929): the certificate's hash, by the hash of its
// signature. It is nil for a signature that has none of its own.
func endPoint(cert *x509.Certificate) []byte {
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256, x509.DSAWithSHA256:
		sum := sha256.Sum256(cert.Raw)
		return sum[:]
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		sum := sha512.Sum384(cert.Raw)
		return sum[:]
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		sum := sha512.Sum512(cert.Raw)
		return sum[:]
	}
	return nil
}

// errSASL is a message of an exchange that breaks its rules.
func errSASL() *wire.ServerError { return refusal("08P01", "malformed SCRAM message") }
