package proxy

// last.go: what SQL can ask about the statement before: LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS(), warnings.
// The conn that knows may have gone back to its pool; what can be carried over is kept here.

import (
	"strconv"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
)

// lastStatement is what is known of a session's last statement.
type lastStatement struct {
	ticket          backend.Ticket // of the conn it ran on, as long as nobody else uses it
	insertID        string         // decimal, or unknownID
	insertIDPending bool           // only the conn that is held knows
	insertIDSet     bool           // while pending: a statement set it beyond doubt
	reported        uint64         // while pending: the last id that a reply told, generated or given
	rowCount        int64
	foundRows       uint64
	warnings        uint16
	failed          bool
}

// unknownID is the last insert id of a session whose conn was lost before it was asked.
const unknownID = ""

// note keeps what a reply tells.
func (l *lastStatement) note(plan *router.Plan, out *wire.Outcome) {
	if plan.Needs&router.Diagnostics == 0 {
		l.warnings, l.failed = out.Warnings, out.Err != nil
	}
	switch {
	case out.Err != nil:
		l.rowCount = -1
	case out.HasRows:
		l.rowCount, l.foundRows = -1, out.Rows
	default:
		l.rowCount = int64(out.Affected)
	}
	if out.InsertID != 0 || plan.SetsInsertID && out.Err == nil {
		l.insertIDPending, l.reported = true, out.InsertID
		l.insertIDSet = l.insertIDSet || plan.SetsInsertID
	}
}

// missed says whether a statement may run although the conn that knows its answer is in other hands.
func (l *lastStatement) missed(plan *router.Plan) error {
	needs := plan.Needs & lastValues
	bare := len(plan.Bare) > 0
	if needs&router.Diagnostics != 0 && (l.warnings > 0 || l.failed) {
		return wire.Errorf(wire.CodeNotSupported, "The warnings of the last statement are gone, since its connection has served something else: ask for them inside a transaction")
	}
	if needs&(router.RowCount|router.FoundRows) != 0 && !bare {
		return wire.Errorf(wire.CodeNotSupported, "ROW_COUNT() and FOUND_ROWS() inside an expression need the connection of the last statement, which serves another client: select them alone, or inside a transaction")
	}
	return nil
}

// override gives the values of a statement that asks for nothing else, or an empty list of warnings. On the
// session's own conn only its id is replaced: the server knows the rest.
func (l *lastStatement) override(plan *router.Plan, id uint32, own bool) *wire.Override {
	if plan.Needs&router.Diagnostics != 0 {
		if own || l.warnings > 0 || l.failed {
			return nil
		}
		return &wire.Override{NoRows: true} // MariaDB would show what another session left
	}
	o := &wire.Override{Columns: make([][]byte, len(plan.Bare))}
	used := false
	for i, v := range plan.Bare {
		switch {
		case v == router.ConnectionID:
			o.Columns[i] = strconv.AppendUint(nil, uint64(id), 10)
		case own && !l.failed: // an error was followed by a question of Leat's own
		case v == router.RowCount:
			o.Columns[i] = strconv.AppendInt(nil, l.rowCount, 10)
		case v == router.FoundRows:
			o.Columns[i] = strconv.AppendUint(nil, l.foundRows, 10)
		}
		used = used || o.Columns[i] != nil
	}
	if !used {
		return nil
	}
	return o
}

// supply puts into the conn what the statement reads of the one before.
func (s *session) supply(t *try) error {
	if t.plan.Needs&router.LastInsertID == 0 {
		return nil
	}
	if s.last.insertIDPending {
		if s.last.insertIDSet || t.conn.KnownInsertID() == s.last.insertID {
			return nil // the conn has what the session would have on a conn of its own
		}
		if err := s.learnInsertID(t.conn); err != nil {
			return err
		}
	}
	if s.last.insertID == unknownID {
		return wire.Errorf(wire.CodeNotSupported, "LAST_INSERT_ID() is not known any more: the connection that had it was lost")
	}
	return t.conn.SetLastInsertID(s.last.insertID)
}

// learnInsertID asks the conn for LAST_INSERT_ID(). A reply tells an id that the client gave itself as well as one
// that was generated, and only the latter is the function's: if it still has the value that another session left
// on the conn, this session's is what it was.
func (s *session) learnInsertID(conn *backend.Conn) error {
	before := conn.KnownInsertID()
	v, err := conn.LastInsertID()
	l := &s.last
	switch {
	case err != nil:
		l.insertID = unknownID
	case l.insertIDSet || v != before || v == strconv.FormatUint(l.reported, 10):
		l.insertID = v
	}
	l.insertIDPending, l.insertIDSet = false, false
	return err
}
