package mysqlwire

// What Leat knows of a client's password, and how it checks an answer against it.

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Verifier checks the password of one user of Leat's. It is made of the password itself, or of what a
// server has stored. It is safe for concurrent use, and should be shared by all log-ins of the user,
// since it remembers what the first full caching_sha2_password log-in proved.
type Verifier struct {
	empty  bool                     // the empty password, which has methods of its own
	native *[sha1.Size]byte         // SHA1(SHA1(password)), if known
	crypt  *storedCrypt             // the stored form of caching_sha2_password, if that is known
	digest atomic.Pointer[[32]byte] // SHA256(SHA256(password)), once known
}

// storedCrypt is what MySQL stores for caching_sha2_password.
type storedCrypt struct {
	rounds int
	salt   []byte
	hash   string // in SHA-crypt's spelling
}

// NewVerifier makes a verifier of a password. Every method of authentication can be used with it.
func NewVerifier(password string) *Verifier {
	native, digest := nativeHash(password), sha2Digest(password)
	v := &Verifier{empty: password == "", native: &native}
	v.digest.Store(&digest)
	return v
}

// ParseVerifier makes a verifier of a stored password, as mysql.user has it in
// authentication_string: '*' and 40 hexadecimal digits (mysql_native_password), or '$A$005$' and 63
// bytes (caching_sha2_password: 20 of salt, raw, and 43 of hash). Either may be spelled as a
// hexadecimal number, '0x...', which is how SHOW CREATE USER prints it with
// print_identified_with_as_hex on. The user can only log in by that method. The error never quotes the text.
func ParseVerifier(stored string) (*Verifier, error) {
	if digits, ok := strings.CutPrefix(stored, "0x"); ok {
		raw, err := hex.DecodeString(digits)
		if err != nil {
			return nil, errStored
		}
		stored = string(raw)
	}
	switch {
	case strings.HasPrefix(stored, "*"):
		hash, err := hex.DecodeString(stored[1:])
		if err != nil || len(hash) != sha1.Size {
			return nil, errStored
		}
		return &Verifier{native: (*[sha1.Size]byte)(hash)}, nil
	case strings.HasPrefix(stored, "$A$"):
		c, ok := parseStoredCrypt(stored)
		if !ok {
			return nil, errStored
		}
		return &Verifier{crypt: c}, nil
	}
	return nil, errStored
}

var errStored = errors.New("not a stored password: want '*' and 40 hexadecimal digits, or '$A$005$' and 63 bytes of salt and hash")

// cryptRounds is the unit in which a stored password counts its rounds.
const cryptRounds = 1000

// parseStoredCrypt reads "$A$", three hexadecimal digits of thousands of rounds, "$", salt and hash.
func parseStoredCrypt(s string) (*storedCrypt, bool) {
	const prefix = len("$A$005$")
	if len(s) != prefix+saltSize+43 || s[prefix-1] != '$' {
		return nil, false
	}
	thousands, err := strconv.ParseUint(s[3:6], 16, 16)
	if err != nil || thousands == 0 {
		return nil, false
	}
	return &storedCrypt{
		rounds: int(thousands) * cryptRounds,
		salt:   []byte(s[prefix : prefix+saltSize]),
		hash:   s[prefix+saltSize:],
	}, true
}

// takes reports whether an answer by that method can be checked.
func (v *Verifier) takes(plugin string) bool {
	switch plugin {
	case pluginNative:
		return v.native != nil
	case pluginSHA2:
		return v.crypt != nil || v.digest.Load() != nil
	}
	return false
}

// plugin is a method that the verifier takes: the wanted one if it can be.
func (v *Verifier) plugin(wanted string) string {
	switch {
	case v.takes(wanted):
		return wanted
	case v.takes(pluginSHA2):
		return pluginSHA2
	}
	return pluginNative
}

// checkNative checks an answer by mysql_native_password.
func (v *Verifier) checkNative(salt, answer []byte) bool {
	return nativeMatches(*v.native, salt, answer)
}

// checkFast checks an answer by the fast path of caching_sha2_password, which can only work once what
// to compare with is known.
func (v *Verifier) checkFast(salt, answer []byte) bool {
	digest := v.digest.Load()
	return digest != nil && sha2Matches(*digest, salt, answer)
}

// checkPassword checks the password itself, and remembers a right one for the fast path.
func (v *Verifier) checkPassword(password string) bool {
	if len(password) > maxSHA2Password {
		return false
	}
	got := sha2Digest(password)
	if want := v.digest.Load(); want != nil {
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}
	hash := cryptText(sha256Crypt([]byte(password), v.crypt.salt, v.crypt.rounds))
	if subtle.ConstantTimeCompare([]byte(hash), []byte(v.crypt.hash)) != 1 {
		return false
	}
	digest := [sha256.Size]byte(got)
	v.digest.Store(&digest)
	return true
}

// decoy stands in for a user that doesn't exist, so that its log-in goes the way of a wrong password.
var decoy = sync.OnceValue(func() *Verifier { return NewVerifier(rand.Text()) })
