package mysqlwire

// MariaDB's client_ed25519, towards servers: the salt is signed with a key made of the password. It is
// Ed25519 but for the seed, which may have any length, so that crypto/ed25519 can't be used.

import (
	"crypto/sha512"

	"filippo.io/edwards25519"
)

// ed25519Answer signs the salt.
func ed25519Answer(password string, salt []byte) ([]byte, error) {
	expanded := sha512.Sum512([]byte(password))
	secret, err := edwards25519.NewScalar().SetBytesWithClamping(expanded[:32])
	if err != nil {
		return nil, err
	}
	public := edwards25519.NewIdentityPoint().ScalarBaseMult(secret).Bytes()

	nonce, err := hashToScalar(expanded[32:], salt)
	if err != nil {
		return nil, err
	}
	commitment := edwards25519.NewIdentityPoint().ScalarBaseMult(nonce).Bytes()
	challenge, err := hashToScalar(commitment, public, salt)
	if err != nil {
		return nil, err
	}
	proof := edwards25519.NewScalar().MultiplyAdd(challenge, secret, nonce)
	return append(commitment, proof.Bytes()...), nil
}

func hashToScalar(parts ...[]byte) (*edwards25519.Scalar, error) {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	return edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
}
