package pgwire

// conn.go: one logged-in connection to a PostgreSQL server.

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"leat/proxy/wire"
)

// Conn is a connection to a server. It implements wire.Conn.
type Conn struct {
	nc       net.Conn
	in       reader
	out      writer
	pid      uint32 // of the server process
	key      []byte // for Cancel
	greeting wire.Greeting
	readOnly bool // opened for a replica: writes fail
	user     string

	tx wire.TxState
	// state is what the session's settings are, as far as the server reports them, or was asked.
	state *wire.State
	// unlearned are settings to be asked for as soon as the server can answer.
	unlearned []string
	// unsynced is whether an implicit transaction is open, up to the next Sync.
	unsynced bool
	// broken is why the conn can't be used any more; nil while it can.
	broken error

	exchanges uint64 // requests served so far
	described uint64 // the form of the rows that the last question of Leat's own has
	stmts     serverStmts
	lent      []string // statements that have their client's names during a request
	sender    sender   // reused by each request, as are the others
	relay     relay
	result    wire.Outcome
}

var _ wire.Conn = (*Conn)(nil)

// newConn makes a Conn of a connection on which Leat has logged in.
func newConn(in *loggedIn, l *wire.Login) *Conn {
	return &Conn{
		nc: in.nc, in: in.in, out: in.out, pid: in.pid, key: in.key, readOnly: l.ReadOnly, state: wire.NewState(l.Database),
		greeting: wire.Greeting{Version: in.version(), Flavor: wire.FlavorPostgres, Params: in.params}, user: l.User,
	}
}

// ID implements wire.Conn.
func (c *Conn) ID() wire.ConnID { return wire.ConnID{ID: uint64(c.pid), Key: c.key} }

// Greeting implements wire.Conn.
func (c *Conn) Greeting() wire.Greeting { return c.greeting }

// State implements wire.Conn.
func (c *Conn) State() *wire.State { return c.state }

// Tx implements wire.Conn.
func (c *Conn) Tx() wire.TxState { return c.tx }

// IdleTimeout implements wire.Conn.
func (c *Conn) IdleTimeout() time.Duration {
	v, ok := c.state.Get("idle_session_timeout")
	if !ok && c.greeting.Defaults != nil {
		v, _ = c.greeting.Defaults.Get("idle_session_timeout")
	}
	return milliseconds(v)
}

// milliseconds reads a setting of PostgreSQL's that is a time in milliseconds unless it has a unit; 0: it can't.
func milliseconds(v string) time.Duration {
	if v == "0" { // the usual one
		return 0
	}
	v = strings.TrimSpace(v)
	digits := strings.TrimRight(v, "abcdefghijklmnopqrstuvwxyz ")
	unit := strings.TrimSpace(v[len(digits):])
	switch unit {
	case "":
		unit = "ms"
	case "min":
		unit = "m"
	}
	d, err := time.ParseDuration(digits + unit)
	if err != nil && unit == "d" {
		d, err = time.ParseDuration(digits + "h")
		d *= 24
	}
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// SetDeadline implements wire.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }

// Close implements wire.Conn.
func (c *Conn) Close() error {
	c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	c.out.message(reqTerminate, nil)
	c.out.Flush()
	return c.nc.Close()
}

// absorbTime bounds the look at messages that arrived at an idle conn.
const absorbTime = 50 * time.Millisecond

// Idle implements wire.Conn. What a server says of its settings when its config changes is taken in.
func (c *Conn) Idle() bool {
	if c.broken != nil || c.unsynced {
		return false
	}
	if c.in.Quiet() {
		return true
	}
	if c.nc.SetReadDeadline(time.Now().Add(absorbTime)) != nil {
		return false
	}
	defer c.nc.SetReadDeadline(time.Time{})
	for {
		kind, p, err := c.in.frame(maxHeld)
		if err != nil || !isAsync(kind) {
			return false
		}
		c.in.discard(p)
		if c.in.Quiet() {
			return true
		}
	}
}

// isAsync reports whether a server sends messages of a kind at any time.
func isAsync(kind byte) bool {
	return kind == repNotice || kind == repNotification || kind == repParameterStatus
}

// encoding is the one that the conn's texts are in.
func (c *Conn) encoding() string {
	if v, ok := c.state.Get(settingEncoding); ok {
		return v
	}
	v, _ := c.reported(settingEncoding)
	return v
}

// reported is what the server said of a setting at log-in.
func (c *Conn) reported(name string) (string, bool) {
	for _, p := range c.greeting.Params {
		if strings.EqualFold(p.Name, name) {
			return p.Value, true
		}
	}
	return "", false
}

// facts are what servers report and nobody can set.
var facts = map[string]bool{
	"in_hot_standby": true, "integer_datetimes": true, "is_superuser": true, "server_encoding": true, "server_version": true,
}

// note takes in what the server reports of a setting, and tells whether the client is to hear of it.
func (c *Conn) note(p []byte) (tell bool, err error) {
	name, value, err := parseParameterStatus(p)
	if err != nil {
		return false, err
	}
	setting := strings.ToLower(string(name))
	switch {
	case setting == "in_hot_standby", setting == settingReadOnly && c.readOnly:
		return false, nil // of the conn, which the client doesn't see
	case facts[setting]:
		return true, nil
	}
	if before, ok := c.reported(setting); ok && before == string(value) {
		c.setState(c.state.Without(setting))
	} else {
		c.setState(c.state.With(setting, string(value)))
	}
	return true, nil
}

// Adopt implements wire.Conn.
func (c *Conn) Adopt(want *wire.State) error {
	sql := restoreSQL(c.state, want, c.readOnly, c.encoding())
	if sql != "" {
		if _, err := c.query(sql, 0); err != nil {
			return err
		}
	}
	c.state = want
	return nil
}

// Learn implements wire.Conn. Settings go back with the transaction that set them, and a question might come ahead of
// a SET TRANSACTION: the server is asked by the first call after the transaction, and after the Sync.
func (c *Conn) Learn(names []string) error {
	for _, name := range names {
		if !slices.Contains(c.unlearned, name) {
			c.unlearned = append(c.unlearned, name)
		}
	}
	if len(c.unlearned) == 0 || c.tx != wire.TxIdle || c.unsynced {
		return nil
	}
	names, c.unlearned = c.unlearned, nil
	values, err := c.query(ownSQL(names, c.encoding()), len(names))
	if err != nil {
		return err
	}
	state := c.state
	for i, name := range names {
		name = strings.ToLower(name)
		switch v := values[i]; {
		case facts[name], name == settingReadOnly && c.readOnly:
		case v == nil, name == settingRole && *v == "none", name == settingAuthorization && *v == c.user:
			state = state.Without(name)
		default:
			state = state.With(name, *v)
		}
	}
	c.setState(state)
	return nil
}

// Restart implements wire.HoldingConn.
func (c *Conn) Restart(values []wire.Var, client wire.Client) error {
	q := settings{encoding: c.encoding()}
	state := c.state
	for i := range values {
		if v := &values[i]; v.Name != settingReadOnly || !c.readOnly {
			q.set(v.Name, &v.Value)
			state = state.With(v.Name, v.Value)
		}
	}
	if q.sql() == "" {
		return nil
	}
	if _, err := c.query(q.sql(), 0); err != nil {
		return err
	}
	c.setState(state)
	for _, v := range values { // the server's report of the RESET told others
		for _, p := range c.greeting.Params {
			if strings.EqualFold(p.Name, v.Name) {
				client.(*Client).out.Write(appendParameterStatus(nil, p.Name, v.Value))
			}
		}
	}
	return nil
}

// Ping implements wire.Conn. The transaction state is known without asking.
func (c *Conn) Ping() error {
	if c.broken != nil {
		return c.broken
	}
	return nil
}

// Reset implements wire.Conn.
func (c *Conn) Reset(deadline time.Time) error {
	if c.broken != nil {
		return c.broken
	}
	if err := c.nc.SetDeadline(deadline); err != nil {
		return err
	}
	defer c.nc.SetDeadline(time.Time{})
	if c.unsynced {
		c.out.message(reqSync, nil)
		if _, err := c.readQuery(0); err != nil {
			return err
		}
	}
	if c.tx != wire.TxIdle {
		if _, err := c.query("ROLLBACK", 0); err != nil {
			return err
		}
	}
	if _, err := c.query(resetSQL, 0); err != nil {
		return err
	}
	c.forgetStatements()
	c.state, c.unlearned = wire.NewState(c.state.Database()), nil
	return nil
}

// Exec implements wire.Conn.
func (c *Conn) Exec(sql string) error {
	_, err := c.query(sql, 0)
	return err
}

// query runs a statement of Leat's own and returns the columns of its first row, if that many are asked for.
func (c *Conn) query(sql string, columns int) ([]*string, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	c.out.Write(appendQuery(nil, sql))
	return c.readQuery(columns)
}

// readQuery sends what is queued and reads replies up to ReadyForQuery. A *wire.ServerError leaves the conn good.
func (c *Conn) readQuery(columns int) (row []*string, err error) {
	row, refused, err := c.readReply(columns)
	switch {
	case err != nil:
		c.broken = err
		return nil, err
	case refused != nil:
		return nil, refused
	case len(row) < columns:
		return nil, malformed("reply of Leat's own query")
	}
	return row, nil
}

func (c *Conn) readReply(columns int) (row []*string, refused *wire.ServerError, err error) {
	c.stmts.unnamed, c.described = nil, 0
	if err := c.in.Ask(&c.out.Writer); err != nil {
		return nil, nil, err
	}
	for {
		kind, p, err := c.in.frame(maxHeld)
		if err != nil {
			return nil, nil, cutOff(err)
		}
		switch {
		case kind == repError:
			refused = parseError(p)
			if isFatal(refused) {
				return nil, nil, closedBy(refused)
			}
		case kind == repDataRow && row == nil && columns > 0:
			row, err = parseRow(p)
		case kind == repRowDescription, kind == repNoData:
			c.described = formOf(kind, p)
		case kind == repReadyForQuery:
			c.tx, err = parseReady(p)
			c.unsynced = false
		}
		c.in.discard(p)
		if err != nil || kind == repReadyForQuery {
			return row, refused, err
		}
	}
}

// closedBy is the error of a conn that the server has closed. It is no refusal: the conn is gone.
func closedBy(e *wire.ServerError) error { return fmt.Errorf("the server closed the conn: %v", e) }

// parseRow copies the values of a row of texts; nil is NULL.
func parseRow(p []byte) ([]*string, error) {
	r := fieldReader{p: p}
	row := make([]*string, r.uint16())
	for i := range row {
		if n := int32(r.uint32()); n >= 0 {
			v := string(r.take(int(n)))
			row[i] = &v
		}
	}
	if !r.done() {
		return nil, malformed("row")
	}
	return row, nil
}

// cutOff turns the end of a stream inside a reply into the error that it is.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
