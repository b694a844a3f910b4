package mysqlwire

// mysql_native_password: SHA1 of the password, masked by SHA1 of the salt and the stored hash.

import (
	"crypto/sha1"
	"crypto/subtle"
)

// nativeHash is what a server stores: SHA1(SHA1(password)).
func nativeHash(password string) [sha1.Size]byte {
	once := sha1.Sum([]byte(password))
	return sha1.Sum(once[:])
}

// nativeAnswer is a client's answer: SHA1(password) xor SHA1(salt, SHA1(SHA1(password))).
// It is empty for an empty password.
func nativeAnswer(password string, salt []byte) []byte {
	if password == "" {
		return nil
	}
	once := sha1.Sum([]byte(password))
	mask := nativeMask(sha1.Sum(once[:]), salt)
	subtle.XORBytes(mask[:], mask[:], once[:])
	return mask[:]
}

// nativeMatches reports whether an answer proves the password of a stored hash.
func nativeMatches(hash [sha1.Size]byte, salt, answer []byte) bool {
	if len(answer) != sha1.Size {
		return false
	}
	once := nativeMask(hash, salt)
	subtle.XORBytes(once[:], once[:], answer)
	twice := sha1.Sum(once[:])
	return subtle.ConstantTimeCompare(twice[:], hash[:]) == 1
}

func nativeMask(hash [sha1.Size]byte, salt []byte) [sha1.Size]byte {
	h := sha1.New()
	h.Write(salt)
	h.Write(hash[:])
	return [sha1.Size]byte(h.Sum(nil))
}
