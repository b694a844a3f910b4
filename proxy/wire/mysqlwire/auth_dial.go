package mysqlwire

// Proving to a server who Leat is: the client's side of the authentication methods.

import (
	"errors"
	"fmt"
)

// authenticate answers what the server asks, and returns the payload of its OK.
func (s *serverLogin) authenticate() ([]byte, error) {
	for range maxAuthRounds {
		p, err := s.io.ReadPacket()
		if err != nil {
			return nil, err
		}
		switch {
		case len(p) == 0:
			return nil, malformed("answer to a log-in")
		case p[0] == markOK:
			return append([]byte(nil), p...), nil
		case p[0] == markErr:
			return nil, ParseErr(p)
		case p[0] == markEOF:
			err = s.switchMethod(p)
		case p[0] == markAuthMore && s.plugin == pluginSHA2:
			err = s.more(p[1:])
		case p[0] == markAuthMore && s.plugin == pluginSHA256:
			err = s.sendEncrypted(p[1:])
		default:
			err = fmt.Errorf("%s: unexpected packet %#x", s.plugin, p[0])
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the server asks for ever more authentication")
}

func (s *serverLogin) switchMethod(p []byte) error {
	plugin, salt, err := parseAuthSwitch(p)
	if err != nil {
		return err
	}
	s.plugin, s.salt = plugin, append([]byte(nil), salt...)
	answer, err := s.answer()
	if err != nil {
		return err
	}
	return s.io.WritePacket(answer)
}

// knows reports whether Leat can answer by that method.
func (s *serverLogin) knows(plugin string) bool {
	switch plugin {
	case pluginNative, pluginSHA2, pluginSHA256, pluginEd25519:
		return true
	case pluginClear:
		return s.secure
	}
	return false
}

// answer is the answer to the last challenge.
func (s *serverLogin) answer() ([]byte, error) {
	switch password := s.login.Password; {
	case s.plugin == pluginNative:
		return nativeAnswer(password, s.salt), nil
	case s.plugin == pluginSHA2:
		return sha2Answer(password, s.salt), nil
	case s.plugin == pluginSHA256 && !s.secure && password != "":
		return []byte{sha256RequestKey}, nil
	case s.plugin == pluginSHA256:
		return append([]byte(password), 0), nil
	case s.plugin == pluginEd25519:
		return ed25519Answer(password, s.salt)
	case s.plugin == pluginClear && s.secure:
		return append([]byte(password), 0), nil
	case s.plugin == pluginClear:
		return nil, errors.New("the server asks for the password in the clear (mysql_clear_password), which is only sent over TLS")
	}
	return nil, fmt.Errorf("the server asks for an authentication method that Leat doesn't know: %q", s.plugin)
}

// more handles what caching_sha2_password says after the first answer.
func (s *serverLogin) more(data []byte) error {
	if len(data) != 1 {
		return malformed("caching_sha2_password")
	}
	switch {
	case data[0] == sha2FastOK:
		return nil
	case data[0] != sha2Full:
		return malformed("caching_sha2_password")
	case s.secure:
		return s.io.WritePacket(append([]byte(s.login.Password), 0))
	}
	if err := s.io.WritePacket([]byte{sha2RequestKey}); err != nil {
		return err
	}
	p, err := s.io.ReadPacket()
	if err != nil {
		return err
	}
	if len(p) > 0 && p[0] == markErr {
		return ParseErr(p)
	}
	if len(p) < 2 || p[0] != markAuthMore {
		return malformed("the server's RSA key")
	}
	return s.sendEncrypted(p[1:])
}

// sendEncrypted sends the password under a key that the server has sent.
func (s *serverLogin) sendEncrypted(pem []byte) error {
	key, err := parsePublicKey(pem)
	if err != nil {
		return err
	}
	encrypted, err := encryptPassword(s.login.Password, s.salt, key)
	if err != nil {
		return err
	}
	return s.io.WritePacket(encrypted)
}
