package proxy

// prepared.go: prepared statements. A client's statement belongs to its session; each run goes where the
// router sends it, and the conn there prepares it if it hasn't yet.

import (
	"leat/proxy/wire"
	"leat/router"
)

// maxStatementBytes bounds the texts of the statements that one client holds open, in bytes.
const maxStatementBytes = 32 << 20

func (s *session) prepare(r *wire.Request) error {
	n, bytes := s.commands.Statements()
	switch {
	case n >= s.world.cfg.MaxStatements:
		s.client.SendError(wire.Errorf(wire.CodeTooManyStatements, "Can't create more than max_prepared_stmt_count statements (current value: %d)", s.world.cfg.MaxStatements))
		return nil
	case bytes+len(r.SQL) > maxStatementBytes:
		s.client.SendError(wire.Errorf(wire.CodeTooManyStatements, "The client's prepared statements take more than 32 MiB: close some"))
		return nil
	}
	if r.Long() {
		s.client.SendError(wire.Errorf(wire.CodeTooLarge, "A statement of more than 1 MiB can't be prepared: send it as text"))
		return nil
	}
	plan := s.plan(r)
	if isLocal(plan.Kind) {
		s.client.SendError(wire.Errorf(wire.CodeNotSupported, "This command is answered by Leat and can't be prepared: send it as text"))
		return nil
	}
	s.prepared = false
	s.commands.Identify(r.Stmt, string(r.SQL), s.state)
	r.Stmt.Plan = plan
	if err := s.forward(r, preparePlan(plan)); err != nil {
		return err
	}
	if s.prepared {
		s.commands.Keep(r.Stmt)
	}
	return nil
}

// preparePlan is where a statement is prepared: where it will run, but with none of its effects.
func preparePlan(p *router.Plan) *router.Plan {
	base := prepareBase(p)
	if len(p.Tables)+len(p.Names) == 0 {
		return base
	}
	there := *base
	there.Tables, there.Names = p.Tables, p.Names // it is prepared on their shard
	return &there
}

func prepareBase(p *router.Plan) *router.Plan {
	switch {
	case p.Class == router.ClassRead:
		return &prepareRead
	case p.Needs&lastValues != 0:
		return &prepareLast
	}
	return &prepareWrite
}

// lastValues are what only the conn of the last statement knows.
const lastValues = router.Diagnostics | router.RowCount | router.FoundRows

var (
	prepareRead  = router.Plan{Class: router.ClassRead, Rule: "prepare", Statements: 1, Retriable: true}
	prepareWrite = router.Plan{Class: router.ClassSession, Rule: "prepare", Statements: 1, Retriable: true}
	prepareLast  = router.Plan{Class: router.ClassSession, Rule: "prepare", Statements: 1, Retriable: true, Needs: lastValues}
)

func (s *session) execute(r *wire.Request) error {
	if r.Stmt == nil {
		s.commands.SendNoStatement(r)
		return nil
	}
	plan := r.Stmt.Plan.(*router.Plan)
	if r.Cursor && plan.Class == router.ClassRead {
		plan = &cursorPlan
	}
	defer s.commands.Executed(r.Stmt)
	return s.forward(r, plan)
}

// cursorPlan is that of a read whose rows are fetched later: its conn is held, so it is the primary's, which can
// serve whatever the session does meanwhile.
var cursorPlan = router.Plan{Class: router.ClassSession, Rule: "read with a cursor", Statements: 1}

// continueStatement serves FETCH and RESET, which belong to the conn that has the cursor.
func (s *session) continueStatement(r *wire.Request) error {
	switch {
	case r.Stmt == nil:
		s.commands.SendNoStatement(r)
		return nil
	case s.cursors[r.Stmt]:
		if r.Kind == wire.ResetStmt {
			s.commands.DropLong(r.Stmt)
		}
		return s.forward(r, &passthrough)
	case r.Kind == wire.Fetch && s.conn == nil:
		return s.forward(r, &cursorPlan)
	case r.Kind == wire.Fetch:
		return s.forward(r, &passthrough)
	}
	s.commands.DropLong(r.Stmt)
	s.last.countNone()
	s.sendOK(r, "")
	return nil
}

// closeStatement forgets a statement; there is no reply.
func (s *session) closeStatement(r *wire.Request) error {
	if r.Stmt == nil {
		return nil
	}
	s.commands.Drop(r.Stmt)
	if !s.cursors[r.Stmt] {
		return nil
	}
	delete(s.cursors, r.Stmt)
	s.setPin(router.PinCursor, len(s.cursors) > 0)
	if err := s.conn.CloseStatement(r.Stmt); err != nil {
		s.lost = lostNothing
		s.lose(s.conn)
		return s.conclude(nil)
	}
	if mayRelease(s.tx, s.pins) {
		s.release()
		s.showHeld()
	}
	return nil
}
