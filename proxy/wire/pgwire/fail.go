package pgwire

// fail.go: a reply that ends in an error: who is told, and what it means for the rest of the request.

import (
	"bytes"

	"leat/proxy/wire"
)

// fail takes the server's error: it is held back when nothing was passed on that can't be taken back, else passed on.
// What is still expected up to the next Sync doesn't come.
func (r *relay) fail() error {
	_, p, err := r.conn.in.frame(maxHeld)
	if err != nil {
		return err
	}
	e := parseError(p)
	r.conn.in.discard(p)
	if isFatal(e) {
		r.tell(e)
		r.conn.broken = closedBy(e)
		r.next = len(r.conn.sender.expect)
		r.failed = true
		return nil
	}
	if r.failed {
		return malformed("a second error")
	}
	x := *r.current()
	if x.err != nil {
		e = x.err
	}
	if x.entry != nil {
		e = r.heal(&x, e)
	}
	r.tell(e)
	r.failed = true
	if r.feed != nil && x.kind == reqExecute {
		r.endFeed()
		return r.copyFailed()
	}
	r.endFeed()
	if x.kind == reqQuery || x.kind == reqFunctionCall || x.kind == reqSync {
		return nil // ReadyForQuery follows
	}
	return r.toSync()
}

// tell passes an error on, or holds it back.
func (r *relay) tell(e *wire.ServerError) {
	r.out.Err = e
	r.out.HasRows = false
	before := r.to.out.Since(r.mark)
	if !r.firm && r.to.out.Rewind(r.mark) {
		r.to.held = append(r.to.held[:0], before...)
		r.out.Replied, r.held = false, true
		return
	}
	r.to.out.Write(appendServerError(nil, e))
	r.replied()
}

// toSync goes on to the answer of the Run's Sync. A Run without one gets a Sync of Leat's own, and the client skips
// what it has sent behind the error.
func (r *relay) toSync() error {
	s := &r.conn.sender
	for i := r.next; i < len(s.expect); i++ {
		x := &s.expect[i]
		if x.kind == reqSync && !x.given {
			r.next = i
			if x.hidden {
				r.skipRest()
			}
			return nil
		}
		r.conn.undo(x)
	}
	r.skipRest()
	if err := r.join(nil); err != nil {
		return err
	}
	s.await(expect{kind: reqSync, step: -1, hidden: true})
	r.next = len(s.expect) - 1
	r.conn.out.message(reqSync, nil)
	return r.conn.out.Flush()
}

// skipRest makes the client skip to its next Sync, which it gets its answer of then. Where the error was held back,
// whoever sends it does so.
func (r *relay) skipRest() {
	if !r.held {
		r.to.skipping = true
	}
}

// undo takes back what was noted of a message that the server has skipped.
func (c *Conn) undo(x *expect) {
	switch {
	case x.entry == nil || x.given:
	case x.kind == reqParse:
		c.forget(x.entry)
	case x.kind == reqClose:
		c.stmts.closing = append(c.stmts.closing, x.entry)
	}
}

const (
	// stateNoStatement is the SQLSTATE of a statement that the server doesn't have.
	stateNoStatement = "26000"
	// stateNameTaken is the SQLSTATE of a Parse whose name is that of another statement.
	stateNameTaken = "42P05"
	// stateNotSupported is the SQLSTATE of a statement whose columns have changed, among others.
	stateNotSupported = "0A000"
	// fieldRoutine is the field of an error that names the function in the server's source.
	fieldRoutine = 'R'
	// routineChanged is where the server finds that a statement's columns have changed.
	routineChanged = "RevalidateCachedQuery"
)

// heal makes a conn right again on which a statement is missing, or has become useless. It returns the error for the
// client, who knows nothing of Leat's names.
func (r *relay) heal(x *expect, e *wire.ServerError) *wire.ServerError {
	if x.kind == reqParse {
		return e
	}
	mine := quoted(x.entry.name)
	switch {
	case e.SQLState == stateNoStatement && bytes.Contains(e.Fields, mine):
		r.conn.forget(x.entry)
		r.again = r.alone
	case e.SQLState == stateNotSupported && field(e, fieldRoutine) == routineChanged:
		r.conn.retire(x.entry)
		r.again = r.alone && r.parsed(x)
	}
	if bytes.Contains(e.Fields, mine) {
		e = parseError(bytes.ReplaceAll(e.Fields, mine, quoted(r.clientName(x))))
	}
	return e
}

func quoted(name []byte) []byte { return append(append([]byte{'"'}, name...), '"') }

// clientName is the name that the client has given to the statement that an answer is about.
func (r *relay) clientName(x *expect) []byte {
	if x.step < 0 || r.to.run.steps[x.step].stmt == nil {
		return nil
	}
	return []byte(r.to.run.steps[x.step].stmt.name)
}

// parsed reports whether the client has just prepared the statement that it uses, so that it can't know an old form.
func (r *relay) parsed(x *expect) bool {
	if x.hidden {
		return true
	}
	for i := range r.next {
		if p := &r.conn.sender.expect[i]; p.kind == reqParse && p.given && p.entry == x.entry {
			return true
		}
	}
	return false
}

// isFatal reports whether the server closes the conn behind an error.
func isFatal(e *wire.ServerError) bool {
	switch field(e, fieldSeverityRaw) {
	case severityFatal, "PANIC":
		return true
	}
	return false
}

// field is one of the fields of a server's error; empty if it has none such.
func field(e *wire.ServerError, kind byte) string {
	for r := (fieldReader{p: e.Fields}); len(r.p) > 0; {
		k := r.uint8()
		if k == 0 {
			break
		}
		if v := r.nul(); k == kind {
			return string(v)
		}
	}
	return ""
}
