package mysqlwire

// stmt.go: prepared statements. A client's statement lives in the client; a server's lives on one conn,
// shared by every client that prepared the same text in the same state. EXECUTE meets the two.

import (
	"encoding/binary"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"leat/proxy/wire"
)

// stmt is what the codec keeps of a client's prepared statement.
type stmt struct {
	id              uint32
	key             stmtKey
	meaning         *wire.State // what of the session's state fixes the text's meaning
	params, columns int
	types           []byte // two bytes per parameter, as last bound; nil until then
	long            []longData
	longBytes       int
	longTooBig      bool
}

// longData is one piece of a parameter that came ahead of EXECUTE.
type longData struct {
	param uint16
	data  []byte
}

func (s *stmt) dropLong() { s.long, s.longBytes, s.longTooBig = nil, 0, false }

// stmtKey is a statement's identity on a server: its text, and the state that fixes what it means.
type stmtKey struct{ text, state string }

// meaningVariables are the variables that change how a text is read when it is prepared.
var meaningVariables = [...]string{"character_set_client", "collation_connection", "sql_mode"}

// identify fixes a statement's identity when it is prepared in a session's state.
func (s *stmt) identify(text string, state *wire.State) {
	s.meaning = wire.NewState(state.Database())
	for _, name := range meaningVariables {
		if v, ok := state.Get(name); ok {
			s.meaning = s.meaning.With(name, v)
		}
	}
	s.key = stmtKey{text, s.meaning.Key()}
}

// under is a conn's state with the meaning of a statement put in.
func (s *stmt) under(state *wire.State) *wire.State {
	if db := s.meaning.Database(); db != "" {
		state = state.WithDatabase(db)
	}
	for _, name := range meaningVariables {
		if v, ok := s.meaning.Get(name); ok {
			state = state.With(name, v)
		} else {
			state = state.Without(name)
		}
	}
	return state
}

// serverStmts are the statements prepared on one conn, the least used of which are closed.
type serverStmts struct {
	lru *simplelru.LRU[stmtKey, uint32]
}

// maxServerStmts bounds the statements that one conn keeps prepared.
const maxServerStmts = 200

func (c *Conn) statements() *simplelru.LRU[stmtKey, uint32] {
	if c.stmts.lru == nil {
		// The size is positive, the only thing that NewLRU checks.
		c.stmts.lru, _ = simplelru.NewLRU(maxServerStmts, func(_ stmtKey, id uint32) { c.closeServerStmt(id) })
	}
	return c.stmts.lru
}

// closeServerStmt queues a COM_STMT_CLOSE, which has no reply; it goes out ahead of the next command.
func (c *Conn) closeServerStmt(id uint32) {
	var p [headerSize + 5]byte
	b := append(putHeader(p[:0], 5, 0), ComStmtClose)
	c.out.write(binary.LittleEndian.AppendUint32(b, id))
}

// prepared returns the server's id of a statement, preparing it on this conn if need be.
func (c *Conn) prepared(s *stmt) (uint32, error) {
	if id, ok := c.statements().Get(s.key); ok {
		return id, nil
	}
	now := c.state
	if err := c.Adopt(s.under(now)); err != nil {
		return 0, err
	}
	id, err := c.prepareText(s.key.text)
	if e, ok := err.(*wire.ServerError); ok && e.Number == errTooManyStatements && c.stmts.lru.Len() > 0 {
		c.stmts.lru.Purge()
		id, err = c.prepareText(s.key.text)
	}
	if err == nil {
		c.stmts.lru.Add(s.key, id)
	}
	if e := c.Adopt(now); e != nil {
		return 0, e
	}
	return id, err
}

// errTooManyStatements: max_prepared_stmt_count is reached.
const errTooManyStatements = 1461

// keep makes a statement that a client's own prepare left on the conn the one to use.
func (c *Conn) keep(s *stmt, id uint32) {
	lru := c.statements()
	if old, ok := lru.Peek(s.key); ok {
		c.closeServerStmt(old)
	}
	lru.Add(s.key, id)
}

// prepareText prepares a text and drops the description of its parameters and columns.
func (c *Conn) prepareText(text string) (uint32, error) {
	c.command(ComStmtPrepare, text)
	if err := c.out.flush(); err != nil {
		return 0, err
	}
	p, err := c.in.frame(c.limit)
	if err != nil {
		return 0, cutOff(err)
	}
	if len(p) > 0 && p[0] == markErr {
		e := ParseErr(p)
		c.in.discard(headerSize + len(p))
		return 0, e
	}
	a, err := parsePrepareOK(p)
	if err != nil {
		return 0, err
	}
	c.in.discard(headerSize + len(p))
	for range a.params + a.columns {
		p, err := c.in.frame(c.limit)
		if err != nil {
			return 0, cutOff(err)
		}
		c.in.discard(headerSize + len(p))
	}
	return a.id, nil
}

var errLongData = &wire.ServerError{
	Number: 1105, SQLState: "HY000",
	Message: "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes",
}

// CloseStatement implements wire.Conn.
func (c *Conn) CloseStatement(s *wire.Statement) error {
	c.statements().Remove(s.Wire.(*stmt).key)
	return c.out.flush()
}

// executeHead is where the parts of a COM_STMT_EXECUTE stand in its payload.
const (
	executeFlags = 5
	executeFixed = 10
)

// writeExecute sends the long data and the EXECUTE of a client's statement under the server's id. Types that
// the client bound in an earlier EXECUTE are put in, since another client may have used the conn's
// statement with others.
func (c *Conn) writeExecute(req *wire.Request, s *stmt, id uint32) error {
	if s.longTooBig {
		s.dropLong()
		return errLongData
	}
	for _, l := range s.long {
		p := make([]byte, 0, 7+len(l.data))
		p = binary.LittleEndian.AppendUint32(append(p, ComStmtSendLongData), id)
		p = binary.LittleEndian.AppendUint16(p, l.param)
		c.out.packet(append(p, l.data...), 0)
	}
	frame := req.Frames
	if len(frame) < headerSize+executeFixed {
		c.out.write(frame)
		return nil
	}
	putUint32(frame[headerSize+1:], id)
	bound := headerSize + executeFixed + (s.params+7)/8
	if s.params == 0 || len(frame) <= bound {
		c.out.write(frame)
		return nil
	}
	types := 2 * s.params
	if frame[bound] != 0 {
		if len(frame) >= bound+1+types {
			s.types = append(s.types[:0], frame[bound+1:bound+1+types]...)
		}
		c.out.write(frame)
		return nil
	}
	if s.types == nil {
		return &wire.ServerError{Number: 1210, SQLState: "HY000", Message: "Incorrect arguments to mysqld_stmt_execute"}
	}
	n, _ := frameLength(frame)
	if n+types >= maxFrame {
		return wire.Errorf(wire.CodeNotSupported, "an EXECUTE of 16 MB or more must carry its parameters' types: bind them again")
	}
	var h [headerSize]byte
	c.out.write(putHeader(h[:0], n+types, frame[3]))
	c.out.write(frame[headerSize:bound])
	c.out.write([]byte{1})
	c.out.write(s.types)
	c.out.write(frame[bound+1:])
	return nil
}

func frameLength(frame []byte) (n int, seq byte) {
	return int(frame[0]) | int(frame[1])<<8 | int(frame[2])<<16, frame[3]
}
