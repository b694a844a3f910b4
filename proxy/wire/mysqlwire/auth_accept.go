package mysqlwire

// Checking who a client is: the server's side of the authentication methods, for a log-in and for
// COM_CHANGE_USER.

import (
	"crypto/rsa"
	"fmt"
	"net/netip"

	"leat/proxy/wire"
)

// claim is one client's claim to be a user, and what it takes to check it.
type claim struct {
	io           PacketIO
	capabilities Capability // the client's
	secure       bool       // nobody can listen: TLS, or a unix socket
	key          *rsa.PrivateKey
	offered      string // the method that the client was told first
	plugin       string // the method of the answer
	salt         [saltSize]byte
	answer       []byte
	usedPassword bool
}

// prove checks the claim against a verifier. What is wrong with the password is no error; an error
// means that the client is gone, breaks the protocol or can't answer by a method that would do.
func (c *claim) prove(v *Verifier) (bool, error) {
	c.usedPassword = !c.answersEmpty()
	// An empty answer by a method that wasn't offered first may just mean that its salt was unknown.
	if !v.takes(c.plugin) || (c.plugin != c.offered && len(c.answer) == 0) {
		if err := c.switchTo(v.plugin(c.plugin)); err != nil {
			return false, err
		}
		c.usedPassword = !c.answersEmpty()
	}
	if !c.usedPassword {
		return v.empty, nil
	}
	if c.plugin == pluginNative {
		return v.checkNative(c.salt[:], c.answer), nil
	}
	return c.proveSHA2(v)
}

// answersEmpty reports whether the answer is that of the empty password.
func (c *claim) answersEmpty() bool {
	return len(c.answer) == 0 || (c.plugin == pluginSHA2 && len(c.answer) == 1 && c.answer[0] == 0)
}

// switchTo asks for an answer by another method, to a new salt.
func (c *claim) switchTo(plugin string) error {
	if c.capabilities&ClientPluginAuth == 0 {
		return errOldClient
	}
	c.plugin, c.salt = plugin, newSalt()
	if err := c.io.WritePacket(appendAuthSwitch(nil, plugin, c.salt[:])); err != nil {
		return err
	}
	answer, err := c.io.ReadPacket()
	c.answer = append([]byte(nil), answer...)
	return err
}

// proveSHA2 asks for the password in full when the fast path fails, as MySQL does even if it could tell that
// the password is wrong: PyMySQL gets the fast path wrong behind a switch of methods.
func (c *claim) proveSHA2(v *Verifier) (bool, error) {
	if v.checkFast(c.salt[:], c.answer) {
		return true, c.io.WritePacket(appendAuthMore(nil, []byte{sha2FastOK}))
	}
	if err := c.io.WritePacket(appendAuthMore(nil, []byte{sha2Full})); err != nil {
		return false, err
	}
	password, err := c.readPassword()
	if err != nil {
		return false, err
	}
	return v.checkPassword(password), nil
}

// readPassword reads the password itself; it is empty if the client could not be sent a key, or sends
// what the key doesn't open.
func (c *claim) readPassword() (string, error) {
	p, err := c.io.ReadPacket()
	if err != nil {
		return "", err
	}
	if c.secure {
		return trimNul(p), nil
	}
	if c.key == nil {
		return "", nil
	}
	if len(p) == 1 && p[0] == sha2RequestKey {
		key, err := encodePublicKey(&c.key.PublicKey)
		if err != nil {
			return "", err
		}
		if err := c.io.WritePacket(appendAuthMore(nil, key)); err != nil {
			return "", err
		}
		if p, err = c.io.ReadPacket(); err != nil {
			return "", err
		}
	}
	password, err := decryptPassword(p, c.salt[:], c.key)
	if err != nil {
		return "", nil
	}
	return password, nil
}

// accessDenied is MySQL's refusal, which doesn't tell a wrong password from an unknown user.
func accessDenied(user string, from netip.Addr, usedPassword bool) error {
	host, used := "localhost", "NO"
	if from.IsValid() {
		host = from.String()
	}
	if usedPassword {
		used = "YES"
	}
	return &wire.Error{
		Code:    wire.CodeAccessDenied,
		Message: fmt.Sprintf("Access denied for user '%s'@'%s' (using password: %s)", user, host, used),
	}
}
