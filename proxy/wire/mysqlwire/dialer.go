package mysqlwire

// dialer.go: opening conns to servers, and what is learned of a server when one is opened.

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
)

// Dialer opens conns to MySQL and MariaDB servers. It implements wire.Dialer.
type Dialer struct {
	// Net connects; nil is a net.Dialer with keep-alives.
	Net func(ctx context.Context, network, address string) (net.Conn, error)

	collations atomic.Pointer[map[uint16]collation]
}

var _ wire.Dialer = (*Dialer)(nil)

// NewDialer makes a Dialer.
func NewDialer() *Dialer { return &Dialer{} }

type collation struct{ charset, name string }

// builtin are collations that clients ask for at log-in before a server was asked for its own.
var builtin = map[uint16]collation{
	8: {"latin1", "latin1_swedish_ci"}, 33: {"utf8mb3", "utf8mb3_general_ci"}, 45: {"utf8mb4", "utf8mb4_general_ci"},
	46: {"utf8mb4", "utf8mb4_bin"}, 63: {"binary", "binary"}, 224: {"utf8mb4", "utf8mb4_unicode_ci"},
}

// notForClients are charsets that can't be a client's: a server falls back to its default.
var notForClients = map[string]bool{"ucs2": true, "utf16": true, "utf16le": true, "utf32": true}

// Collation returns the charset and the name of a collation id, as the servers know them.
func (d *Dialer) Collation(id uint16) (charset, name string, ok bool) {
	table := builtin
	if t := d.collations.Load(); t != nil {
		table = *t
	}
	c, ok := table[id]
	return c.charset, c.name, ok && !notForClients[c.charset]
}

// Dial implements wire.Dialer.
func (d *Dialer) Dial(ctx context.Context, address string, l wire.Login) (wire.Conn, error) {
	return d.dial(ctx, address, l)
}

func (d *Dialer) dial(ctx context.Context, address string, l wire.Login) (*Conn, error) {
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
	deadline, _ := ctx.Deadline()
	nc.SetDeadline(deadline)
	c, err := d.open(ctx, nc, address, l)
	if err != nil {
		nc.Close()
		return nil, err
	}
	c.nc.SetDeadline(time.Time{})
	return c, nil
}

// open logs in on a new connection and puts it into the base state.
func (d *Dialer) open(ctx context.Context, nc net.Conn, address string, l wire.Login) (*Conn, error) {
	in, err := login(ctx, nc, address, l, 45)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		nc: in.conn, in: newReader(in.conn), out: newWriter(in.conn), id: uint64(in.greeting.threadID), limit: maxHeld,
		greeting: wire.Greeting{Version: in.greeting.version, Flavor: in.flavor, Charset: uint16(in.greeting.charset)},
		flavor:   in.flavor, readOnly: l.ReadOnly, state: wire.NewState(l.Database), base: baseState(), batch: true, insertID: "0",
	}
	if err := c.exec(initSQL(c.flavor, c.readOnly, c.base)); err != nil {
		return nil, fmt.Errorf("setting up a conn to %s: %w", address, err)
	}
	c.state, c.collationUnknown = c.base.WithDatabase(l.Database), false
	if err := c.learn(d); err != nil {
		return nil, fmt.Errorf("asking %s for its defaults: %w", address, err)
	}
	return c, nil
}

// learn asks the server for the defaults that routing needs, and for its collations, once.
func (c *Conn) learn(d *Dialer) error {
	isolation, readOnly := "transaction_isolation", "transaction_read_only"
	if c.flavor == wire.FlavorMariaDB {
		isolation, readOnly = "tx_isolation", "tx_read_only"
	}
	rows, err := c.query("SELECT @@global.sql_mode, @@global." + isolation + ", @@global." + readOnly + ", @@global.autocommit, @@session.wait_timeout")
	if err != nil {
		return err
	}
	if len(rows) != 1 || len(rows[0]) != 5 {
		return malformed("server defaults")
	}
	c.greeting.Defaults = wire.NewState("").With("sql_mode", rows[0][0]).With("transaction_isolation", rows[0][1]).
		With("transaction_read_only", rows[0][2]).With("autocommit", rows[0][3])
	c.idle = seconds(rows[0][4])
	if rows, err = c.query(c.identitySQL()); err != nil {
		return err
	}
	if len(rows) != 1 {
		return malformed("user and role")
	}
	c.identity = rows[0]
	if err := c.learnTrackers(); err != nil {
		return err
	}
	if d.collations.Load() != nil {
		return nil
	}
	source := "SELECT id, character_set_name, collation_name FROM information_schema.collations"
	if c.flavor == wire.FlavorMariaDB {
		source = "SELECT id, character_set_name, full_collation_name FROM information_schema.collation_character_set_applicability"
	}
	if rows, err = c.query(source); err != nil {
		return err
	}
	table := make(map[uint16]collation, len(rows))
	for _, r := range rows {
		if id, err := strconv.ParseUint(r[0], 10, 16); err == nil && id > 0 {
			table[uint16(id)] = collation{r[1], r[2]}
		}
	}
	d.collations.Store(&table)
	return nil
}

// learnTrackers asks what a new session's trackers are set to.
func (c *Conn) learnTrackers() error {
	trackers := trackersOf(c.flavor)
	values, err := c.variables("GLOBAL", trackers)
	if err != nil {
		return err
	}
	for i, t := range trackers {
		c.greeting.Defaults = c.greeting.Defaults.With(t.Name, values[i])
	}
	return nil
}

// Cancel implements wire.Dialer: KILL QUERY over a side connection.
func (d *Dialer) Cancel(ctx context.Context, address string, l wire.Login, id wire.ConnID) error {
	l.ReadOnly = false
	c, err := d.dial(ctx, address, l)
	if err != nil {
		return err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		c.nc.SetDeadline(deadline)
	}
	return c.exec("KILL QUERY " + strconv.FormatUint(id.ID, 10))
}
