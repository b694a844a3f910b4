package pgwire

// Proving to a server who Leat is: the client's side of the authentication methods.

import (
	"crypto/hmac"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// authenticate answers what the server asks, until it is satisfied.
func (s *serverLogin) authenticate() error {
	for range maxGreetings {
		kind, p, err := s.next()
		if err != nil {
			return err
		}
		if kind == repNegotiateVersion || kind == repNotice {
			continue
		}
		if kind != repAuthentication || len(p) < 4 {
			return malformed("answer to a log-in")
		}
		switch code, data := binary.BigEndian.Uint32(p), p[4:]; code {
		case authOK:
			if s.begun && !s.proven {
				return errors.New("the server ends SCRAM without proving that it knows the password")
			}
			return nil
		case authCleartext:
			err = s.sendCleartext()
		case authMD5:
			err = s.answerMD5(data)
		case authSASL:
			err = s.exchange(data)
		default:
			err = fmt.Errorf("the server asks for an authentication method that Leat doesn't know (%d)", code)
		}
		if err != nil {
			return err
		}
	}
	return errors.New("the server asks for ever more authentication")
}

// answer sends a password message.
func (s *serverLogin) answer(payload []byte) error {
	s.out.message(reqPassword, payload)
	return s.out.Flush()
}

func (s *serverLogin) sendCleartext() error {
	if !s.secure {
		return errors.New("the server asks for the password in the clear, which is only sent over TLS")
	}
	return s.answer(appendNul(nil, s.login.Password))
}

func (s *serverLogin) answerMD5(salt []byte) error {
	if len(salt) != md5SaltSize {
		return malformed("challenge")
	}
	return s.answer(appendNul(nil, md5Answer(md5Stored(s.login.User, s.login.Password), salt)))
}

// scramClient is the client's side of one exchange.
type scramClient struct {
	mechanism string
	header    string // what it says of channel binding
	binding   []byte
	nonce     string
}

// exchange runs SCRAM. It returns once the server has proven that it knows the password too.
func (s *serverLogin) exchange(mechanisms []byte) error {
	if s.begun {
		return malformed("second SASL exchange")
	}
	s.begun = true
	c, err := s.choose(mechanisms)
	if err != nil {
		return err
	}
	bare := "n=,r=" + c.nonce
	first := appendNul(nil, c.mechanism)
	first = binary.BigEndian.AppendUint32(first, uint32(len(c.header)+len(bare)))
	if err := s.answer(append(append(first, c.header...), bare...)); err != nil {
		return err
	}
	challenge, err := s.sasl(authSASLContinue)
	if err != nil {
		return err
	}
	nonce, key, err := c.read(challenge)
	if err != nil {
		return err
	}
	clientKey, storedKey, serverKey := s.dialer.keys(s.login.Password, key)
	final := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.header), c.binding...)) + ",r=" + nonce
	signed := bare + "," + challenge + "," + final
	proof := xorKeys(clientKey, hmacSHA256(storedKey[:], signed))
	if err := s.answer([]byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof[:]))); err != nil {
		return err
	}
	verdict, err := s.sasl(authSASLFinal)
	if err != nil {
		return err
	}
	signature, ok := attribute(&verdict, 'v')
	var got [keySize]byte
	want := hmacSHA256(serverKey[:], signed)
	if !ok || !decodeKey(&got, signature) || !hmac.Equal(got[:], want[:]) {
		return errors.New("the server does not know the password: it is not the one that it claims to be")
	}
	s.proven = true
	return nil
}

// choose picks a mechanism that the server offers, bound to TLS if it can be.
func (s *serverLogin) choose(mechanisms []byte) (*scramClient, error) {
	var plain, plus bool
	for r := (fieldReader{p: mechanisms}); len(r.p) > 0; {
		switch string(r.nul()) {
		case scramSHA256:
			plain = true
		case scramSHA256Plus:
			plus = true
		}
	}
	c := &scramClient{mechanism: scramSHA256, header: "n,,", nonce: newNonce()}
	if conn, ok := s.nc.(*tls.Conn); ok {
		c.binding = endPoint(conn.ConnectionState().PeerCertificates[0])
	}
	switch {
	case plus && c.binding != nil:
		c.mechanism, c.header = scramSHA256Plus, bindingHeader
		return c, nil
	case !plain:
		return nil, errors.New("the server offers no SASL mechanism that Leat knows")
	case c.binding != nil:
		c.header = "y,," // so that a server that did offer it notices
	}
	c.binding = nil
	return c, nil
}

// sasl reads the server's next message of the exchange.
func (s *serverLogin) sasl(code uint32) (string, error) {
	kind, p, err := s.next()
	if err != nil {
		return "", err
	}
	if kind != repAuthentication || len(p) < 4 || binary.BigEndian.Uint32(p) != code {
		return "", malformed("SASL exchange")
	}
	return string(p[4:]), nil
}

// secretKey says by which salt and how many iterations keys are derived of a password.
type secretKey struct {
	salt       string
	iterations int
}

// read takes the server's challenge apart.
func (c *scramClient) read(challenge string) (nonce string, key secretKey, err error) {
	nonce, ok1 := attribute(&challenge, 'r')
	salt, ok2 := attribute(&challenge, 's')
	iterations, ok3 := attribute(&challenge, 'i')
	raw, err := base64.StdEncoding.DecodeString(salt)
	n, numErr := strconv.ParseUint(iterations, 10, 31)
	switch {
	case !ok1 || !ok2 || !ok3 || err != nil || numErr != nil || n == 0 || len(raw) == 0:
		return "", key, malformed("SCRAM challenge")
	case !strings.HasPrefix(nonce, c.nonce) || len(nonce) == len(c.nonce) || !printable(nonce):
		return "", key, malformed("nonce of the SCRAM challenge")
	case n > maxIterations:
		return "", key, fmt.Errorf("the server asks for %d SCRAM iterations: Leat computes %d at most", n, maxIterations)
	}
	return nonce, secretKey{string(raw), int(n)}, nil
}
