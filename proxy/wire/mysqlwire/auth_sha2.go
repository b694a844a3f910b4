package mysqlwire

// caching_sha2_password: a fast path, for a server that remembers SHA256(SHA256(password)), much like
// mysql_native_password; and a full one, in which the server gets the password itself, over TLS, over
// a unix socket, or encrypted with the server's RSA key.

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// The single bytes that steer caching_sha2_password.
const (
	sha2RequestKey = 2 // client: send the RSA key
	sha2FastOK     = 3 // server: the fast path was enough, an OK follows
	sha2Full       = 4 // server: send the password
)

// sha256RequestKey is the byte by which a client of sha256_password asks for the RSA key. That method is
// caching_sha2_password without its fast path; MySQL asks for it to hide that a user doesn't exist.
const sha256RequestKey = 1

// maxSHA2Password is the longest password of caching_sha2_password, in bytes.
const maxSHA2Password = 256

// sha2Digest is what a server remembers for the fast path: SHA256(SHA256(password)).
func sha2Digest(password string) [sha256.Size]byte {
	once := sha256.Sum256([]byte(password))
	return sha256.Sum256(once[:])
}

// sha2Answer is a client's answer on the fast path: SHA256(password) xor
// SHA256(SHA256(SHA256(password)), salt). It is empty for an empty password.
func sha2Answer(password string, salt []byte) []byte {
	if password == "" {
		return nil
	}
	once := sha256.Sum256([]byte(password))
	mask := sha2Mask(sha256.Sum256(once[:]), salt)
	subtle.XORBytes(mask[:], mask[:], once[:])
	return mask[:]
}

// sha2Matches reports whether an answer proves the password of a remembered digest.
func sha2Matches(digest [sha256.Size]byte, salt, answer []byte) bool {
	if len(answer) != sha256.Size {
		return false
	}
	once := sha2Mask(digest, salt)
	subtle.XORBytes(once[:], once[:], answer)
	twice := sha256.Sum256(once[:])
	return subtle.ConstantTimeCompare(twice[:], digest[:]) == 1
}

func sha2Mask(digest [sha256.Size]byte, salt []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(digest[:])
	h.Write(salt)
	return [sha256.Size]byte(h.Sum(nil))
}

// encryptPassword is how a password travels in full without TLS: ended by a zero byte, xored with
// the salt, and encrypted with the server's key.
func encryptPassword(password string, salt []byte, key *rsa.PublicKey) ([]byte, error) {
	if len(salt) == 0 {
		return nil, errors.New("no salt to send a password under")
	}
	plain := append([]byte(password), 0)
	xorRepeat(plain, salt)
	return rsa.EncryptOAEP(sha1.New(), rand.Reader, key, plain, nil)
}

// decryptPassword is the inverse of encryptPassword.
func decryptPassword(b, salt []byte, key *rsa.PrivateKey) (string, error) {
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, b, nil)
	if err != nil {
		return "", err
	}
	xorRepeat(plain, salt)
	return trimNul(plain), nil
}

func xorRepeat(b, mask []byte) {
	for i := range b {
		b[i] ^= mask[i%len(mask)]
	}
}

// trimNul is the password in a packet that a zero byte ends.
func trimNul(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == 0 {
		b = b[:n-1]
	}
	return string(b)
}

func encodePublicKey(key *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func parsePublicKey(b []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, malformed("the server's RSA key")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the server's RSA key: %w", err)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the server's key is a %T, not RSA", key)
	}
	return public, nil
}
