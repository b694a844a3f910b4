package pgwire

// form.go: the form of a statement's rows. A driver reads rows by what it was told of their columns when it prepared
// the statement, and PostgreSQL refuses to run one whose columns have changed since. The conns of a pool have prepared
// it at different times, so Leat remembers which form each client's statement had.

import (
	"hash/maphash"

	"leat/proxy/wire"
)

// formNone is the form of a statement without rows; 0 is one that isn't known.
const formNone = 1

var formSeed = maphash.MakeSeed()

// errChanged is PostgreSQL's error for a statement whose columns have changed. Drivers know it by the routine that it
// comes from (asyncpg, pgjdbc), and then prepare again by themselves.
var errChanged = parseError([]byte("SERROR\x00VERROR\x00C" + stateNotSupported + "\x00Mcached plan must not change result type\x00" +
	"Fplancache.c\x00R" + routineChanged + "\x00\x00"))

// formOf is the form that a RowDescription or NoData tells: the names, types and modifiers of the columns, whatever
// table they are of. It is 0 for one that breaks the protocol.
func formOf(kind byte, p []byte) uint64 {
	if kind == repNoData {
		return formNone
	}
	var h maphash.Hash
	h.SetSeed(formSeed)
	r := fieldReader{p: p}
	for range r.uint16() {
		h.Write(r.nul())
		h.WriteByte(0)
		r.take(6) // the table and the column in it
		h.Write(r.take(4))
		r.take(2) // the size, which is the type's
		h.Write(r.take(4))
		r.take(2) // the format
	}
	if !r.done() {
		return 0
	}
	return max(h.Sum64(), formNone+1)
}

// learnForm notes the form that the answer to a Describe of a statement tells.
func (r *relay) learnForm(x *expect, kind byte, n int) error {
	if x.entry.form == 0 && n <= maxHeld {
		_, p, err := r.conn.in.frame(maxHeld)
		if err != nil {
			return err
		}
		x.entry.form = formOf(kind, p)
	}
	if x.stmt != nil {
		x.stmt.form = x.entry.form
	}
	return nil
}

// bring prepares those of a Run's statements that the conn lacks, and those whose rows have another form on it than
// when the client prepared them: nothing is to run before it is known that they have the client's.
func (c *Conn) bring(run *run) error {
	for i := range run.steps { // of another conn, which the Run was sent to before
		run.steps[i].entry, run.steps[i].refused = nil, nil
	}
	for i := range run.steps {
		if c.tx == wire.TxFailed || c.unsynced {
			return nil
		}
		st := &run.steps[i]
		if !c.mayBring(st) || run.prepares(i) {
			continue
		}
		st.entry = c.lookup(st.stmt)
		if e := st.entry; e != nil && (e.form == st.stmt.form || e.form == 0 || st.stmt.form == 0) {
			continue
		}
		if err := c.bringOne(st); err != nil {
			return err
		}
	}
	return nil
}

// mayBring reports whether a message uses a statement that is kept on conns by a name of Leat's.
func (c *Conn) mayBring(st *step) bool {
	if st.kind != reqBind && st.kind != reqDescribe || st.stmt == nil || st.malformed || st.err != nil || st.stmt.Long {
		return false
	}
	return st.stmt.name != "" || c.isStrange(st.stmt)
}

// isStrange reports whether a statement was prepared in a state of another meaning than the conn's.
func (c *Conn) isStrange(s *stmt) bool { return s.parsed != nil && s.meaning != c.meaning() }

// prepares reports whether the statement that a message uses is prepared by the Run itself.
func (r *run) prepares(i int) bool {
	for k := range i {
		if p := &r.steps[k]; p.kind == reqParse && p.stmt == r.steps[i].stmt {
			return true
		}
	}
	return false
}

// bringOne prepares one statement, in the state that it was prepared in; inside a transaction the conn's state is left
// alone. That the server refuses to is found out again, and told, when the Run does so.
func (c *Conn) bringOne(st *step) error {
	s, now := st.stmt, c.state
	elsewhere := c.isStrange(s) && c.tx == wire.TxIdle
	if elsewhere {
		if err := c.Adopt(under(s.parsed, now)); err != nil {
			return notRefused(err)
		}
	} else {
		c.parsedNow(s)
	}
	e := c.add(s)
	b := &c.sender
	b.reset(c)
	b.prepare(s, e.name)
	b.message(reqDescribe, []byte{targetStatement}, string(e.name), "\x00")
	b.put(appendHeader(nil, reqSync, 0))
	for old := c.evicted(); old != nil; old = c.evicted() {
		c.stmts.closing = append(c.stmts.closing, old)
	}
	_, err := c.readQuery(0)
	switch refused, ok := err.(*wire.ServerError); {
	case ok:
		c.forget(e)
		if c.tx == wire.TxFailed {
			st.refused = refused
		}
	case err != nil:
		return err
	default:
		st.entry, e.form = e, c.described
		if s.form != 0 && e.form != 0 && s.form != e.form {
			st.refused = errChanged
		}
	}
	if elsewhere {
		return c.Adopt(now)
	}
	return nil
}

// notRefused drops an error that is a refusal.
func notRefused(err error) error {
	if _, ok := err.(*wire.ServerError); ok {
		return nil
	}
	return err
}

// under is the state parsed, with what no statement's meaning depends on taken from the state now.
func under(parsed, now *wire.State) *wire.State {
	for name := range harmless {
		if v, ok := now.Get(name); ok {
			parsed = parsed.With(name, v)
		} else {
			parsed = parsed.Without(name)
		}
	}
	return parsed
}
