package proxy

// extended.go: PostgreSQL's extended protocol. A run of messages is routed once, by the strictest of the
// statements that it prepares or runs.

import (
	"leat/proxy/wire"
	"leat/router"
)

// extended serves a run of messages up to Sync or Flush.
func (s *session) extended(r *wire.Request) error {
	plan := s.planRun(r)
	switch {
	case !r.Executes && plan.Kind == router.KindLeatSet: // it sets nothing yet
		s.client.SendOK(r, wire.Done{Tx: s.tx})
		return nil
	case !r.Executes && !isLocal(plan.Kind):
		return s.forward(r, preparePlan(plan))
	}
	if !s.hasPin(router.PinRun) { // in the middle of a run the server has to see what comes
		if answered, err := s.answer(r, plan); answered || err != nil {
			return err
		}
	}
	return s.forward(r, plan)
}

// planRun is the router's view of a run.
func (s *session) planRun(r *wire.Request) *router.Plan {
	if r.Long() {
		return s.planLong(r)
	}
	var plan *router.Plan
	for _, st := range r.Stmts {
		p := s.planOf(st)
		if plan != nil {
			p = router.Together(plan, p)
		}
		plan = p
	}
	if plan == nil { // only portals and Sync: of a conn that is held, if they mean anything
		return &passthrough
	}
	return plan
}

// planLong is the router's view of a run of one long message: a Parse, whose text isn't held, or a Bind.
func (s *session) planLong(r *wire.Request) *router.Plan {
	if len(r.Stmts) != 1 {
		return longPlan(nil, true)
	}
	return s.planOf(r.Stmts[0])
}

// planOf is the plan of a statement that the client has prepared.
func (s *session) planOf(st *wire.Statement) *router.Plan {
	p, _ := st.Plan.(*router.Plan)
	if p != nil {
		return p
	}
	if p = longPlan(nil, true); !st.Long {
		p = s.world.router.Plan([]byte(st.Text), s.readFacts(), &s.scan)
	}
	st.Plan = p
	return p
}

// onlyPrepares reports whether a request runs nothing.
func onlyPrepares(r *wire.Request) bool {
	return r.Kind == wire.Prepare || r.Kind == wire.Run && !r.Executes
}
