package pgwire

// The md5 method, towards old servers, and for clients of whose password only that form is known.

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
)

// md5SaltSize is the size of a challenge.
const md5SaltSize = 4

// md5Stored is the stored form of a password.
func md5Stored(user, password string) string { return md5Hex(password + user) }

// md5Answer is the answer to a challenge, from the stored form.
func md5Answer(stored string, salt []byte) string { return md5Hex(stored[len("md5"):] + string(salt)) }

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return "md5" + hex.EncodeToString(sum[:])
}

// proveMD5 checks that the client knows the password of the verifier.
func (a *accepted) proveMD5(v *Verifier) (bool, error) {
	var salt [md5SaltSize]byte
	rand.Read(salt[:])
	if err := a.ask(authMD5, salt[:]); err != nil {
		return false, err
	}
	p, err := a.password(maxLogin)
	if err != nil {
		return false, err
	}
	defer a.in.discard(p)
	r := fieldReader{p: p}
	answer := r.nul()
	if !r.done() {
		return false, malformed("password message")
	}
	return equal(string(answer), md5Answer(v.md5, salt[:])), nil
}
