package mysqlwire

// conn.go: one logged-in connection to a MySQL or MariaDB server.

import (
	"errors"
	"fmt"
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
	id       uint64
	greeting wire.Greeting
	flavor   wire.Flavor
	readOnly bool // opened for a replica: writes fail
	limit    int  // longest packet that is held as a whole

	state  *wire.State // by the server's trackers
	base   *wire.State // state after init
	status uint16      // flags of the last OK
	tx     wire.TxState
	nextTx bool // characteristics wait for the next transaction
	locked bool // LOCK TABLES holds

	idle     time.Duration // wait_timeout of a new session
	insertID string        // LAST_INSERT_ID() as last asked for or set
	idStale  bool          // a statement failed since, and may have generated one
	identity []string      // user and role of a new session, see identitySQL

	collationUnknown bool // SET NAMES was reported, which leaves the collation out

	batch  bool // multi-statements are accepted
	stmts  serverStmts
	relay  relay // reused by each request, as is its outcome
	result wire.Outcome
}

var _ wire.CommandConn = (*Conn)(nil)

// maxHeld bounds a server's packet that is held as a whole: definitions, errors, OKs.
const maxHeld = 1 << 20

// ID implements wire.Conn.
func (c *Conn) ID() wire.ConnID { return wire.ConnID{ID: c.id} }

// Greeting implements wire.Conn.
func (c *Conn) Greeting() wire.Greeting { return c.greeting }

// State implements wire.Conn.
func (c *Conn) State() *wire.State { return c.state }

// Tx implements wire.Conn.
func (c *Conn) Tx() wire.TxState { return c.tx }

// Idle implements wire.Conn.
func (c *Conn) Idle() bool { return c.in.Quiet() }

// IdleTimeout implements wire.Conn.
func (c *Conn) IdleTimeout() time.Duration {
	if v, ok := c.state.Get("wait_timeout"); ok {
		return seconds(v)
	}
	return c.idle
}

// SetDeadline implements wire.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }

// Close implements wire.Conn.
func (c *Conn) Close() error {
	c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	c.command(ComQuit, "")
	c.out.Flush()
	return c.nc.Close()
}

// command queues a command with its argument.
func (c *Conn) command(com byte, arg string) {
	p := make([]byte, 0, 1+len(arg))
	c.out.packet(append(append(p, com), arg...), 0)
}

// note keeps what an OK packet says of the conn.
func (c *Conn) note(ok *okPacket) {
	c.status = ok.status
	c.tx = txState(ok.status)
}

// exec runs a statement of Leat's own that returns no rows.
func (c *Conn) exec(sql string) error {
	c.command(ComQuery, sql)
	return c.simple()
}

// Exec implements wire.Conn.
func (c *Conn) Exec(sql string) error { return c.exec(sql) }

// simple flushes a command and reads its reply, an OK or an error.
func (c *Conn) simple() error {
	if err := c.out.Flush(); err != nil {
		return err
	}
	return c.readOK()
}

func (c *Conn) readOK() error {
	p, err := c.in.frame(c.limit)
	if err != nil {
		return cutOff(err)
	}
	defer c.in.Discard(headerSize + len(p))
	switch {
	case len(p) == 0:
		return malformed("empty reply")
	case p[0] == markErr:
		return ParseErr(p)
	case p[0] != markOK && p[0] != markEOF:
		return malformed("reply of a statement without rows")
	}
	ok, err := parseOK(p)
	if err != nil {
		return err
	}
	c.note(&ok)
	var out wire.Outcome
	return c.observe(ok.track, &out)
}

// query runs a statement of Leat's own and returns its rows as texts; NULL is empty.
func (c *Conn) query(sql string) ([][]string, error) {
	c.command(ComQuery, sql)
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	return c.readRows()
}

const maxQueryRows = 10_000

func (c *Conn) readRows() (rows [][]string, err error) {
	p, err := c.take()
	if err != nil {
		return nil, err
	}
	if p[0] == markErr {
		return nil, ParseErr(p)
	}
	columns, _, ok := readLenencInt(p)
	if !ok {
		return nil, malformed("column count")
	}
	for range columns {
		if _, err := c.take(); err != nil {
			return nil, err
		}
	}
	for {
		p, err := c.take()
		if err != nil {
			return nil, err
		}
		if p[0] == markErr {
			return nil, ParseErr(p)
		}
		if p[0] == markEOF {
			ok, err := parseOK(p)
			if err != nil {
				return nil, err
			}
			c.note(&ok)
			return rows, nil
		}
		row := make([]string, columns)
		for i := range row {
			if len(p) > 0 && p[0] == lenencNull {
				p = p[1:]
				continue
			}
			s, n, ok := readLenencString(p)
			if !ok {
				return nil, malformed("row")
			}
			row[i], p = string(s), p[n:]
		}
		if rows = append(rows, row); len(rows) > maxQueryRows {
			return nil, fmt.Errorf("%w: more than %d rows", wire.ErrTooLarge, maxQueryRows)
		}
	}
}

// take reads the next packet and returns a copy of it, which is never empty.
func (c *Conn) take() ([]byte, error) {
	p, err := c.in.frame(c.limit)
	if err != nil {
		return nil, cutOff(err)
	}
	if len(p) == 0 {
		return nil, malformed("empty packet")
	}
	p = append([]byte(nil), p...)
	c.in.Discard(headerSize + len(p))
	return p, nil
}

// Adopt puts the conn into a session's state: its database and variables. A *wire.ServerError is the server's
// refusal; the conn is still good then, and in the state that State tells.
func (c *Conn) Adopt(want *wire.State) error {
	if sql := restoreSQL(c.state, want, c.readOnly); sql != "" {
		if err := c.exec(sql); err != nil {
			return err
		}
		c.state, c.collationUnknown = want.WithDatabase(c.state.Database()), false
	}
	if db := want.Database(); db != "" && db != c.state.Database() {
		c.command(ComInitDB, db)
		if err := c.simple(); err != nil {
			return err
		}
	}
	if c.state.Database() != want.Database() {
		return errors.New("a current database can't be taken back from a conn")
	}
	c.state, c.collationUnknown = want, false
	return nil
}

// Reset implements wire.Conn.
func (c *Conn) Reset(deadline time.Time) error {
	if err := c.nc.SetDeadline(deadline); err != nil {
		return err
	}
	defer c.nc.SetDeadline(time.Time{})
	c.stmts = serverStmts{}
	c.command(ComResetConnection, "")
	c.command(ComQuery, initSQL(c.flavor, c.readOnly, c.base))
	replies := 2
	if db := c.state.Database(); db != "" { // it forgets the database's charset
		c.command(ComInitDB, db)
		replies++
	}
	c.command(ComQuery, c.identitySQL())
	if err := c.out.Flush(); err != nil {
		return err
	}
	for range replies {
		if err := c.readOK(); err != nil {
			return err
		}
	}
	rows, err := c.readRows()
	if err != nil {
		return err
	}
	if len(rows) != 1 || !slices.Equal(rows[0], c.identity) {
		return errors.New("a conn keeps the role that its session took")
	}
	c.state, c.collationUnknown = c.base.WithDatabase(c.state.Database()), false
	c.tx, c.nextTx, c.locked, c.insertID, c.idStale = wire.TxIdle, false, false, "0", false
	return nil
}

// identitySQL asks for what a conn may do by the user and role that it has, which no reset takes back.
func (c *Conn) identitySQL() string {
	if strings.HasPrefix(c.greeting.Version, "5.") && c.flavor == wire.FlavorMySQL {
		return "SELECT CURRENT_USER()" // it has no roles
	}
	return "SELECT CURRENT_USER(), CURRENT_ROLE()"
}

// Ping asks for the transaction state, which an error reply doesn't tell.
func (c *Conn) Ping() error {
	c.command(ComPing, "")
	return c.simple()
}

// Warnings implements wire.Conn.
func (c *Conn) Warnings() ([][]string, error) { return c.query("SHOW WARNINGS") }

// LastInsertID asks what LAST_INSERT_ID() is on this conn.
func (c *Conn) LastInsertID() (string, error) {
	rows, err := c.query("SELECT LAST_INSERT_ID()")
	if err != nil || len(rows) != 1 {
		return "", err
	}
	c.insertID, c.idStale = rows[0][0], false
	return c.insertID, nil
}

// KnownInsertID implements wire.Conn.
func (c *Conn) KnownInsertID() string { return c.insertID }

// HasInsertID implements wire.CommandConn.
func (c *Conn) HasInsertID(v string) bool { return c.insertID == v && !c.idStale }

// ClearCounts implements wire.CommandConn.
func (c *Conn) ClearCounts() error {
	_, err := c.query("SELECT 1 LIMIT 0")
	return err
}

// SetLastInsertID makes LAST_INSERT_ID() return a value, decimal, on this conn.
func (c *Conn) SetLastInsertID(v string) error {
	if strings.Trim(v, "0123456789") != "" {
		return malformed("insert id")
	}
	c.insertID, c.idStale = v, false
	return c.exec("SET last_insert_id=" + v)
}

// TakeTrackers implements wire.Conn. The server has judged and understood the values: they are read from it.
func (c *Conn) TakeTrackers(client wire.Client, names []string) error {
	var set []wire.Var
	for _, t := range trackersOf(c.flavor) {
		if slices.Contains(names, t.Name) {
			set = append(set, t)
		}
	}
	if len(set) == 0 {
		return nil // one that Leat has no use for, and doesn't know
	}
	values, err := c.variables("SESSION", set)
	if err != nil {
		return err
	}
	for i, t := range set {
		client.(*Client).SetTracker(t.Name, values[i])
	}
	return c.exec(trackSQL(set))
}

// variables asks for the values of variables in a scope.
func (c *Conn) variables(scope string, vars []wire.Var) ([]string, error) {
	var list []string
	for _, v := range vars {
		list = append(list, "@@"+scope+"."+v.Name)
	}
	rows, err := c.query("SELECT " + strings.Join(list, ", "))
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, malformed("values of variables")
	}
	return rows[0], nil
}

// SetBatch switches multi-statements on or off.
func (c *Conn) SetBatch(on bool) error {
	if c.batch == on {
		return nil
	}
	option := byte(1) // MYSQL_OPTION_MULTI_STATEMENTS_OFF
	if on {
		option = 0
	}
	c.out.packet([]byte{ComSetOption, option, 0}, 0)
	if err := c.simple(); err != nil {
		return err
	}
	c.batch = on
	return nil
}

// Do sends a request and passes its reply on to the client. The conn must be in the session's state
// (Adopt). When the error is not nil the conn is not usable any more, except for a *wire.ServerError or
// *wire.Error, which nothing was sent for.
func (c *Conn) Do(req *wire.Request, client wire.Client, opts *wire.Options) (wire.Outcome, error) {
	to := client.(*Client)
	before := to.out.Total()
	s, err := c.exchange(req, to, opts)
	if err == nil && c.prepareAgain(req, s, opts) {
		s, err = c.exchange(req, to, opts)
	}
	out := &c.result
	out.Bytes = to.out.Total() - before
	out.Tx, out.NextTx, out.Locked = c.tx, c.nextTx, c.locked
	if err == nil && s != nil {
		c.settle(req, s)
	}
	return *out, err
}

// exchange sends a request and passes its reply on. What came of it is in c.result.
func (c *Conn) exchange(req *wire.Request, to *Client, opts *wire.Options) (*stmt, error) {
	c.result = wire.Outcome{}
	s, kind, err := c.send(req, to, opts)
	if err != nil {
		return nil, err
	}
	r := &c.relay
	*r = relay{conn: c, req: req, to: to, out: &c.result, opts: opts, types: r.types}
	err = r.run(kind, s)
	switch {
	case err == nil:
		return s, nil
	case to.out.Err() != nil:
		return s, wire.ErrClientGone
	}
	return s, &wire.SendError{Err: cutOff(err), Sent: true}
}

// shapeOf is how the reply to a request is built.
func shapeOf(req *wire.Request) shape {
	switch req.Kind {
	case wire.Prepare:
		return shapePrepare
	case wire.Fetch:
		return shapeRowsOnly
	case wire.Passthrough:
		switch req.Frames[headerSize] {
		case ComStatistics:
			return shapeOne
		case ComFieldList:
			return shapeRowsOnly
		}
	}
	return shapeQuery
}

// ready prepares the conn for a request: what it sends is not of the request yet. It returns the server's id of the
// statement, and whether an EXECUTE brings its parameters' types.
func (c *Conn) ready(req *wire.Request, s *stmt, opts *wire.Options) (id uint32, bound bool, err error) {
	switch req.Kind {
	case wire.Query:
		if opts.Several {
			err = c.SetBatch(opts.Batch)
		}
	case wire.Execute:
		bound = s.bind(req)
		if err := s.mayExecute(req, c.flavor, bound); err != nil {
			return 0, false, err
		}
		id, err = c.serverID(req, s)
	case wire.Fetch, wire.ResetStmt:
		id, err = c.serverID(req, s)
	case wire.Prepare, wire.Passthrough, wire.UseDatabase:
	default:
		return 0, false, fmt.Errorf("request %d can't be sent to a server", req.Kind)
	}
	if err != nil {
		err = sendError(err, false)
	}
	return id, bound, err
}

// send writes a request to the server and tells how its reply is built.
func (c *Conn) send(req *wire.Request, to *Client, opts *wire.Options) (s *stmt, kind shape, err error) {
	if req.Stmt != nil {
		s = req.Stmt.Wire.(*stmt)
	}
	id, bound, err := c.ready(req, s, opts)
	if err != nil {
		return nil, 0, err
	}
	kind = shapeOf(req)
	mark := c.out.Total()
	switch req.Kind {
	case wire.Execute:
		c.writeExecute(req, s, id, bound)
	case wire.Fetch, wire.ResetStmt:
		putUint32(req.Frames[headerSize+1:], id)
		c.out.Write(req.Frames)
	default:
		c.out.Write(req.Frames)
	}
	if req.Long() {
		err = to.copyRest(req, &c.out)
	}
	if err == nil {
		err = c.in.Ask(&c.out.Writer)
	}
	switch {
	case err == nil:
	case errors.Is(err, wire.ErrClientGone), errors.Is(err, wire.ErrTooLarge):
		return nil, 0, err
	case c.in.Quiet():
		return nil, 0, &wire.SendError{Err: err, Sent: c.out.Sent() > mark}
	}
	return s, kind, nil // a server that stopped listening may have said why
}

// sendError tells a failure to talk from a refusal.
func sendError(err error, sent bool) error {
	var se *wire.ServerError
	if errors.As(err, &se) {
		return se
	}
	return &wire.SendError{Err: err, Sent: sent}
}
