package pgwire

// stmt.go: the prepared statements of one conn. They have names of Leat's own and are shared by every client that
// prepared the same text in the same state.

import (
	"math"
	"strconv"
	"strings"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"leat/proxy/wire"
)

// ownPrefix begins the names that Leat gives to statements on servers.
const ownPrefix = "leat_"

// noStatement is the name of a statement that there never is: asking for it makes a Run fail.
const noStatement = ownPrefix + "none"

const (
	// maxServerStmts bounds the statements that one conn keeps prepared.
	maxServerStmts = 200
	// maxServerStmtBytes bounds the texts of them, in bytes.
	maxServerStmtBytes = 4 << 20
)

// stmtKey is a statement's identity on a server: its text, the types of its parameters, and what of the session's
// state its meaning depends on.
type stmtKey struct{ text, types, meaning string }

// serverStmt is a statement on one conn.
type serverStmt struct {
	name []byte
	key  stmtKey
	born uint64 // the exchange that it was prepared in
	form uint64 // of its rows
	gone bool   // it is not to be used any more
}

// serverStmts are the statements prepared on one conn.
type serverStmts struct {
	lru   *simplelru.LRU[stmtKey, *serverStmt]
	max   int // how many; 0: maxServerStmts
	bytes int
	next  uint64 // number of the next name
	// created is the last exchange that created something: a temporary table may stand in front of another now.
	created uint64
	// closing are those that are not in use any more, to be closed with the next request.
	closing []*serverStmt
	// unnamed is the statement that a client has left on the conn without a name; nil if it isn't known.
	unnamed *stmt
	// meaning is what statements' meaning depends on in the state meaningOf.
	meaning   string
	meaningOf *wire.State
}

// harmless are the settings that what a statement means doesn't depend on: all others tell statements apart.
var harmless = map[string]bool{
	"application_name": true, "bytea_output": true, "client_min_messages": true, "default_transaction_deferrable": true,
	"default_transaction_isolation": true, settingReadOnly: true, "extra_float_digits": true,
	"idle_in_transaction_session_timeout": true, "idle_session_timeout": true, "jit": true, "lock_timeout": true,
	settingRole: true, settingAuthorization: true, "statement_timeout": true, "synchronous_commit": true,
	"transaction_timeout": true, "work_mem": true,
}

// meaning is what the meaning of statements depends on in the conn's state.
func (c *Conn) meaning() string {
	st := &c.stmts
	if st.meaningOf == c.state {
		return st.meaning
	}
	var b strings.Builder
	for _, v := range c.state.Vars() {
		if !harmless[v.Name] {
			b.WriteString(v.Name + "=" + v.Value + "\x00")
		}
	}
	st.meaningOf = c.state
	if b.String() != st.meaning {
		st.meaning = b.String()
	}
	return st.meaning
}

// setState notes the state that the conn is in. Statements that were prepared in the exchange that changed it may
// have been so before or after: they are not used again.
func (c *Conn) setState(s *wire.State) {
	before := c.meaning()
	c.state = s
	if c.meaning() == before || c.stmts.lru == nil {
		return
	}
	for _, e := range c.stmts.lru.Values() {
		if e.born == c.exchanges {
			c.retire(e)
		}
	}
}

// keyOf is the identity of a client's statement on the conn.
func (c *Conn) keyOf(s *stmt) stmtKey { return stmtKey{s.Text, s.types, s.meaning} }

// parsedNow fixes what a statement means when it is prepared: its text in the conn's state.
func (c *Conn) parsedNow(s *stmt) { s.parsed, s.meaning = c.state, c.meaning() }

// lookup returns the conn's statement for a client's, nil if there is none.
func (c *Conn) lookup(s *stmt) *serverStmt {
	if c.stmts.lru == nil {
		return nil
	}
	e, _ := c.stmts.lru.Get(c.keyOf(s))
	return e
}

// isCurrent reports whether a statement means what it would if it were prepared now.
func (c *Conn) isCurrent(e *serverStmt) bool {
	return e != nil && c.tx != wire.TxFailed && (c.stmts.created == 0 || e.born > c.stmts.created)
}

// add makes a statement for a client's: it is about to be prepared. Those least used that there is no room for any
// more are returned by evicted, to be closed.
func (c *Conn) add(s *stmt) *serverStmt {
	st := &c.stmts
	if st.lru == nil {
		// The size is positive, the only thing that NewLRU checks. It never evicts: see evicted.
		st.lru, _ = simplelru.NewLRU[stmtKey, *serverStmt](math.MaxInt, nil)
	}
	e := &serverStmt{name: strconv.AppendUint([]byte(ownPrefix), st.next, 10), key: c.keyOf(s), born: c.exchanges}
	st.next++
	if old, ok := st.lru.Peek(e.key); ok {
		c.retire(old)
	}
	st.lru.Add(e.key, e)
	st.bytes += len(e.key.text)
	return e
}

// evicted takes out the least used statement if there are too many; nil if there aren't.
func (c *Conn) evicted() *serverStmt {
	st := &c.stmts
	limit := st.max
	if limit == 0 {
		limit = maxServerStmts
	}
	if st.lru.Len() <= limit && (st.bytes <= maxServerStmtBytes || st.lru.Len() == 1) {
		return nil
	}
	_, e, _ := st.lru.GetOldest()
	c.forget(e)
	return e
}

// forget takes a statement out of those that may be used.
func (c *Conn) forget(e *serverStmt) {
	e.gone = true
	if c.stmts.lru == nil {
		return
	}
	if now, ok := c.stmts.lru.Peek(e.key); ok && now == e {
		c.stmts.lru.Remove(e.key)
		c.stmts.bytes -= len(e.key.text)
	}
}

// retire takes a statement out of use, and closes it with the next request.
func (c *Conn) retire(e *serverStmt) {
	c.forget(e)
	c.stmts.closing = append(c.stmts.closing, e)
}

// forgetStatements forgets all statements: the server has none any more.
func (c *Conn) forgetStatements() { c.stmts = serverStmts{max: c.stmts.max, next: c.stmts.next} }
