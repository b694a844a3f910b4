package pgwire

// client_run.go: the messages of a Run, and what each names. A Run is taken apart once, when it is read, so that the
// router sees its statements; it is put together for a server in send.go.

import (
	"bytes"
	"encoding/binary"

	"leat/proxy/wire"
)

// run is a Run taken apart.
type run struct {
	steps    []step
	stmts    []*wire.Statement
	executes bool
	// keeps is whether a portal is made or asked for, which lasts no longer than up to the next Sync.
	keeps bool
	// done is how many steps have been answered with success.
	done int
}

// step is one message of a Run.
type step struct {
	kind   byte
	target byte // of a Describe or Close
	// at is where the message begins in the request's frames, size how long it is there, header included.
	at, size int
	// name is where the name of a prepared statement stands in the message, nameEnd where it ends.
	name, nameEnd int
	// stmt is the statement that is named: of a Parse the new one, nil where there is none of that name.
	stmt *stmt
	// entry is what the conn that serves the Run has of stmt, and refused is why it can't be used there.
	entry   *serverStmt
	refused *wire.ServerError
	// prev is the statement that had the name before a Parse or a Close.
	prev *stmt
	// err is why the message is to fail; nil where that is the server's to say.
	err *wire.ServerError
	// malformed is set where the message breaks the protocol: the server says how, before it does anything.
	malformed bool
}

// keptSteps is how many steps a client keeps room for between Runs.
const keptSteps = 64

func (r *run) reset() {
	if cap(r.steps) > keptSteps {
		r.steps, r.stmts = nil, nil
	}
	clear(r.steps)
	clear(r.stmts)
	*r = run{steps: r.steps[:0], stmts: r.stmts[:0]}
}

// The errors of messages that PostgreSQL refuses itself, in its words.
var (
	errNoUnnamed = &wire.ServerError{SQLState: "26000", Message: "unnamed prepared statement does not exist"}
)

func errNoStatement(name []byte) *wire.ServerError {
	return &wire.ServerError{SQLState: "26000", Message: `prepared statement "` + string(name) + `" does not exist`}
}

// step adds a message of a Run. A long one is there only in part, and is the first.
func (c *Client) step(kind byte, message []byte, at int, long bool) {
	s := step{kind: kind, at: at, size: len(message)}
	p := fieldReader{p: message[headerSize:]}
	switch kind {
	case reqParse:
		c.stepParse(&s, &p, message, long)
		c.run.keeps = c.run.keeps || long
	case reqBind:
		portal := p.nul()
		c.stepNamed(&s, &p, message)
		c.stmts.bind(portal, s.stmt)
		c.run.keeps = true
	case reqDescribe, reqClose:
		s.target = p.uint8()
		switch {
		case s.target == targetPortal:
			c.run.keeps = true
		case s.target != targetStatement:
			s.malformed = true
		case kind == reqDescribe:
			c.stepNamed(&s, &p, message)
		default:
			c.stepClose(&s, &p, message)
		}
	case reqExecute:
		c.run.executes, c.run.keeps = true, true
		if bound := c.stmts.bound(p.nul()); bound != nil {
			c.run.route(bound)
		}
	case reqSync, reqFlush:
		s.malformed = len(p.p) > 0
	}
	c.run.steps = append(c.run.steps, s)
}

// named finds the name of a statement in a message.
func (s *step) named(p *fieldReader, message []byte) []byte {
	s.name = len(message) - len(p.p)
	name := p.nul()
	s.nameEnd = s.name + len(name)
	s.malformed = p.bad || s.kind != reqBind && s.kind != reqParse && len(p.p) > 0
	return name
}

// stepNamed is a Bind or a Describe: of a statement that is there.
func (c *Client) stepNamed(s *step, p *fieldReader, message []byte) {
	name := s.named(p, message)
	if s.malformed {
		return
	}
	s.stmt = c.stmts.find(name)
	switch {
	case s.stmt != nil:
		c.run.route(s.stmt)
	case len(name) == 0:
		s.err = errNoUnnamed
	case bytes.HasPrefix(name, []byte(ownPrefix)):
		s.err = errNoStatement(name)
	}
}

// stepParse is a Parse: it makes a statement.
func (c *Client) stepParse(s *step, p *fieldReader, message []byte, long bool) {
	name := s.named(p, message)
	if long && !s.malformed {
		c.stepLongParse(s, name)
		return
	}
	text := p.nul()
	types := p.p
	if p.bad || len(types) < 2 || len(types) != 2+4*int(binary.BigEndian.Uint16(types)) {
		s.malformed = true
		return
	}
	old := c.stmts.find(name)
	switch {
	case old != nil && len(name) > 0:
		s.err = &wire.ServerError{SQLState: stateNameTaken, Message: `prepared statement "` + string(name) + `" already exists`}
		return
	case old != nil && old.is(text, types):
		s.stmt = old
	default:
		s.stmt = newStmt(name, text, types)
	}
	s.prev = old
	if !c.stmts.put(s.stmt, old) {
		s.stmt, s.err = nil, errTooManyStatements
		return
	}
	c.run.route(s.stmt)
}

// stepLongParse is a Parse whose text isn't held. Only the conn that it is sent to has it.
func (c *Client) stepLongParse(s *step, name []byte) {
	if len(name) > 0 {
		s.err = errLongStatement
		return
	}
	s.prev = c.stmts.unnamed
	s.stmt = newStmt(nil, nil, noTypes)
	s.stmt.Long = true
	c.stmts.unnamed = s.stmt
	c.run.route(s.stmt)
}

// stepClose is a Close of a statement. One that isn't there is no error.
func (c *Client) stepClose(s *step, p *fieldReader, message []byte) {
	name := s.named(p, message)
	if s.malformed {
		return
	}
	if s.prev = c.stmts.find(name); s.prev != nil {
		c.stmts.remove(s.prev)
	}
}

// route adds a statement to those that decide where the Run goes.
func (r *run) route(s *stmt) {
	if n := len(r.stmts); n == 0 || r.stmts[n-1] != &s.Statement {
		r.stmts = append(r.stmts, &s.Statement)
	}
}

// settle takes back what messages did to the client's statements that were not answered with success.
func (c *Client) settle() {
	steps := c.run.steps
	for i := len(steps) - 1; i >= c.run.done; i-- {
		s := &steps[i]
		switch {
		case s.kind == reqParse && s.stmt != nil:
			c.stmts.replace(s.stmt, s.prev)
		case s.kind == reqClose && s.prev != nil:
			c.stmts.put(s.prev, nil)
		}
	}
	if c.run.done < len(steps) && c.run.failedUnnamed() {
		c.stmts.unnamed = nil // a Parse drops the unnamed statement before it looks at the new one
	}
	c.run.reset()
}

// failedUnnamed reports whether the step that failed was a Parse of the unnamed statement.
func (r *run) failedUnnamed() bool {
	s := &r.steps[r.done]
	return s.kind == reqParse && s.stmt != nil && s.stmt.name == ""
}
