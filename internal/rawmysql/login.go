package rawmysql

// The login: greeting, response, and the exchanges of the password plugins.

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

func (c *Conn) login() error {
	_ = c.net.SetDeadline(time.Now().Add(c.opts.Timeout))
	f, err := c.readFrame()
	if err != nil {
		return err
	}
	if len(f.Payload) > 0 && f.Payload[0] == 0xff {
		return parseError(f.Payload)
	}
	if err := c.Greeting.parse(f.Payload); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	want := c.opts.Flags | longPassword | longFlag | protocol41 | transactions | secureConnection | pluginAuth
	if c.opts.Database != "" {
		want |= ConnectWithDB
	}
	c.Flags = want & c.Greeting.Capabilities
	answer, err := scramble(c.Greeting.Plugin, c.opts.Password, c.Greeting.salt)
	if err != nil {
		return err
	}
	if err := c.writePacket(f.Seq+1, c.loginResponse(answer)); err != nil {
		return err
	}
	return c.finishLogin(c.Greeting.salt)
}

func (g *Greeting) parse(p []byte) error {
	end := bytes.IndexByte(p, 0)
	if len(p) == 0 || p[0] != 10 || end < 0 || len(p) < end+45 {
		return errShort
	}
	g.Version = string(p[1:end])
	p = p[end+1:]
	g.ThreadID = binary.LittleEndian.Uint32(p)
	g.salt = append(g.salt, p[4:12]...)
	g.Capabilities = uint32(binary.LittleEndian.Uint16(p[13:]))
	g.Collation = p[15]
	g.Status = binary.LittleEndian.Uint16(p[16:])
	g.Capabilities |= uint32(binary.LittleEndian.Uint16(p[18:])) << 16
	g.salt = append(g.salt, p[31:43]...)
	g.Plugin = string(bytes.TrimRight(p[44:], "\x00"))
	return nil
}

func (c *Conn) loginResponse(answer []byte) []byte {
	p := binary.LittleEndian.AppendUint32(nil, c.Flags)
	p = binary.LittleEndian.AppendUint32(p, 1<<30)
	p = append(p, c.opts.Collation)
	p = append(p, make([]byte, 23)...)
	p = append(append(p, c.opts.User...), 0)
	p = append(append(p, byte(len(answer))), answer...)
	if c.Flags&ConnectWithDB != 0 {
		p = append(append(p, c.opts.Database...), 0)
	}
	p = append(append(p, c.Greeting.Plugin...), 0)
	if c.Flags&ConnectAttrs != 0 {
		p = appendAttributes(p, c.opts.Attributes)
	}
	if c.Flags&Zstd != 0 {
		p = append(p, 3) // the level
	}
	return p
}

// appendAttributes writes connection attributes, which must be short.
func appendAttributes(p []byte, attributes map[string]string) []byte {
	var all []byte
	for k, v := range attributes {
		all = append(append(all, byte(len(k))), k...)
		all = append(append(all, byte(len(v))), v...)
	}
	return append(append(p, byte(len(all))), all...)
}

// finishLogin answers what the server asks until it is content.
func (c *Conn) finishLogin(salt []byte) error {
	for range 10 {
		f, err := c.readFrame()
		if err != nil {
			return err
		}
		if len(f.Payload) == 0 {
			return errShort
		}
		var answer []byte
		switch body := f.Payload[1:]; f.Payload[0] {
		case 0x00:
			return nil
		case 0xff:
			return parseError(f.Payload)
		case 0xfe: // another plugin is wanted
			name, data, _ := bytes.Cut(body, []byte{0})
			salt = bytes.TrimSuffix(data, []byte{0})
			answer, err = scramble(string(name), c.opts.Password, salt)
		case 0x01: // more of caching_sha2_password
			answer, err = c.moreSHA2(body, salt)
		default:
			return fmt.Errorf("login: unexpected packet 0x%02x", f.Payload[0])
		}
		if err != nil {
			return err
		}
		if answer == nil {
			continue
		}
		if err := c.writePacket(f.Seq+1, answer); err != nil {
			return err
		}
	}
	return errors.New("login: the server doesn't come to an end")
}

// moreSHA2 answers the second step: nothing to say (3), the password is needed (4), or here is the key.
func (c *Conn) moreSHA2(body, salt []byte) ([]byte, error) {
	switch {
	case len(body) == 1 && body[0] == 3:
		return nil, nil
	case len(body) == 1 && body[0] == 4:
		return []byte{2}, nil // the public key, please
	}
	block, _ := pem.Decode(body)
	if block == nil {
		return nil, errors.New("login: no public key")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("login: not an RSA key")
	}
	plain := append([]byte(c.opts.Password), 0)
	for i := range plain {
		plain[i] ^= salt[i%len(salt)]
	}
	return rsa.EncryptOAEP(sha1.New(), rand.Reader, public, plain, nil)
}

// scramble is a plugin's first answer. It isn't nil, so that an empty one is sent.
func scramble(plugin, password string, salt []byte) ([]byte, error) {
	if password == "" {
		return []byte{}, nil
	}
	switch plugin {
	case "mysql_native_password":
		first := sha1.Sum([]byte(password))
		second := sha1.Sum(first[:])
		mix := sha1.Sum(append(append([]byte{}, salt...), second[:]...))
		return xor(first[:], mix[:]), nil
	case "caching_sha2_password":
		first := sha256.Sum256([]byte(password))
		second := sha256.Sum256(first[:])
		mix := sha256.Sum256(append(second[:], salt...))
		return xor(first[:], mix[:]), nil
	}
	return nil, fmt.Errorf("login: plugin %q isn't known here", plugin)
}

func xor(a, b []byte) []byte {
	for i := range a {
		a[i] ^= b[i]
	}
	return a
}

// ChangeUser logs in anew on the same connection (COM_CHANGE_USER).
func (c *Conn) ChangeUser(user, password, database string) error {
	c.opts.User, c.opts.Password = user, password
	answer, err := scramble(c.Greeting.Plugin, password, c.Greeting.salt)
	if err != nil {
		return err
	}
	p := append([]byte{ComChangeUser}, user...)
	p = append(append(p, 0, byte(len(answer))), answer...)
	p = append(append(p, database...), 0)
	p = append(p, c.opts.Collation, 0)
	p = append(append(p, c.Greeting.Plugin...), 0)
	if c.Flags&ConnectAttrs != 0 {
		p = appendAttributes(p, c.opts.Attributes)
	}
	if err := c.Send(p); err != nil {
		return err
	}
	return c.finishLogin(c.Greeting.salt)
}
