package proxy

// tx.go: when a session holds its conn, and when it gives it back.

import (
	"slices"
	"strings"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
	"leat/shard"
)

// mayRelease reports whether a conn carries nothing of its session but what can be restored elsewhere.
func mayRelease(tx wire.TxState, pins []string) bool {
	return tx == wire.TxIdle && len(pins) == 0
}

// settle takes what a reply said into the session, and then keeps the conn or gives it back. When what the
// statement did to the session can't be learned, the conn is closed and the session must end.
func (s *session) settle(conn *backend.Conn, r *wire.Request, plan *router.Plan, out *wire.Outcome) {
	wasInTx := s.tx != wire.TxIdle
	s.tx = out.Tx
	if out.Unsynced && s.tx == wire.TxUnknown {
		s.tx = wire.TxOpen
	}
	asked := s.tx == wire.TxUnknown || plan.Kind == router.KindSet || len(plan.Trackers)+len(plan.Untracked) > 0
	err := s.learn(conn, r, plan, out)
	if err == nil && s.tx == wire.TxUnknown { // an error reply doesn't tell the transaction's state
		if err = conn.Ping(); err != nil && !mayHalfWork(plan) {
			s.lose(conn)
			return
		}
		s.tx = conn.Tx()
	}
	if err != nil || s.tx == wire.TxUnknown {
		s.lost = lostState
		s.drop(conn, "what a statement did to it can't be learned")
		return
	}
	now := conn.State()
	if now.Database() == s.connDatabase {
		now = now.WithDatabase(s.state.Database()) // as it was, wherever that is
	}
	s.state, s.connDatabase = now, conn.State().Database()
	s.settlePins(r, plan, out)
	s.noteBegin(conn, r, plan, out, wasInTx)
	rolledBack := out.Err != nil && plan.Statements > 1 // a transaction of their own
	if s.askWhatIsLeft(conn, plan, wasInTx || rolledBack) != nil {
		s.lost = lostState
		s.drop(conn, "what a session left on it can't be learned")
		return
	}
	if plan.Defines() && out.Err == nil {
		s.server.backend.Forget(conn.Server().Shard(), s.state.Database())
	}
	s.settlePosition(conn, plan, out)
	if !onlyPrepares(r) || out.Err != nil { // preparing leaves what can be asked about
		s.last.note(plan, out)
		s.last.spoiled = asked
	} else if s.conn != conn {
		s.last.spoiled = true // the last statement ran on another conn
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
	if s.commands == nil {
		return s.learnSettings(conn, r, plan, out)
	}
	trackers, untracked := plan.Trackers, plan.Untracked
	if r.Kind == wire.Prepare || out.Err != nil {
		if r.Kind != wire.Prepare && plan.Statements > 1 && len(trackers)+len(untracked) > 0 {
			s.pin(router.PinUnknown) // some of them were run
		}
		trackers, untracked = nil, nil
	}
	if len(trackers) > 0 {
		if err := conn.TakeTrackers(s.client, trackers); err != nil {
			return err
		}
	}
	return conn.Learn(untracked)
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
	switch plan.Pin {
	case "", router.PinNextTx, router.PinTx, router.PinSavepoint:
	default:
		if !failed || mayHalfWork(plan) && !s.refused(r, plan, out.Err) {
			s.pin(plan.Pin)
		}
	}
	switch {
	case s.autocommit() || plan.Kind == router.KindCommit && !failed:
		s.unpin(router.PinSavepoint)
	case plan.Pin == router.PinSavepoint && !failed:
		s.pin(router.PinSavepoint) // it holds although the server tells of no transaction yet
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
	s.setPin(router.PinRun, out.Unsynced)
	if r.Kind == wire.Execute || r.Kind == wire.Fetch || r.Kind == wire.ResetStmt {
		s.noteCursor(r, out)
	}
}

// refused reports whether the server could not read a statement, and so did nothing of it. PostgreSQL reads the whole
// of a text before it runs any of it.
func (s *session) refused(r *wire.Request, plan *router.Plan, e *wire.ServerError) bool {
	if plan.Pin != router.PinUnknown || e.Condition() != wire.SyntaxError {
		return false
	}
	return plan.Statements == 1 || s.commands == nil && (r.Kind == wire.Query || plan.Unknown == 1)
}

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

// settlePosition keeps how far the session has written, so that its reads see it. A server without GTIDs
// doesn't say, nor does any of what a statement wrote that failed: then reads stay on the primary for a while.
func (s *session) settlePosition(conn *backend.Conn, plan *router.Plan, out *wire.Outcome) {
	if conn.Role() != wire.Primary {
		return
	}
	server := conn.Server()
	if out.Position != "" {
		if p, err := server.ParsePosition(out.Position); err == nil {
			f := s.freshOf(server.Shard())
			f.position = f.position.Union(p)
			f.since = time.Now()
			s.server.backend.Wrote(server.Shard(), f.position)
			s.txWrote = false
			return
		}
	}
	mayWrite := plan.Class == router.ClassWrite && (out.Affected > 0 && !out.HasRows || !server.ReportsPositions() || server.Sampled())
	if out.Err != nil { // DROP TABLE a, missing; rows before a duplicate: no position tells. And an error is an answer of the primary
		mayWrite = plan.Class == router.ClassWrite && !plan.Retriable && (plan.Statements != 1 || out.Err.Condition() != wire.SyntaxError)
	}
	hides := server.Sampled() && s.tx == wire.TxOpen && plan.Class == router.ClassRead // a view may call what writes
	if !s.txWrote && !mayWrite && !hides {
		return
	}
	if s.tx != wire.TxIdle {
		s.txWrote = true
		return
	}
	s.stayOnPrimary(server)
	s.txWrote = false
}

// stayOnPrimary keeps the session's reads on the primary until replicas must have caught up, or until the primary
// has been asked how far it is.
func (s *session) stayOnPrimary(server *backend.Server) {
	f := s.freshOf(server.Shard())
	if server.Sampled() {
		if v, ok := s.state.Get(synchronousCommit); ok && v == "off" {
			s.async = true
		}
		f.wrote = time.Now()
		s.server.backend.Sample(server.Shard())
		return
	}
	f.primaryUntil = time.Now().Add(server.MaxLag())
}

// onPrimary reports whether the session's reads belong on the primary, since nobody knows yet which replicas have
// applied its last write.
func (s *session) onPrimary(f *freshness) bool {
	now := time.Now()
	if f.wrote.IsZero() {
		return now.Before(f.primaryUntil)
	}
	ask := s.server.backend.PositionAfter
	if s.async {
		ask = s.server.backend.WrittenAfter
	}
	p, ok := ask(f.shard, f.wrote)
	if !ok {
		return true
	}
	f.position, f.since, f.wrote = p, now, time.Time{}
	return now.Before(f.primaryUntil)
}

// freshOf is what the session must be able to read of a shard.
func (s *session) freshOf(id shard.ID) *freshness {
	for i := range s.fresh {
		if s.fresh[i].shard == id {
			return &s.fresh[i]
		}
	}
	s.fresh = append(s.fresh, freshness{shard: id})
	return &s.fresh[len(s.fresh)-1]
}

// release gives the held conn back. What only it knows is asked for first.
func (s *session) release() {
	conn := s.conn
	s.conn = nil
	if s.tainted {
		s.tainted, s.last.ticket = false, backend.Ticket{}
		s.resetAndRelease(conn)
		return
	}
	asked := s.last.insertIDPending
	replaced := asked && s.last.warnings > 0 && s.readFacts().Flavor == wire.FlavorMySQL // the question takes the warnings' place
	if replaced {
		if err := s.last.keep(conn); err != nil {
			conn.Discard("asking for the warnings failed")
			s.last.insertID, s.last.insertIDPending = unknownID, false
			return
		}
	}
	if asked {
		s.last.spoiled = true
		if err := s.learnInsertID(conn); err != nil {
			conn.Discard("asking for the insert id failed")
			return
		}
	}
	if s.last.warnings > 0 || s.last.failed {
		s.last.ticket = conn.Keep()
	} else {
		s.last.ticket = conn.Release()
	}
	if replaced {
		s.last.ticket = backend.Ticket{}
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

// giveBack returns a conn on which a request was not sent, because of an error. One that the session holds
// it keeps, unless the conn broke.
func (s *session) giveBack(conn *backend.Conn, err error) {
	switch {
	case !isRefusal(err):
		conn.Done(&wire.SendError{Err: err})
		s.lose(conn)
	case conn != s.conn:
		conn.Release()
	}
}

// isRefusal reports whether an error is a server's, or Leat's own, refusal to do anything: the conn that it
// came from is as good as before.
func isRefusal(err error) bool {
	switch err.(type) {
	case *wire.ServerError, *wire.Error:
		return true
	}
	return false
}

// lost is what went away with a conn that the session held.
type lost uint8

const (
	lostNothing lost = iota
	lostTx           // an open transaction: the client must hear of it
	lostState        // what can't be restored: a direct connection would be gone, and so is the client's
)

// lose closes a conn that broke, and notes what the session had on it.
func (s *session) lose(conn *backend.Conn) {
	if conn == s.conn {
		s.unpin(router.PinSavepoint) // part of the transaction
		switch {
		case len(s.pins) > 0:
			s.lost = lostState
		case s.tx != wire.TxIdle:
			s.lost = lostTx
		}
	}
	s.drop(conn, "broken")
}

// drop closes a conn, and forgets what the session had on it.
func (s *session) drop(conn *backend.Conn, why string) {
	conn.Discard(why)
	if conn == s.conn {
		s.conn, s.pins, s.cursors = nil, nil, nil
		if s.last.insertIDPending {
			s.last.insertID, s.last.insertIDPending, s.last.insertIDSet = unknownID, false, false
		}
	}
	s.tx, s.txWrote = wire.TxIdle, false
	s.last.ticket = backend.Ticket{}
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

// pinSeparator stands between the reasons of a session that is pinned for several.
const pinSeparator = ", "

// showHeld tells the admin page what the session holds.
func (s *session) showHeld() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown.database = s.state.Database()
	s.shown.pinned = strings.Join(s.pins, pinSeparator)
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
