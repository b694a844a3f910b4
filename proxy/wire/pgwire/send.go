package pgwire

// send.go: a request on its way to a server. A Run is put together from the client's own messages: statements get the
// names that they have on the conn, and a Parse in front where the conn doesn't have them yet.

import (
	"encoding/binary"

	"leat/proxy/wire"
	"leat/proxy/wire/stream"
)

// describeStatement is the kind of expect for a Describe of a statement, as reqDescribe is for that of a portal.
const describeStatement = 't'

// expect is an answer that is expected, of the server or of Leat in its place.
type expect struct {
	kind byte // the type of the message that is answered
	// step is the message of the client's Run that is answered; -1 if it is one of Leat's own.
	step int
	// entry is the conn's statement that is prepared, closed or used.
	entry *serverStmt
	// stmt is the client's statement that a Parse leaves on the conn without a name, or that a Describe tells the form of.
	stmt *stmt
	// hidden is set when the client isn't told, given when nothing was sent and Leat answers.
	hidden, given bool
	// err is the error that takes the place of the server's, which is certain to come.
	err *wire.ServerError
}

// sender puts one request together.
type sender struct {
	conn   *Conn
	expect []expect
	steps  []step // of the Run
	// unnamed is the statement without a name that the conn will have when it comes to the next message.
	unnamed *stmt
	sent    bool // something was written
	// answered is set once the server may have much to say, and after is what was written since, in bytes.
	answered bool
	after    int
	// batch is what can't be written before the server's answers are read.
	batch    []byte
	poisoned bool
	head     [headerSize]byte
}

// keptExpects is how many expectations a conn keeps room for between requests.
const keptExpects = 128

func (s *sender) reset(c *Conn) {
	if cap(s.expect) > keptExpects {
		s.expect = nil
	}
	clear(s.expect)
	*s = sender{conn: c, expect: s.expect[:0], unnamed: c.stmts.unnamed}
}

// put writes bytes of the request. Where the server may wait for its answers to be read before it reads on, they
// are kept for a goroutine of their own.
func (s *sender) put(p []byte) {
	s.sent = true
	if s.answered {
		s.after += len(p)
	}
	if s.after > stream.BufferSize {
		s.batch = append(s.batch, p...)
		return
	}
	s.conn.out.Write(p)
}

func (s *sender) await(e expect) { s.expect = append(s.expect, e) }

// message writes a message that names a statement.
func (s *sender) message(kind byte, name []byte, payload ...string) {
	n := len(name)
	for _, p := range payload {
		n += len(p)
	}
	s.put(appendHeader(s.head[:0], kind, n))
	s.put(name)
	for _, p := range payload {
		s.put([]byte(p))
	}
}

// close writes the Closes of statements that are not in use any more.
func (s *sender) close() {
	for _, e := range s.conn.stmts.closing {
		s.closeOne(e)
	}
	s.conn.stmts.closing = nil
}

func (s *sender) closeOne(e *serverStmt) {
	s.put(appendHeader(s.head[:0], reqClose, len(e.name)+2))
	s.put([]byte{targetStatement})
	s.put(e.name)
	s.put([]byte{0})
	s.await(expect{kind: reqClose, step: -1, entry: e, hidden: true})
}

// simple sends a simple query or a function call.
func (s *sender) simple(req *wire.Request) {
	kind := req.Frames[0]
	if kind == reqQuery {
		s.conn.stmts.unnamed = nil
	}
	s.put(req.Frames)
	s.await(expect{kind: kind, step: -1})
}

// run sends a Run. Its end is written by end.
func (s *sender) run(frames []byte, run *run) {
	s.steps = run.steps
	for i := range run.steps {
		st := &run.steps[i]
		m := frames[st.at : st.at+st.size]
		switch {
		case st.kind == reqSync:
			s.sync(i, m)
		case st.kind == reqFlush && !st.malformed, s.poisoned:
		case st.err != nil:
			if st.err.SQLState == stateNameTaken {
				s.judge(st, m)
			}
			s.poison(i, st.kind, st.err)
		case st.refused != nil:
			s.poison(i, st.kind, st.refused)
		default:
			s.step(i, st, m)
		}
	}
}

func (s *sender) step(i int, st *step, m []byte) {
	switch {
	case st.malformed:
	case st.kind == reqParse:
		s.parse(i, st, m)
		return
	case st.kind == reqBind:
		s.use(i, st, m, reqBind)
		return
	case st.kind == reqDescribe:
		s.answered = true
		if st.target == targetStatement {
			s.use(i, st, m, describeStatement)
			return
		}
	case st.kind == reqExecute:
		s.answered = true
	case st.kind == reqClose:
		if st.target == targetStatement && (st.prev != nil || st.nameEnd == st.name || isOwn(m[st.name:st.nameEnd])) {
			s.await(expect{kind: reqClose, step: i, given: true})
			return
		}
	}
	s.put(m)
	s.await(expect{kind: st.kind, step: i})
}

// isOwn reports whether a statement's name is one that Leat gives: a client's name is never sent to a server then.
func isOwn(name []byte) bool {
	return len(name) >= len(ownPrefix) && string(name[:len(ownPrefix)]) == ownPrefix
}

// parse sends a Parse. A statement that the conn has under Leat's name is not sent, unless the server may have
// something to say of it: it is described, so that the server looks at it again.
func (s *sender) parse(i int, st *step, m []byte) {
	c := s.conn
	c.parsedNow(st.stmt)
	if st.stmt.name == "" {
		s.unnamed, c.stmts.unnamed = st.stmt, nil
		s.put(m)
		s.await(expect{kind: reqParse, step: i, stmt: st.stmt})
		return
	}
	if e := c.lookup(st.stmt); c.isCurrent(e) {
		s.describe(i, st.stmt, e)
		s.await(expect{kind: reqParse, step: i, entry: e, given: true})
		return
	}
	e := s.make(st.stmt)
	s.renamed(m, st, e.name)
	s.await(expect{kind: reqParse, step: i, entry: e})
	if next := i + 1; next == len(s.steps) || s.steps[next].kind != reqDescribe || s.steps[next].stmt != st.stmt {
		s.describe(i, st.stmt, e)
	}
}

// describe asks for the form of a statement's rows. The client isn't told.
func (s *sender) describe(i int, st *stmt, e *serverStmt) {
	s.answered = true
	s.message(reqDescribe, []byte{targetStatement}, string(e.name), "\x00")
	s.await(expect{kind: describeStatement, step: i, entry: e, stmt: st, hidden: true})
}

// make makes an entry for a statement that is about to be prepared, and closes what there is no room for.
func (s *sender) make(st *stmt) *serverStmt {
	e := s.conn.add(st)
	for old := s.conn.evicted(); old != nil; old = s.conn.evicted() {
		s.closeOne(old)
	}
	return e
}

// use sends a Bind or a Describe of a statement.
func (s *sender) use(i int, st *step, m []byte, kind byte) {
	switch {
	case st.stmt == nil: // prepared by SQL, or not at all
		s.put(m)
		s.await(expect{kind: kind, step: i})
	case st.stmt.name != "" || st.stmt.parsed != nil && !st.stmt.Long && st.stmt.meaning != s.conn.meaning():
		e := st.entry
		if e == nil || e.gone {
			e = s.conn.lookup(st.stmt)
		}
		if e == nil {
			s.conn.parsedNow(st.stmt)
			e = s.make(st.stmt)
			s.prepare(st.stmt, e.name)
			s.await(expect{kind: reqParse, step: -1, entry: e, hidden: true})
		}
		s.renamed(m, st, e.name)
		x := expect{kind: kind, step: i, entry: e}
		if kind == describeStatement {
			x.stmt = st.stmt
		}
		s.await(x)
	case s.unnamed != st.stmt && st.stmt.Long: // it was on another conn
		s.poison(i, st.kind, errNoUnnamed)
	default:
		if s.unnamed != st.stmt {
			s.unnamed, s.conn.stmts.unnamed = st.stmt, nil
			s.prepare(st.stmt, nil)
			s.await(expect{kind: reqParse, step: -1, stmt: st.stmt, hidden: true})
		}
		s.put(m)
		s.await(expect{kind: kind, step: i, stmt: st.stmt})
	}
}

// prepare sends a Parse of a statement that the conn lacks.
func (s *sender) prepare(st *stmt, name []byte) {
	s.message(reqParse, name, "\x00", st.Text, "\x00", st.types)
}

// renamed sends a message with another statement's name in it.
func (s *sender) renamed(m []byte, st *step, name []byte) {
	n := int(binary.BigEndian.Uint32(m[1:])) - lengthSize + len(name) - (st.nameEnd - st.name)
	s.put(appendHeader(s.head[:0], m[0], n))
	s.put(m[headerSize:st.name])
	s.put(name)
	s.put(m[st.nameEnd:])
}

var errAborted = &wire.ServerError{
	SQLState: "25P02", Message: "current transaction is aborted, commands ignored until end of transaction block",
}

// poison makes the Run fail on the server, which leaves its transaction and what follows as they have to be. The
// error that the client gets is err.
func (s *sender) poison(i int, kind byte, err *wire.ServerError) {
	if s.conn.tx == wire.TxFailed && kind == reqParse {
		err = errAborted
	}
	s.poisoned = true
	s.message(reqDescribe, []byte{targetStatement}, noStatement, "\x00")
	s.await(expect{kind: describeStatement, step: i, err: err})
}

// judge lets the server look at a Parse that is to fail for its name: what is wrong with the statement comes first.
func (s *sender) judge(st *step, m []byte) {
	s.unnamed, s.conn.stmts.unnamed = nil, nil
	s.renamed(m, st, nil)
	s.await(expect{kind: reqParse, step: -1, hidden: true})
}

// sync sends the Sync that ends a Run, unless nothing was sent before it.
func (s *sender) sync(i int, m []byte) {
	given := !s.sent && !s.conn.unsynced && len(m) == headerSize
	if !given {
		s.put(m)
	}
	s.await(expect{kind: reqSync, step: i, given: given})
}

// end ends a Run that doesn't end in a Sync. One that made nothing that has to last is ended by a Sync that the client
// doesn't know of: its conn is free then.
func (s *sender) end(run *run) {
	switch {
	case !s.sent || run.synced():
	case run.keeps || s.conn.unsynced:
		s.conn.unsynced = true
		s.put(appendHeader(s.head[:0], reqFlush, 0))
	default:
		s.put(appendHeader(s.head[:0], reqSync, 0))
		s.await(expect{kind: reqSync, step: -1, hidden: true})
	}
}

// synced reports whether a Run ends in a Sync.
func (r *run) synced() bool { return len(r.steps) > 0 && r.steps[len(r.steps)-1].kind == reqSync }
