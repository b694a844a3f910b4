package proxy

// tx.go: when a session holds its conn, and when it gives it back.

import (
	"errors"
	"slices"
	"strings"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
)

// mayRelease reports whether a conn carries nothing of its session but what can be restored elsewhere.
func mayRelease(tx wire.TxState, pins []string) bool {
	return tx == wire.TxIdle && len(pins) == 0
}

// settle takes what a reply said into the session, and then keeps the conn or gives it back.
func (s *session) settle(conn *backend.Conn, r *wire.Request, plan *router.Plan, out *wire.Outcome) {
	if err := s.learn(conn, r, plan, out); err != nil {
		s.lose(conn, &wire.SendError{Err: err, Sent: true})
		return
	}
	s.state = conn.State()
	s.settleTx(conn, out)
	if s.tx == wire.TxUnknown {
		s.lose(conn, &wire.SendError{Err: errNoState, Sent: true})
		return
	}
	s.settlePins(r, plan, out)
	s.settlePosition(conn, plan, out)
	if r.Kind != wire.Prepare || out.Err != nil { // preparing leaves what can be asked about
		s.last.note(plan, out)
	}
	s.conn = conn
	if mayRelease(s.tx, s.pins) {
		s.release()
	} else {
		s.last.ticket = backend.Ticket{}
	}
	if s.shownChanged() {
		s.showHeld()
	}
}

// learn asks for what a SET did and its reply didn't tell.
func (s *session) learn(conn *backend.Conn, r *wire.Request, plan *router.Plan, out *wire.Outcome) error {
	if len(plan.Trackers)+len(plan.Untracked) == 0 || r.Kind == wire.Prepare {
		return nil
	}
	if out.Err != nil {
		if plan.Statements > 1 {
			s.pin(router.PinUnknown) // some of them were run
		}
		return nil
	}
	if len(plan.Trackers) > 0 {
		if err := conn.TakeTrackers(s.client, plan.Trackers); err != nil {
			return err
		}
	}
	return conn.Learn(plan.Untracked)
}

var errNoState = errors.New("the server did not tell the transaction's state")

// settleTx learns the transaction state. An error reply doesn't tell it, so a ping asks.
func (s *session) settleTx(conn *backend.Conn, out *wire.Outcome) {
	s.tx = out.Tx
	if s.tx == wire.TxUnknown && conn.Ping() == nil {
		s.tx = conn.Tx()
	}
	if s.tx == wire.TxIdle {
		s.txWrote = false
	}
}

// settlePins adds and removes the reasons to hold the conn.
func (s *session) settlePins(r *wire.Request, plan *router.Plan, out *wire.Outcome) {
	failed := out.Err != nil
	if plan.Unpin != "" && !failed {
		s.unpin(plan.Unpin)
	}
	if plan.Unpin == router.PinLocks && !failed { // UNLOCK TABLES ends both
		s.unpin(router.PinReadLock)
	}
	if plan.Pin != "" && plan.Pin != router.PinNextTx && plan.Pin != router.PinTx && (!failed || mayHalfWork(plan) && !refused(plan, out.Err)) {
		s.pin(plan.Pin)
	}
	if out.StateChanged && plan.Pin == "" && plan.Unpin == "" {
		s.pin(router.PinUnknown)
	}
	if !failed {
		s.setPin(router.PinNextTx, out.NextTx && s.tx == wire.TxIdle)
		if !out.Locked {
			s.unpin(router.PinLocks)
		} else {
			s.pin(router.PinLocks)
		}
	}
	if r.Kind == wire.Execute || r.Kind == wire.Fetch || r.Kind == wire.ResetStmt {
		s.noteCursor(r, out)
	}
}

// refused reports whether the server could not read a statement, and so did nothing of it.
func refused(plan *router.Plan, e *wire.ServerError) bool {
	return plan.Pin == router.PinUnknown && plan.Statements == 1 && e.Number == errSyntax
}

const errSyntax = 1064

// mayHalfWork reports whether a statement that failed may still have changed the session's state.
func mayHalfWork(plan *router.Plan) bool {
	return plan.Statements != 1 || plan.Pin == router.PinCall || plan.Pin == router.PinUnknown || plan.Pin == router.PinUserVars
}

func (s *session) pin(reason string) {
	if !slices.Contains(s.pins, reason) {
		s.pins = append(s.pins, reason)
		s.server.counters.pinned(reason)
	}
}

func (s *session) unpin(reason string) {
	s.pins = slices.DeleteFunc(s.pins, func(p string) bool { return p == reason })
}

func (s *session) setPin(reason string, on bool) {
	if on {
		s.pin(reason)
	} else if len(s.pins) > 0 {
		s.unpin(reason)
	}
}

func (s *session) hasPin(reason string) bool { return slices.Contains(s.pins, reason) }

// settlePosition keeps how far the session has written, so that its reads see it.
func (s *session) settlePosition(conn *backend.Conn, plan *router.Plan, out *wire.Outcome) {
	if out.Position != "" {
		p, err := conn.Server().ParsePosition(out.Position)
		if err == nil {
			s.fresh.position = s.fresh.position.Union(p)
			s.fresh.since = time.Now()
			s.server.backend.Wrote(conn.Server().Shard(), s.fresh.position)
			s.txWrote = false
			return
		}
	}
	if plan.Class != router.ClassWrite && plan.Kind != router.KindCommit || conn.Role() != wire.Primary {
		return
	}
	wrote := s.txWrote || out.Affected > 0 && !out.HasRows
	if !wrote {
		return
	}
	if s.tx != wire.TxIdle {
		s.txWrote = true
		return
	}
	s.fresh.primaryUntil = time.Now().Add(conn.Server().MaxLag())
	s.txWrote = false
}

// release gives the held conn back. What only it knows is asked for first.
func (s *session) release() {
	conn := s.conn
	s.conn = nil
	asked := s.last.insertIDPending
	if asked {
		v, err := conn.LastInsertID()
		if err != nil {
			conn.Discard("asking for the insert id failed")
			s.last.insertIDPending = false
			return
		}
		s.last.insertID, s.last.insertIDPending = v, false
	}
	s.last.ticket = conn.Release()
	if asked && s.last.warnings > 0 && s.readFacts().Flavor == wire.FlavorMySQL {
		s.last.ticket = backend.Ticket{} // the question took the warnings' place
	}
}

// forgetFoundRows ends the pin of SQL_CALC_FOUND_ROWS, whose count only the next statement can ask for.
func (s *session) forgetFoundRows(plan *router.Plan) {
	if plan.Needs&router.FoundRows != 0 || !s.hasPin(router.PinDiagnostic) {
		return
	}
	s.unpin(router.PinDiagnostic)
	if mayRelease(s.tx, s.pins) {
		s.release()
		s.showHeld()
	}
}

// giveBack returns a conn on which a request could not be sent, after the error that stopped it.
func (s *session) giveBack(conn *backend.Conn, err error) {
	var refused *wire.ServerError
	var own *wire.Error
	good := errors.As(err, &refused) || errors.As(err, &own)
	switch {
	case conn == s.conn && good:
		return // held on
	case conn == s.conn:
		s.lose(conn, err)
	case good:
		conn.Release()
	default:
		conn.Done(err)
		conn.Discard("restoring a session's state failed")
	}
}

// lose drops a conn that broke, or that nobody may use any more.
func (s *session) lose(conn *backend.Conn, err error) {
	var own *wire.Error
	var refused *wire.ServerError
	if errors.As(err, &own) || errors.As(err, &refused) { // nothing was sent
		if s.conn == nil {
			conn.Release()
		}
		return
	}
	if errors.Is(err, wire.ErrClientGone) || errors.Is(err, wire.ErrTooLarge) {
		s.server.stop(conn) // the server may still be running the statement
	}
	s.last.lost = conn == s.conn && len(s.pins) > 0
	s.drop(conn, "broken")
}

// drop closes a conn, and with it what the session had on it.
func (s *session) drop(conn *backend.Conn, why string) {
	conn.Discard(why)
	if conn == s.conn {
		s.conn, s.pins, s.cursors = nil, nil, nil
	}
	s.tx, s.txWrote = wire.TxIdle, false
	s.showHeld()
}

// completionType is the variable that makes every COMMIT and ROLLBACK one with CHAIN or RELEASE.
const completionType = "completion_type"

// releases reports whether the server closes the conn behind the statement: a client's connection is then
// closed as well.
func (s *session) releases(plan *router.Plan) bool {
	if plan.Kind != router.KindCommit {
		return plan.Kind == router.KindRelease
	}
	v, _ := s.state.Get(completionType)
	return v == "RELEASE" || v == "2"
}

// lostState reports whether a conn went away with state of the session that can't be restored: a direct
// connection would be gone as well.
func (s *session) lostState() bool { return s.last.lost }

// noteCursor keeps which statements have an open cursor: as long as there is one the conn is held.
func (s *session) noteCursor(r *wire.Request, out *wire.Outcome) {
	open := out.CursorOpen && out.Err == nil
	switch {
	case open && s.cursors == nil:
		s.cursors = map[*wire.Statement]bool{r.Stmt: true}
	case open:
		s.cursors[r.Stmt] = true
	default:
		delete(s.cursors, r.Stmt)
	}
	s.setPin(router.PinCursor, len(s.cursors) > 0)
}

// showHeld tells the admin page what the session holds.
func (s *session) showHeld() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown.database = s.state.Database()
	s.shown.pinned = strings.Join(s.pins, ", ")
	s.shown.server = ""
	if s.tx == wire.TxIdle {
		s.shown.txSince = time.Time{}
	} else {
		if s.shown.txSince.IsZero() {
			s.shown.txSince = time.Now()
		}
		if s.shown.pinned == "" {
			s.shown.pinned = router.PinTx
		}
	}
	if s.conn != nil {
		s.shown.server = s.conn.Server().Address()
	}
}

// shownChanged is a cheap test for whether showHeld has anything to tell. Only run writes shown's
// fields that are read here.
func (s *session) shownChanged() bool {
	return s.conn != nil || s.shown.pinned != "" || s.shown.database != s.state.Database()
}
