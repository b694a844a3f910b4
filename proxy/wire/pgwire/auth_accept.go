package pgwire

// Checking who a client is: the server's side of SCRAM.

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
)

// scramServer is the server's side of one exchange.
type scramServer struct {
	secret  *scramSecret
	secure  bool   // the channel can be bound
	binding []byte // what it is bound to
	plus    bool   // the client chose to bind it
	nonce   string // Leat's part

	header      string // the client's word about channel binding
	clientFirst string // without the header
	clientNonce string
	serverFirst string
}

// proveSCRAM checks that the client knows the password of the secret. What is wrong with the password is no error;
// an error means that the client is gone or breaks the protocol.
func (a *accepted) proveSCRAM(secret *scramSecret) (bool, error) {
	s := &scramServer{secret: secret, nonce: newNonce()}
	var mechanisms []byte
	if a.isTLS() && a.tls.binding != nil {
		s.secure, s.binding = true, a.tls.binding
		mechanisms = appendNul(mechanisms, scramSHA256Plus)
	}
	mechanisms = append(appendNul(mechanisms, scramSHA256), 0)
	if err := a.ask(authSASL, mechanisms); err != nil {
		return false, err
	}
	first, err := a.firstSASL(s)
	if err != nil {
		return false, err
	}
	serverFirst, err := s.first(first)
	if err != nil {
		return false, err
	}
	if err := a.ask(authSASLContinue, []byte(serverFirst)); err != nil {
		return false, err
	}
	p, err := a.password(maxSASL)
	if err != nil {
		return false, err
	}
	final, ok, err := s.final(string(p))
	a.in.discard(p)
	if ok {
		a.tell(authSASLFinal, []byte(final))
	}
	return ok, err
}

// firstSASL reads the client's choice of a mechanism, and its first message, which may come with the choice.
func (a *accepted) firstSASL(s *scramServer) (string, error) {
	p, err := a.password(maxSASL)
	if err != nil {
		return "", err
	}
	r := fieldReader{p: p}
	mechanism, n := string(r.nul()), int32(r.uint32())
	var first string
	if n >= 0 {
		first = string(r.take(int(n)))
	}
	bad := !r.done() || n < -1
	a.in.discard(p)
	switch {
	case bad:
		return "", errSASL()
	case mechanism == scramSHA256Plus && s.secure:
		s.plus = true
	case mechanism != scramSHA256:
		return "", refusal("08P01", "client selected an invalid SASL authentication mechanism")
	}
	if n >= 0 {
		return first, nil
	}
	if err := a.ask(authSASLContinue, nil); err != nil {
		return "", err
	}
	if p, err = a.password(maxSASL); err != nil {
		return "", err
	}
	first = string(p)
	a.in.discard(p)
	return first, nil
}

// first reads the client's first message and returns the answer to it.
func (s *scramServer) first(msg string) (string, error) {
	flag, rest, ok := strings.Cut(msg, ",")
	switch {
	case !ok:
		return "", errSASL()
	case flag == "y" && !s.plus && s.secure:
		// The client could bind the channel, and was made to believe that Leat can't.
		return "", refusal("28000", "SCRAM channel binding negotiation error")
	case (flag == "n" || flag == "y") && !s.plus:
	case strings.HasPrefix(flag, "p=") && s.plus:
		if flag+",," != bindingHeader {
			return "", refusal("08P01", "unsupported SCRAM channel-binding type")
		}
	default:
		return "", errSASL()
	}
	if strings.HasPrefix(rest, "a=") {
		return "", refusal("0A000", "client uses authorization identity, but it is not supported")
	}
	bare, ok := strings.CutPrefix(rest, ",")
	if !ok {
		return "", errSASL()
	}
	s.header, s.clientFirst = flag+",,", bare
	if strings.HasPrefix(bare, "m=") {
		return "", refusal("0A000", "client requires an unsupported SCRAM extension")
	}
	if _, ok = attribute(&bare, 'n'); !ok { // the startup message's name counts
		return "", errSASL()
	}
	if s.clientNonce, ok = attribute(&bare, 'r'); !ok || !printable(s.clientNonce) {
		return "", errSASL()
	}
	for bare != "" {
		if _, _, ok := anyAttribute(&bare); !ok {
			return "", errSASL()
		}
	}
	s.serverFirst = "r=" + s.clientNonce + s.nonce +
		",s=" + base64.StdEncoding.EncodeToString(s.secret.salt) + ",i=" + strconv.Itoa(s.secret.iterations)
	return s.serverFirst, nil
}

// final reads the client's last message and checks its proof. If that is right, it returns Leat's own.
func (s *scramServer) final(msg string) (answer string, ok bool, err error) {
	i := strings.LastIndex(msg, ",p=")
	if i < 0 {
		return "", false, errSASL()
	}
	rest := msg[:i]
	binding, ok1 := attribute(&rest, 'c')
	nonce, ok2 := attribute(&rest, 'r')
	if !ok1 || !ok2 {
		return "", false, errSASL()
	}
	want := s.header
	if s.plus {
		want += string(s.binding)
	}
	if !equal(binding, base64.StdEncoding.EncodeToString([]byte(want))) {
		return "", false, refusal("28000", "SCRAM channel binding check failed")
	}
	if !equal(nonce, s.clientNonce+s.nonce) {
		return "", false, refusal("08P01", "invalid SCRAM response")
	}
	for rest != "" {
		if _, _, ok := anyAttribute(&rest); !ok {
			return "", false, errSASL()
		}
	}
	var proof [keySize]byte
	if !decodeKey(&proof, msg[i+len(",p="):]) {
		return "", false, errSASL()
	}
	signed := s.clientFirst + "," + s.serverFirst + "," + msg[:i]
	clientKey := xorKeys(proof, hmacSHA256(s.secret.storedKey[:], signed))
	stored := sha256.Sum256(clientKey[:])
	if !hmac.Equal(stored[:], s.secret.storedKey[:]) {
		return "", false, nil
	}
	own := hmacSHA256(s.secret.serverKey[:], signed)
	return "v=" + base64.StdEncoding.EncodeToString(own[:]), true, nil
}

// equal compares texts in a time that doesn't tell where they differ.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
