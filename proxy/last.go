package proxy

// last.go: what SQL can ask about the statement before: LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS(), warnings.
// The conn that knows may have gone back to its pool; what can be carried over is kept here.

import (
	"strconv"
	"strings"

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
	spoiled         bool           // a question of Leat's own came behind it: the conn's counts are that one's
	foundHere       bool           // the conn has run the last query
	strange         bool           // the conn's counts are another session's
	rowCount        int64
	foundRows       uint64
	warnings        uint16
	kept            [][]string // the warnings, once a question of Leat's own took their place on the conn
	failed          bool
}

// maxKept bounds the warnings that are kept.
const maxKept = 64

// unknownID is the last insert id of a session whose conn was lost before it was asked.
const unknownID = ""

// note keeps what a reply tells.
func (l *lastStatement) note(plan *router.Plan, out *wire.Outcome) {
	if plan.Needs&router.Diagnostics == 0 {
		l.warnings, l.failed, l.kept = out.Warnings, out.Err != nil, nil
	}
	switch {
	case out.Err != nil:
		l.rowCount = -1
	case out.HasRows:
		l.rowCount, l.foundRows, l.foundHere, l.strange = -1, out.Rows, true, false
	default:
		l.rowCount = int64(out.Affected)
	}
	sets := plan.SetsInsertID && out.Err == nil || plan.Opaque && plan.Pin != ""
	if out.InsertID != 0 || sets {
		l.insertIDPending, l.reported = true, out.InsertID
		l.insertIDSet = l.insertIDSet || sets
	}
}

// countNone is what a command does that Leat answers itself and that changes no rows.
func (l *lastStatement) countNone() { l.rowCount, l.spoiled = 0, true }

// missed says whether a statement may run although the conn that knows its answer is in other hands.
func (l *lastStatement) missed(plan *router.Plan) error {
	needs := plan.Needs & lastValues
	if needs&router.Diagnostics != 0 && (l.warnings > 0 || l.failed) && l.tell(plan) == nil {
		return wire.Errorf(wire.CodeNotSupported, "The warnings of the last statement are gone, since its connection has served something else: ask for them inside a transaction")
	}
	return nil
}

// mayCount says why a statement can't have the counts of the one before from a conn; same is whether that is
// the conn that the one before ran on. Selected alone they need no conn.
func (l *lastStatement) mayCount(plan *router.Plan, same bool) error {
	if plan.Needs&(router.RowCount|router.FoundRows) == 0 || len(plan.Bare) > 0 || l.knows(plan.Needs, same) {
		return nil
	}
	return wire.Errorf(wire.CodeNotSupported, "ROW_COUNT() and FOUND_ROWS() inside an expression need the connection of the last statement, which has served something else: select them alone")
}

// knows reports whether a conn has the counts of the session's last statement.
func (l *lastStatement) knows(v router.Value, same bool) bool {
	return same && !l.spoiled && (v&router.FoundRows == 0 || l.foundHere)
}

// override gives the values of a statement that asks for nothing else, or an empty list of warnings. On the
// session's own conn only its id is replaced: the server knows the rest.
func (l *lastStatement) override(plan *router.Plan, id uint32, own bool) *wire.Override {
	if plan.Needs&router.Diagnostics != 0 {
		if own || l.warnings > 0 || l.failed {
			return l.tell(plan)
		}
		return &wire.Override{NoRows: true} // MariaDB would show what another session left
	}
	o := &wire.Override{Columns: make([][]byte, len(plan.Bare))}
	used := false
	for i, v := range plan.Bare {
		switch {
		case v == router.ConnectionID:
			o.Columns[i] = strconv.AppendUint(nil, uint64(id), 10)
		case l.knows(v, own):
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

// tell answers the plain questions after warnings that were kept; nil if there are none, or for any other.
func (l *lastStatement) tell(plan *router.Plan) *wire.Override {
	if l.kept == nil {
		return nil
	}
	switch strings.ToUpper(plan.Text) {
	case "SHOW WARNINGS":
		return &wire.Override{NoRows: true, Rows: l.kept}
	case "SHOW COUNT(*) WARNINGS", "SELECT @@WARNING_COUNT":
		return &wire.Override{Columns: [][]byte{strconv.AppendInt(nil, int64(len(l.kept)), 10)}}
	}
	return nil
}

// keep fetches the warnings from the conn, where they are about to be lost.
func (l *lastStatement) keep(conn *backend.Conn) (err error) {
	if l.warnings <= maxKept {
		l.kept, err = conn.Warnings()
	}
	return err
}

// isOpaque reports whether a statement may read what its text doesn't show.
func (s *session) isOpaque(plan *router.Plan) bool { return s.commands != nil && plan.Opaque }

// supply puts into the conn what the statement reads of the one before, or may read where nobody sees it: what
// another session left there it must never find.
func (s *session) supply(t *try) error {
	opaque := s.isOpaque(t.plan)
	if opaque && t.plan.Pin != "" && s.last.strange && !s.last.knows(router.RowCount, t.same) {
		if err := t.conn.ClearCounts(); err != nil {
			return err
		}
		s.last.strange, s.last.spoiled = false, true
	}
	if t.plan.Needs&router.LastInsertID == 0 && !opaque {
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
	id := s.last.insertID
	switch {
	case id != unknownID:
	case t.plan.Needs&router.LastInsertID != 0:
		return wire.Errorf(wire.CodeNotSupported, "LAST_INSERT_ID() is not known any more: the connection that had it was lost")
	default:
		id = "0" // as on the new connection that its client would have
	}
	if t.conn.HasInsertID(id) {
		return nil
	}
	s.last.spoiled = true
	return t.conn.SetLastInsertID(id)
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
