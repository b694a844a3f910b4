package proxy

import (
	"leat/proxy/wire"
	"leat/router"
	"leat/shard"
)

// Explanation is where a statement would go, and why.
type Explanation struct {
	Text   string `json:"text"`   // without literals
	Digest string `json:"digest"` // hexadecimal
	Class  string `json:"class"`  // read, write or session
	Rule   string `json:"rule"`   // why it has that class
	Shard  string `json:"shard"`
	Role   string `json:"role"`   // primary or replica
	Server string `json:"server"` // one that would take it now; empty if none can
	Pin    string `json:"pin"`    // why the session would keep its conn afterwards; empty if it wouldn't
}

func (e *Explanation) rows() [][]string {
	return [][]string{
		{"statement", e.Text},
		{"digest", e.Digest},
		{"class", e.Class},
		{"rule", e.Rule},
		{"shard", e.Shard},
		{"role", e.Role},
		{"server", e.Server},
		{"pin", e.Pin},
	}
}

// Explain says where a user's statement would go, without running it. An empty user is one of class online. The
// dialect is that of the shard that holds the database.
func (s *Server) Explain(user, database, sql string) (Explanation, error) {
	w := s.world.Load()
	class := ""
	if user != "" {
		u := w.users[user]
		if u == nil {
			return Explanation{}, wire.Errorf(wire.CodeAccessDenied, "there is no user %q in Leat's config", user)
		}
		class = u.Class
	}
	facts := router.Facts{Database: database}
	d := w.shards.DialectOf(database)
	if g, ok := s.backend.Greeting(d); ok {
		facts.Flavor = g.Flavor
		facts.Mode = s.acceptors[d].ReadMode(wire.NewState(database), g.Defaults)
	}
	var scan router.Scan
	plan := w.router.Plan([]byte(sql), &facts, &scan)
	if err := unexplainable(plan); err != nil {
		return Explanation{}, err
	}
	return s.explain(w, plan, d, database, class, facts.Mode), nil
}

// unexplainable is what a client would be told of a text that goes nowhere; nil: it goes somewhere.
func unexplainable(plan *router.Plan) *wire.Error {
	switch {
	case plan.Kind == router.KindEmpty:
		return wire.Errorf(wire.CodeBadValue, "there is no statement to explain; give one: LEAT EXPLAIN SELECT ...")
	case plan.Hints.Err != "":
		return wire.Errorf(wire.CodeBadValue, "%s", plan.Hints.Err)
	}
	return nil
}

func (s *Server) explain(w *world, plan *router.Plan, d shard.Dialect, database, class string, mode wire.Mode) Explanation {
	e := Explanation{
		Text: plan.Text, Digest: digestText(plan.Digest), Rule: plan.Rule, Pin: plan.Pin, Class: plan.Class.String(),
	}
	route, err := w.router.Route(plan, &router.Want{Dialect: d, Database: database, Class: class, ReadOnlyTx: mode&wire.ReadOnly != 0}, w.shards)
	if err != nil {
		e.Rule = err.Error()
		return e
	}
	e.Shard, e.Role = string(route.Shard), route.Role.String()
	if route.Rule != "" {
		e.Rule = route.Rule
	}
	e.Server = s.backend.WouldUse(route.Shard, route.Role, route.Class)
	return e
}
