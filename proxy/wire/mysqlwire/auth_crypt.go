package mysqlwire

// The hash in which caching_sha2_password stores a password: SHA-crypt with SHA256 (U. Drepper's
// specification), with a salt of 20 raw bytes.

import "crypto/sha256"

// sha256Crypt hashes a password by SHA-crypt in that many rounds.
func sha256Crypt(password, salt []byte, rounds int) [sha256.Size]byte {
	h := sha256.New()
	sum := func(parts ...[]byte) []byte {
		h.Reset()
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	alternate := sum(password, salt, password)

	first := [][]byte{password, salt, fill(alternate, len(password))}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 != 0 {
			first = append(first, alternate)
		} else {
			first = append(first, password)
		}
	}
	digest := sum(first...)

	p := fill(sum(repeat(password, len(password))...), len(password))
	s := fill(sum(repeat(salt, 16+int(digest[0]))...), len(salt))
	for i := range rounds {
		h.Reset()
		odd := i&1 != 0
		h.Write(pick(odd, p, digest))
		if i%3 != 0 {
			h.Write(s)
		}
		if i%7 != 0 {
			h.Write(p)
		}
		h.Write(pick(odd, digest, p))
		digest = h.Sum(digest[:0])
	}
	return [sha256.Size]byte(digest)
}

func pick(first bool, a, b []byte) []byte {
	if first {
		return a
	}
	return b
}

func repeat(b []byte, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = b
	}
	return all
}

// fill is b repeated, or cut, to n bytes.
func fill(b []byte, n int) []byte {
	out := make([]byte, 0, n+len(b))
	for len(out) < n {
		out = append(out, b...)
	}
	return out[:n]
}

const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// cryptText spells a SHA-crypt hash in its 43 characters: six bits each, of the bytes in an order of
// the specification's.
func cryptText(digest [sha256.Size]byte) string {
	out := make([]byte, 0, 43)
	put := func(a, b, c byte, n int) {
		v := uint(a)<<16 | uint(b)<<8 | uint(c)
		for range n {
			out = append(out, cryptAlphabet[v&0x3f])
			v >>= 6
		}
	}
	a, b, c := 0, 10, 20
	for range 10 {
		put(digest[a], digest[b], digest[c], 4)
		a, b, c = c+1, a+1, b+1
	}
	put(0, digest[31], digest[30], 3)
	return string(out)
}
