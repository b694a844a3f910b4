package pgwire

// dialer.go: opening conns to servers, and what is learned of a server when one is opened.

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"sync"
	"time"

	"leat/proxy/wire"
)

// Dialer opens conns to PostgreSQL servers. It implements wire.Dialer.
type Dialer struct {
	// Net connects; nil is a net.Dialer with keep-alives.
	Net func(ctx context.Context, network, address string) (net.Conn, error)

	mu      sync.Mutex
	derived map[derivedOf]*derivedKeys // SCRAM's keys, which take a millisecond each to derive
}

var _ wire.Dialer = (*Dialer)(nil)

// NewDialer makes a Dialer.
func NewDialer() *Dialer { return &Dialer{derived: make(map[derivedOf]*derivedKeys)} }

type derivedOf struct {
	password string
	by       secretKey
}

type derivedKeys struct{ client, stored, server [keySize]byte }

// maxDerived bounds the keys that are kept.
const maxDerived = 1000

// keys returns the keys of a password.
func (d *Dialer) keys(password string, by secretKey) (client, stored, server [keySize]byte) {
	of := derivedOf{password, by}
	d.mu.Lock()
	k := d.derived[of]
	d.mu.Unlock()
	if k == nil {
		k = &derivedKeys{}
		k.client, k.server = deriveKeys(password, []byte(by.salt), by.iterations)
		k.stored = sha256.Sum256(k.client[:])
		d.keep(of, k)
	}
	return k.client, k.stored, k.server
}

func (d *Dialer) keep(of derivedOf, k *derivedKeys) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.derived) >= maxDerived {
		clear(d.derived)
	}
	d.derived[of] = k
}

// Dial implements wire.Dialer.
func (d *Dialer) Dial(ctx context.Context, address string, l wire.Login) (wire.Conn, error) {
	nc, err := d.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	c, err := d.open(ctx, nc, address, &l)
	if err != nil {
		nc.Close()
		return nil, err
	}
	c.nc.SetDeadline(time.Time{})
	return c, nil
}

// connect connects within ctx, by TCP, or to the unix socket whose file the address is.
func (d *Dialer) connect(ctx context.Context, address string) (net.Conn, error) {
	connect := d.Net
	if connect == nil {
		connect = (&net.Dialer{}).DialContext
	}
	network := "tcp"
	if len(address) > 0 && address[0] == '/' {
		network = "unix"
	}
	nc, err := connect(ctx, network, address)
	if err != nil {
		return nil, &wire.SendError{Err: err}
	}
	nc.SetDeadline(deadlineOf(ctx))
	return nc, nil
}

// open logs in on a new connection and asks for the server's defaults.
func (d *Dialer) open(ctx context.Context, nc net.Conn, address string, l *wire.Login) (c *Conn, err error) {
	err = within(ctx, nc, "log-in to server "+address, func() error {
		s := &serverLogin{dialer: d, address: address, login: l}
		if err := s.run(ctx, nc); err != nil {
			return err
		}
		c = newConn(&s.loggedIn, l)
		return c.learnDefaults()
	})
	return c, err
}

// learnDefaults asks the server for those of its defaults that routing needs and that it doesn't report.
func (c *Conn) learnDefaults() error {
	names := []string{"default_transaction_isolation", settingReadOnly, "idle_session_timeout", "search_path"}
	row, err := c.query(learnSQL(names, ""), len(names))
	if err != nil {
		return fmt.Errorf("asking for defaults: %w", err)
	}
	defaults := wire.NewState("")
	for _, p := range c.greeting.Params {
		defaults = defaults.With(lower(p.Name), p.Value)
	}
	for i, name := range names {
		if row[i] != nil && !(name == settingReadOnly && c.readOnly) {
			defaults = defaults.With(name, *row[i])
		}
	}
	c.greeting.Defaults = defaults
	return nil
}

// Cancel implements wire.Dialer.
func (d *Dialer) Cancel(ctx context.Context, address string, l wire.Login, id wire.ConnID) error {
	nc, err := d.connect(ctx, address)
	if err != nil {
		return err
	}
	defer nc.Close()
	return within(ctx, nc, "request to cancel to server "+address, func() error {
		s := &serverLogin{dialer: d, address: address, login: &l}
		return s.cancel(ctx, nc, id)
	})
}
