package pgwire

// What Leat knows of a client's password.

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Verifier checks the password of one user of Leat's. It is made of the password itself, or of what a server has
// stored. It is safe for concurrent use, and should be shared by all log-ins of the user, since deriving SCRAM's
// keys of a password takes about a millisecond.
type Verifier struct {
	open bool   // the empty password: nothing is asked
	md5  string // "md5" and 32 hexadecimal digits; empty: SCRAM

	derive   sync.Once
	password string // until the secret was derived
	secret   *scramSecret
}

// NewVerifier makes a verifier of a password, for SCRAM. With the empty password anybody is let in who claims to be
// the user.
func NewVerifier(password string) *Verifier {
	return &Verifier{open: password == "", password: password}
}

// ParseVerifier makes a verifier of a stored password, as pg_authid has it in rolpassword:
// "SCRAM-SHA-256$4096:salt$StoredKey:ServerKey", or "md5" and 32 hexadecimal digits. The user can only log in by
// that method. The error never quotes the text.
func ParseVerifier(stored string) (*Verifier, error) {
	if strings.HasPrefix(stored, scramSHA256+"$") {
		secret, ok := parseSecret(stored)
		if !ok {
			return nil, errStored
		}
		return &Verifier{secret: secret}, nil
	}
	digits, ok := strings.CutPrefix(stored, "md5")
	if raw, err := hex.DecodeString(digits); !ok || err != nil || len(raw) != md5.Size {
		return nil, errStored
	}
	return &Verifier{md5: strings.ToLower(stored)}, nil
}

var errStored = errors.New("not a stored password: want 'SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey', or 'md5' and 32 hexadecimal digits")

// scram is the secret to check an exchange of SCRAM with.
func (v *Verifier) scram() *scramSecret {
	v.derive.Do(func() {
		if v.secret == nil {
			salt := make([]byte, saltSize)
			rand.Read(salt)
			v.secret = deriveSecret(v.password, salt, defaultIterations)
			v.password = ""
		}
	})
	return v.secret
}

// parseSecret reads a stored SCRAM secret.
func parseSecret(stored string) (*scramSecret, bool) {
	var s scramSecret
	rest, _ := strings.CutPrefix(stored, scramSHA256+"$")
	head, keys, ok1 := strings.Cut(rest, "$")
	iterations, salt, ok2 := strings.Cut(head, ":")
	storedKey, serverKey, ok3 := strings.Cut(keys, ":")
	n, err := strconv.ParseUint(iterations, 10, 31)
	if !ok1 || !ok2 || !ok3 || err != nil || n == 0 {
		return nil, false
	}
	s.iterations = int(n)
	if s.salt, err = base64.StdEncoding.DecodeString(salt); err != nil || len(s.salt) == 0 {
		return nil, false
	}
	return &s, decodeKey(&s.storedKey, storedKey) && decodeKey(&s.serverKey, serverKey)
}

func decodeKey(dst *[keySize]byte, text string) bool {
	b, err := base64.StdEncoding.DecodeString(text)
	return err == nil && copy(dst[:], b) == keySize && len(b) == keySize
}

// String hides the verifier from logs.
func (v *Verifier) String() string { return "verifier" }

// GoString hides it from %#v too.
func (v *Verifier) GoString() string { return v.String() }

var _ fmt.GoStringer = (*Verifier)(nil)
