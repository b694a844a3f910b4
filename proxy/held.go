package proxy

// held.go: whether the conn that a session holds is one for its next request. Its server may not be the primary any
// more, and a READ ONLY transaction that went to a replica may come to what only the primary can do.

import (
	"strings"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
)

// checkHeld makes sure that the held conn may serve a request, or gives it up. The error is the client's answer.
func (s *session) checkHeld(plan *router.Plan) error {
	switch {
	case s.conn == nil:
		return nil
	case s.conn.Role() == wire.Replica:
		return s.checkReplica(plan)
	case s.tx != wire.TxIdle || s.hasPin(router.PinXA) || !s.wantsPrimary(plan):
		return nil // an open transaction may end where it is
	}
	err := s.conn.MayWrite()
	if e, ok := err.(*wire.Error); ok && e.Code == wire.CodeServerGone {
		s.loseState("its server isn't the primary any more")
	}
	return err
}

// wantsPrimary reports whether a request writes, or begins a transaction that may.
func (s *session) wantsPrimary(plan *router.Plan) bool {
	switch {
	case plan.Kind == router.KindBegin:
		return s.readFacts().Mode&wire.ReadOnly == 0
	case plan.Kind == router.KindBeginReadWrite, plan.Class == router.ClassWrite:
		return true
	}
	const opensTx = wire.AutocommitOff // which may go on to write
	return plan.Class == router.ClassRead && s.readFacts().Mode&(opensTx|wire.ReadOnly) == opensTx
}

// checkReplica is checkHeld for a replica's conn: of a READ ONLY transaction, or pinned by what nobody saw coming.
func (s *session) checkReplica(plan *router.Plan) error {
	inTx := s.tx != wire.TxIdle
	switch {
	case inTx && s.beginsAnew(plan):
		return s.endOnReplica()
	case inTx && (!plan.Keeps() || s.tx == wire.TxFailed):
		return nil
	case inTx && s.begun != "":
		return s.moveTx()
	case inTx:
		s.shunsReplica = true
		return wire.Errorf(wire.CodeReadOnlyTx, "This statement locks, or leaves what only the primary can keep, but the READ ONLY transaction "+
			"has read on a replica: end it and run it again, READ ONLY transactions of this session go to the primary from now on")
	case !s.wantsPrimary(plan) || len(s.pins) == 1 && s.hasPin(router.PinDiagnostic):
		return nil
	}
	why := strings.Join(s.pins, pinSeparator)
	server := s.conn.Server().Address()
	s.loseState("pinned to a replica")
	return wire.Errorf(wire.CodeServerGone, "Lost connection to server %s: the session kept state on this replica (%s), and can't write with it. Nothing was sent, connect again", server, why)
}

// loseState gives up the held conn with all that the session had on it.
func (s *session) loseState(why string) {
	s.lost = lostState
	s.drop(s.conn, why)
}

// beginsAnew reports whether a statement ends a READ ONLY transaction by beginning one that may write. In MySQL a
// plain BEGIN begins another READ ONLY one; PostgreSQL begins none inside a transaction.
func (s *session) beginsAnew(plan *router.Plan) bool {
	switch {
	case s.commands == nil:
		return false
	case plan.Kind == router.KindBegin:
		return s.readFacts().Flavor == wire.FlavorMariaDB && s.readFacts().Mode&wire.ReadOnly == 0
	}
	return plan.Kind == router.KindBeginReadWrite
}

// endOnReplica ends a READ ONLY transaction in which nothing but the next one is wanted.
func (s *session) endOnReplica() error {
	conn := s.conn
	err := conn.Exec("COMMIT")
	s.tx = wire.TxIdle
	s.unpin(router.PinSavepoint)
	switch {
	case err != nil:
		conn.Done(&wire.SendError{Err: err})
		s.lose(conn)
		return nil
	case mayRelease(s.tx, s.pins):
		s.release()
		s.showHeld()
		return nil
	}
	return s.checkReplica(&beginElsewhere)
}

// beginElsewhere is the plan of a BEGIN that only the primary serves.
var beginElsewhere = router.Plan{Class: router.ClassSession, Kind: router.KindBeginReadWrite, Rule: "begins on the primary", Statements: 1}

// noteBegin keeps the text that began a transaction on a replica, as long as nothing else was run in it: it can then
// begin on the primary as well.
func (s *session) noteBegin(conn *backend.Conn, r *wire.Request, plan *router.Plan, out *wire.Outcome, wasInTx bool) {
	if onlyPrepares(r) && out.Err == nil && s.tx != wire.TxIdle {
		return
	}
	s.begun = ""
	begins := plan.Kind == router.KindBeginReadOnly || plan.Kind == router.KindBegin
	if !begins || wasInTx || out.Err != nil || s.tx == wire.TxIdle || conn.Role() != wire.Replica || strings.Contains(strings.ToUpper(plan.Text), "SNAPSHOT") {
		return
	}
	switch {
	case r.Kind == wire.Query && !mayBeSeveral(r.SQL):
		s.begun = string(r.SQL)
	case r.Kind == wire.Execute:
		s.begun = r.Stmt.Text
	case r.Kind == wire.Run && len(r.Stmts) == 1:
		s.begun = r.Stmts[0].Text
	}
}

// moveTx begins the session's transaction, which has done nothing on its replica yet, on the primary.
func (s *session) moveTx() error {
	last := s.conn
	database := s.connDatabase
	conn, err := s.acquire(&beginElsewhere, &try{primary: true})
	if err != nil {
		return err
	}
	if err = s.adopt(conn); err == nil {
		err = conn.Exec(s.begun)
	}
	if err != nil {
		s.connDatabase = database
		if isRefusal(err) {
			conn.Release()
			return err
		}
		conn.Done(&wire.SendError{Err: err})
		conn.Discard("broken")
		return wire.Errorf(wire.CodeServerGone, "Lost connection to server %s: nothing was sent, try again", conn.Server().Address())
	}
	s.conn, s.tx, s.begun = conn, conn.Tx(), ""
	s.last.foundHere, s.last.spoiled = false, true
	if err = last.Exec("ROLLBACK"); err != nil {
		last.Discard("a transaction on it can't be ended")
	} else {
		last.Release()
	}
	s.showHeld()
	return nil
}
