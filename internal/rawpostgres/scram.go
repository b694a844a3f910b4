package rawpostgres

// SCRAM-SHA-256, with channel binding where the server offers it.

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// scram is one exchange, for passwords that SASLprep leaves as they are.
type scram struct {
	password  string
	binding   []byte // nil without channel binding
	header    string // of GS2
	firstBare string
	signature []byte // that the server has to show
}

// newScram looks whether the connection has something to bind to.
func newScram(c *Conn) *scram {
	s := &scram{password: c.opts.Password, header: "n,,"}
	if secure, ok := c.net.(*tls.Conn); ok {
		if certs := secure.ConnectionState().PeerCertificates; len(certs) > 0 {
			s.binding = endPoint(certs[0])
		}
	}
	return s
}

// endPoint is tls-server-end-point: the certificate's hash, by its own algorithm but never a weak one.
func endPoint(cert *x509.Certificate) []byte {
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		sum := sha512.Sum384(cert.Raw)
		return sum[:]
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		sum := sha512.Sum512(cert.Raw)
		return sum[:]
	}
	sum := sha256.Sum256(cert.Raw)
	return sum[:]
}

// first answers the list of mechanisms.
func (s *scram) first(mechanisms []byte) ([]byte, error) {
	offered := strings.Split(strings.TrimRight(string(mechanisms), "\x00"), "\x00")
	mechanism := "SCRAM-SHA-256"
	switch {
	case s.binding != nil && slices.Contains(offered, mechanism+"-PLUS"):
		mechanism, s.header = mechanism+"-PLUS", "p=tls-server-end-point,,"
	case !slices.Contains(offered, mechanism):
		return nil, fmt.Errorf("the server offers %q", offered)
	default:
		if s.binding != nil {
			s.header = "y,,"
		}
		s.binding = nil
	}
	nonce := make([]byte, 18)
	_, _ = rand.Read(nonce) // never fails
	s.firstBare = "n=,r=" + base64.StdEncoding.EncodeToString(nonce)
	message := s.header + s.firstBare
	b := binary.BigEndian.AppendUint32(cstring(nil, mechanism), uint32(len(message)))
	return append(b, message...), nil
}

// final answers the server's first message.
func (s *scram) final(server []byte) ([]byte, error) {
	if s == nil {
		return nil, errors.New("a SASL message out of its turn")
	}
	fields := attributes(string(server))
	salt, err := base64.StdEncoding.DecodeString(fields['s'])
	if err != nil {
		return nil, err
	}
	rounds, err := strconv.Atoi(fields['i'])
	if err != nil || rounds < 1 || rounds > 1<<20 {
		return nil, fmt.Errorf("%q rounds", fields['i'])
	}
	if !strings.HasPrefix(fields['r'], s.firstBare[len("n=,r="):]) {
		return nil, errors.New("the server's nonce doesn't continue the client's")
	}
	salted, err := pbkdf2.Key(sha256.New, s.password, salt, rounds, sha256.Size)
	if err != nil {
		return nil, err
	}
	bound := base64.StdEncoding.EncodeToString(append([]byte(s.header), s.binding...))
	withoutProof := "c=" + bound + ",r=" + fields['r']
	all := s.firstBare + "," + string(server) + "," + withoutProof
	clientKey := sign(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	proof := sign(stored[:], all)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	s.signature = sign(sign(salted, "Server Key"), all)
	return []byte(withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// check looks at the server's own proof.
func (s *scram) check(server []byte) error {
	if s == nil || s.signature == nil {
		return errors.New("a SASL message out of its turn")
	}
	got, err := base64.StdEncoding.DecodeString(attributes(string(server))['v'])
	if err != nil || !bytes.Equal(got, s.signature) {
		return errors.New("the server doesn't know the password")
	}
	return nil
}

// attributes are "a=x,b=y" by their letter.
func attributes(text string) map[byte]string {
	all := map[byte]string{}
	for _, part := range strings.Split(text, ",") {
		if len(part) >= 2 && part[1] == '=' {
			all[part[0]] = part[2:]
		}
	}
	return all
}

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
