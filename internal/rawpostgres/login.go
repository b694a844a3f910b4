package rawpostgres

// The login: startup, authentication, and what the server says until it is ready.

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Authentication requests.
const (
	authOK        = 0
	authPlain     = 3
	authMD5       = 5
	authSASL      = 10
	authSASLMore  = 11
	authSASLFinal = 12
)

// errShort is for a message that ends before its content does.
var errShort = errors.New("message is too short")

func (c *Conn) login() error {
	pairs := []string{"user", c.opts.User}
	if c.opts.Database != "" {
		pairs = append(pairs, "database", c.opts.Database)
	}
	for _, p := range c.opts.Params {
		name, value, _ := strings.Cut(p, "=")
		pairs = append(pairs, name, value)
	}
	c.Minor = c.opts.Minor
	if err := c.SendRaw(Startup(c.opts.Minor, pairs...)); err != nil {
		return err
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	greeting, err := c.ReadUntil("ZE")
	if err != nil {
		return err
	}
	c.Greeting = greeting
	for _, m := range greeting.Messages {
		switch {
		case m.Kind == 'E':
			return parseError(m.Payload)
		case m.Kind == 'K' && len(m.Payload) >= 8:
			c.PID, c.Key = binary.BigEndian.Uint32(m.Payload), m.Payload[4:]
		}
	}
	return nil
}

// authenticate answers the server's requests until it is content.
func (c *Conn) authenticate() error {
	var scram *scram
	for {
		m, err := c.ReadMessage()
		if err != nil {
			return err
		}
		switch m.Kind {
		case 'E':
			return parseError(m.Payload)
		case 'v': // NegotiateProtocolVersion
			if len(m.Payload) < 8 {
				return errShort
			}
			c.Minor = uint16(binary.BigEndian.Uint32(m.Payload))
			continue
		case 'R':
		default:
			return fmt.Errorf("message %q during the login", m.Kind)
		}
		if len(m.Payload) < 4 {
			return errShort
		}
		data := m.Payload[4:]
		var answer []byte
		switch kind := binary.BigEndian.Uint32(m.Payload); kind {
		case authOK:
			return nil
		case authPlain:
			answer = cstring(nil, c.opts.Password)
		case authMD5:
			answer = cstring(nil, md5Password(c.opts.User, c.opts.Password, data))
		case authSASL:
			scram = newScram(c)
			answer, err = scram.first(data)
		case authSASLMore:
			answer, err = scram.final(data)
		case authSASLFinal:
			if err := scram.check(data); err != nil {
				return err
			}
			continue
		default:
			return fmt.Errorf("authentication request %d isn't known", kind)
		}
		if err != nil {
			return err
		}
		if err := c.Send(NewMessage('p', answer)); err != nil {
			return err
		}
	}
}

func md5Password(user, password string, salt []byte) string {
	sum := func(s string) string {
		h := md5.Sum([]byte(s))
		return hex.EncodeToString(h[:])
	}
	return "md5" + sum(sum(password+user)+string(salt))
}

// parseError reads an ErrorResponse or a NoticeResponse.
func parseError(p []byte) error {
	e := &ServerError{Fields: map[byte]string{}}
	for len(p) > 0 && p[0] != 0 {
		letter := p[0]
		value, rest, ok := strings.Cut(string(p[1:]), "\x00")
		if !ok {
			return errShort
		}
		e.Fields[letter], p = value, []byte(rest)
	}
	e.Severity, e.Code, e.Message = e.Fields['S'], e.Fields['C'], e.Fields['M']
	return e
}
