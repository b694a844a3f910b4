package mysqlwire

// stmt.go: prepared statements. A client's statement lives in the client; a server's lives on one conn,
// shared by every client that prepared the same text in the same state. EXECUTE meets the two.

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"leat/proxy/wire"
)

// stmt is what the codec keeps of a client's prepared statement.
type stmt struct {
	id              uint32
	key             stmtKey
	meaning         *wire.State // what of the session's state fixes the text's meaning
	params, columns int
	long            []longData
	longBytes       int // see pieceOverhead
	longTooBig      bool
	longAstray      bool // for a parameter that isn't there: EXECUTE fails until a reset
}

// longData is one piece of a parameter that came ahead of EXECUTE.
type longData struct {
	param uint16
	data  []byte
}

// stmtKey is a statement's identity on a server: its text, the state that fixes what it means, and the types
// of its parameters, two bytes each as last bound. MySQL infers more types from those of the first EXECUTE,
// and keeps to them: statements that differ in it can't be shared.
type stmtKey struct{ text, state, types string }

// Types of a statement that has none bound, and of one whose types weren't in memory.
const (
	unbound      = ""
	unknownTypes = "?"
)

// harmless are the variables that what a statement means doesn't depend on. Any other may be fixed when it is
// prepared, and tells statements apart: MySQL fixes sql_mode, collation_connection, div_precision_increment,
// group_concat_max_len, default_week_format and others so.
var harmless = map[string]bool{
	"autocommit": true, "character_set_results": true, "foreign_key_checks": true, "unique_checks": true,
	"innodb_lock_wait_timeout": true, "lock_wait_timeout": true, "max_execution_time": true, "max_statement_time": true,
	"interactive_timeout": true, "net_read_timeout": true, "net_write_timeout": true, "wait_timeout": true,
	"transaction_isolation": true, "transaction_read_only": true, "tx_isolation": true, "tx_read_only": true,
}

// identify fixes a statement's identity when it is prepared in a session's state.
func (s *stmt) identify(text string, state *wire.State) {
	s.meaning = wire.NewState(state.Database())
	for _, v := range state.Vars() {
		if !harmless[v.Name] {
			s.meaning = s.meaning.With(v.Name, v.Value)
		}
	}
	s.key = stmtKey{text, s.meaning.Key(), unbound}
}

// under is a conn's state with the meaning of a statement put in.
func (s *stmt) under(now *wire.State) *wire.State {
	state := s.meaning
	if state.Database() == "" {
		state = state.WithDatabase(now.Database())
	}
	for _, v := range now.Vars() {
		if harmless[v.Name] {
			state = state.With(v.Name, v.Value)
		}
	}
	return state
}

// serverStmts are the statements prepared on one conn.
type serverStmts struct {
	// lru are those that any client may run, the least used of which are closed.
	lru   *simplelru.LRU[stmtKey, uint32]
	bytes int // of the texts in it
	// own are those with a cursor: each is one client statement's alone, as long as the cursor is open.
	own map[*stmt]ownStmt
}

// ownStmt is a statement that was taken out of those that any client may run: its id, and what it was there.
type ownStmt struct {
	id  uint32
	key stmtKey
}

const (
	// maxServerStmts bounds the statements that one conn keeps prepared.
	maxServerStmts = 200
	// maxServerStmtBytes bounds the texts of them, in bytes.
	maxServerStmtBytes = 4 << 20
)

func (c *Conn) statements() *simplelru.LRU[stmtKey, uint32] {
	if c.stmts.lru == nil {
		// The size is positive, the only thing that NewLRU checks.
		c.stmts.lru, _ = simplelru.NewLRU(maxServerStmts, func(key stmtKey, id uint32) {
			c.stmts.bytes -= key.size()
			c.closeServerStmt(id)
		})
	}
	return c.stmts.lru
}

// size is what a statement is counted with, in bytes.
func (k *stmtKey) size() int { return len(k.text) + len(k.types) }

// share adds a statement to those that any client may run. The least used that there is no room for any more are
// closed.
func (c *Conn) share(key stmtKey, id uint32) {
	lru := c.statements()
	if !lru.Contains(key) {
		c.stmts.bytes += key.size()
	}
	lru.Add(key, id)
	for c.stmts.bytes > maxServerStmtBytes && lru.Len() > 1 {
		lru.RemoveOldest()
	}
}

// closeServerStmt queues a COM_STMT_CLOSE, which has no reply; it goes out ahead of the next command.
func (c *Conn) closeServerStmt(id uint32) {
	if id == 0 { // renamed
		return
	}
	var p [headerSize + 5]byte
	b := append(putHeader(p[:0], 5, 0), ComStmtClose)
	c.out.Write(binary.LittleEndian.AppendUint32(b, id))
}

// takeOut removes a statement from those that any client may run, without closing it.
func (c *Conn) takeOut(key stmtKey) {
	c.statements().Add(key, 0)
	c.statements().Remove(key)
}

// serverID returns the server's id of the statement that a request is for. An EXECUTE with a cursor makes it its
// client's own: another EXECUTE of it would close the cursor.
func (c *Conn) serverID(req *wire.Request, s *stmt) (uint32, error) {
	if o, ok := c.stmts.own[s]; ok {
		return o.id, nil
	}
	id, err := c.prepared(s)
	if err != nil || req.Kind != wire.Execute || !req.Cursor {
		return id, err
	}
	c.takeOut(s.key)
	if c.stmts.own == nil {
		c.stmts.own = make(map[*stmt]ownStmt)
	}
	c.stmts.own[s] = ownStmt{id, s.key}
	return id, nil
}

// disown ends a statement's being its client's own: it is anybody's again if it is as good as before, else closed.
func (c *Conn) disown(s *stmt, good bool) {
	o, ok := c.stmts.own[s]
	if !ok {
		return
	}
	delete(c.stmts.own, s)
	if good && o.key == s.key && s.key.types != unknownTypes && !c.statements().Contains(o.key) {
		c.share(o.key, o.id)
		return
	}
	c.closeServerStmt(o.id)
}

// prepared returns the server's id of a statement, preparing it on this conn if need be.
func (c *Conn) prepared(s *stmt) (uint32, error) {
	lru := c.statements()
	if id, ok := lru.Get(s.key); ok {
		return id, nil
	}
	fresh := stmtKey{s.key.text, s.key.state, unbound}
	if id, ok := lru.Peek(fresh); ok {
		c.takeOut(fresh)
		c.share(s.key, id)
		return id, nil
	}
	now := c.state
	err := c.Adopt(s.under(now))
	var id uint32
	if err == nil {
		id, err = c.prepareText(s.key.text)
		if e, ok := err.(*wire.ServerError); ok && e.Condition() == wire.TooManyStatements && lru.Len() > 0 {
			lru.Purge()
			id, err = c.prepareText(s.key.text)
		}
	}
	if err == nil {
		c.share(s.key, id)
	}
	if e := c.Adopt(now); e != nil { // also a refusal: the conn isn't in its session's state any more
		return 0, fmt.Errorf("a conn can't be put back into its session's state: %v", e)
	}
	return id, err
}

// Errors of servers about statements.
const (
	errNoStatement  = 1243 // not prepared on this conn
	errPrepareAgain = 1615 // what the statement names has changed too often
)

// prepareAgain reports whether a request is to be sent again, since it was refused for a statement that can be prepared
// anew, or for want of room that the conn's other statements take, and nothing of it was executed. The body of a
// procedure may end in the same errors after it has done something: only the EXECUTE's own words, or a statement that
// may run twice, are proof.
func (c *Conn) prepareAgain(req *wire.Request, s *stmt, opts *wire.Options) bool {
	out := &c.result
	if out.Err == nil || out.Replied || req.Long() || s == nil {
		return false
	}
	switch {
	case req.Kind == wire.Prepare && out.Err.Condition() == wire.TooManyStatements && c.statements().Len() > 0:
		c.statements().Purge()
		return true
	case req.Kind == wire.Execute && (out.Err.Number == errPrepareAgain || out.Err.Number == errNoStatement):
		unknown := out.Err.Number == errNoStatement && isUnknown(out.Err, binary.LittleEndian.Uint32(req.Frames[headerSize+1:]))
		c.forget(s)
		return unknown || opts.Retriable
	}
	return false
}

// isUnknown reports whether an error says that the server doesn't know the statement that it was to execute. That of
// an EXECUTE in SQL ends in other words.
func isUnknown(e *wire.ServerError, id uint32) bool {
	return strings.HasPrefix(e.Message, fmt.Sprintf("Unknown prepared statement handler (%d) given to mysql", id))
}

// forget closes the statement that a client's runs on.
func (c *Conn) forget(s *stmt) {
	if _, ok := c.stmts.own[s]; ok {
		c.disown(s, false)
		return
	}
	c.statements().Remove(s.key)
}

// settle keeps what a reply means for a statement. One that failed may have long data left on the server.
func (c *Conn) settle(req *wire.Request, s *stmt) {
	out := &c.result
	_, own := c.stmts.own[s]
	open := out.CursorOpen && out.Err == nil
	switch {
	case req.Kind == wire.Prepare:
		if out.Err == nil {
			out.Prepared = req.Stmt
		}
	case own && !open:
		c.disown(s, out.Err == nil)
	case own:
	case req.Kind == wire.Execute && (out.Err != nil && len(s.long) > 0 || s.key.types == unknownTypes):
		c.statements().Remove(s.key)
	}
}

// keep makes a statement that a client's own prepare left on the conn the one to use.
func (c *Conn) keep(s *stmt, id uint32) {
	lru := c.statements()
	if old, ok := lru.Peek(s.key); ok {
		c.closeServerStmt(old)
	}
	c.share(s.key, id)
}

// prepareText prepares a text and drops the description of its parameters and columns.
func (c *Conn) prepareText(text string) (uint32, error) {
	c.command(ComStmtPrepare, text)
	if err := c.out.Flush(); err != nil {
		return 0, err
	}
	p, err := c.in.frame(c.limit)
	if err != nil {
		return 0, cutOff(err)
	}
	if len(p) > 0 && p[0] == markErr {
		e := ParseErr(p)
		c.in.Discard(headerSize + len(p))
		return 0, e
	}
	a, err := parsePrepareOK(p)
	if err != nil {
		return 0, err
	}
	c.in.Discard(headerSize + len(p))
	for range a.params + a.columns {
		p, err := c.in.frame(c.limit)
		if err != nil {
			return 0, cutOff(err)
		}
		c.in.Discard(headerSize + len(p))
	}
	return a.id, nil
}

var errLongData = &wire.ServerError{
	Number: 1105, SQLState: "HY000",
	Message: "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes",
}

// CloseStatement implements wire.Conn.
func (c *Conn) CloseStatement(s *wire.Statement) error {
	c.disown(s.Wire.(*stmt), false)
	return c.out.Flush()
}

// Where the parts of a COM_STMT_EXECUTE stand in its payload.
const (
	executeFlags = 5
	executeFixed = 10
)

// bind notes the types that an EXECUTE brings. It reports whether it brings any.
func (s *stmt) bind(req *wire.Request) bool {
	frame := req.Frames
	at := headerSize + executeFixed + (s.params+7)/8
	switch {
	case s.params == 0 || !req.Long() && len(frame) <= at: // the server says what is wrong
		return true
	case len(frame) <= at:
		s.key.types = unknownTypes
		return true
	case frame[at] == 0:
		return false
	case len(frame) < at+1+2*s.params:
		if req.Long() {
			s.key.types = unknownTypes
		}
		return true
	}
	if types := frame[at+1 : at+1+2*s.params]; s.key.types != string(types) {
		s.key.types = string(types)
	}
	return true
}

// mayExecute says why a statement can't be executed, before anything is sent.
func (s *stmt) mayExecute(req *wire.Request, f wire.Flavor, bound bool) error {
	n, _ := frameLength(req.Frames)
	function := "mysqld_stmt_execute"
	switch {
	case s.longTooBig:
		return errLongData
	case s.longAstray && f == wire.FlavorMySQL:
		function = "mysql_stmt_precheck"
	case s.longAstray:
		function = "mysqld_stmt_send_long_data"
	case bound:
		return nil
	case s.key.types == unknownTypes || s.key.types != unbound && n+len(s.key.types) >= maxFrame:
		return wire.Errorf(wire.CodeNotSupported, "an EXECUTE of 16 MB or more must carry its parameters' types: bind them again")
	case s.key.types != unbound:
		return nil
	}
	return &wire.ServerError{Number: 1210, SQLState: "HY000", Message: "Incorrect arguments to " + function}
}

// writeExecute queues the long data and the EXECUTE of a client's statement under the server's id. Types that
// the client bound in an earlier EXECUTE are put in, since this conn may not have seen that one.
func (c *Conn) writeExecute(req *wire.Request, s *stmt, id uint32, bound bool) {
	for _, l := range s.long {
		p := make([]byte, 0, 7+len(l.data))
		p = binary.LittleEndian.AppendUint32(append(p, ComStmtSendLongData), id)
		p = binary.LittleEndian.AppendUint16(p, l.param)
		c.out.packet(append(p, l.data...), 0)
	}
	frame := req.Frames
	if len(frame) >= headerSize+executeFixed {
		putUint32(frame[headerSize+1:], id)
	}
	if bound {
		c.out.Write(frame)
		return
	}
	at := headerSize + executeFixed + (s.params+7)/8
	n, seq := frameLength(frame)
	var h [headerSize]byte
	c.out.Write(putHeader(h[:0], n+len(s.key.types), seq))
	c.out.Write(frame[headerSize:at])
	c.out.Write([]byte{1})
	c.out.Write([]byte(s.key.types))
	c.out.Write(frame[at+1:])
}

func frameLength(frame []byte) (n int, seq byte) {
	return int(frame[0]) | int(frame[1])<<8 | int(frame[2])<<16, frame[3]
}
