package router

import "leat/proxy/wire"

// This file lets a session's catalog decide what a plan left open: whether the functions that its users made
// may write. A plan is kept for all sessions, so it holds the questions and both answers.

// call is a function that a statement calls. Schema is empty if the statement doesn't name it; own is set for one
// that the dialect has itself, unless the session's schemas hold another of that name.
type call struct {
	schema, name string
	own          bool
}

// under is the plan for a session with that catalog. It allocates nothing unless a user's function hides one of
// the dialect's own.
func (p *Plan) under(f *Facts) *Plan {
	if f.Catalog == nil || len(p.calls) == 0 {
		return p
	}
	harmless := true
	for i := range p.calls {
		switch c := &p.calls[i]; c.ask(f) {
		case wire.Volatile:
			if c.own && p.Class == ClassRead {
				return p.hiding(c.name)
			}
			harmless = false
		case wire.NoFunction:
			harmless = harmless && c.own
		}
	}
	if harmless && p.ifPure != nil {
		return p.ifPure
	}
	return p
}

// ask asks the catalog about all functions that the call may mean.
func (c *call) ask(f *Facts) wire.Volatility {
	if c.schema != "" {
		return f.Catalog.Function(c.schema, c.name)
	}
	found := wire.NoFunction
	for _, schema := range f.Schemas {
		switch f.Catalog.Function(schema, c.name) {
		case wire.Volatile:
			return wire.Volatile
		case wire.Harmless:
			found = wire.Harmless
		}
	}
	return found
}

// hiding is the plan of a read that calls a function which may be a user's.
func (p *Plan) hiding(name string) *Plan {
	again := *p
	again.Class, again.Retriable, again.Rule, again.Taints = ClassWrite, false, ruleImpure+name, true
	again.calls, again.ifPure = nil, nil
	return &again
}
