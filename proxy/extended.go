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
	if !r.Executes {
		return s.forward(r, preparePlan(plan))
	}
	if answered, err := s.answer(r, plan); answered || err != nil {
		return err
	}
	return s.forward(r, plan)
}

// planRun is the router's view of a run.
func (s *session) planRun(r *wire.Request) *router.Plan {
	if r.Long() {
		return longPlan(nil, true)
	}
	var plan *router.Plan
	for _, st := range r.Stmts {
		p, _ := st.Plan.(*router.Plan)
		if p == nil {
			p = s.world.router.Plan([]byte(st.Text), s.readFacts(), &s.scan)
			st.Plan = p
		}
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

// onlyPrepares reports whether a request runs nothing.
func onlyPrepares(r *wire.Request) bool {
	return r.Kind == wire.Prepare || r.Kind == wire.Run && !r.Executes
}
