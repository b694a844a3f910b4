package router

import (
	"leat/proxy/wire"
	"leat/shard"
)

// Want is what the session asks for beside the plan.
type Want struct {
	Dialect  shard.Dialect
	Database string
	InTx     bool   // the session's transaction or pin decides: it stays where it is
	Class    string // the user's class: online or batch
	// ReadOnlyTx: the session's transactions are READ ONLY: the one that begins may go to a replica.
	ReadOnlyTx bool
}

// Route is where one request goes.
type Route struct {
	Shard shard.ID
	Role  wire.Role
	Class string // class of replica: online or batch
	Rule  string // why
}

const (
	ruleInTx       = "in a transaction or pinned: where it is"
	ruleHint       = "hint: role=primary"
	ruleReadOnlyTx = "read only transaction"
)

// Route says where a request of this plan goes. The error is a *wire.Error for the client: no shard
// holds the database, or the tables are on several shards.
func (r *Router) Route(p *Plan, w *Want, m *shard.Map) (Route, error) {
	id, err := shardOf(p, w, m)
	if err != nil {
		return Route{}, err
	}
	route := Route{Shard: id, Class: w.Class, Rule: p.Rule}
	if p.Hints.Class != "" {
		route.Class = p.Hints.Class
	}
	begins := p.Kind == KindBeginReadOnly || w.ReadOnlyTx && p.Kind == KindBegin
	switch {
	case w.InTx:
		route.Rule = ruleInTx
	case p.Hints.Role == wire.Primary.String():
		route.Rule = ruleHint
	case begins:
		route.Role, route.Rule = wire.Replica, ruleReadOnlyTx
	case p.Class == ClassRead:
		route.Role = wire.Replica
	}
	return route, nil
}

// shardOf is the one shard that holds everything the statement names: the databases of its tables, the
// current one for those without.
func shardOf(p *Plan, w *Want, m *shard.Map) (shard.ID, error) {
	if w.Dialect == shard.Postgres { // a session's statements stay in its database
		return lookUp(m, w.Dialect, w.Database)
	}
	var id shard.ID
	found := false
	for i := range p.Tables {
		db := p.Tables[i].Database
		if db == "" || isSystemDatabase(db) {
			db = w.Database
		}
		next, err := lookUp(m, w.Dialect, db)
		if err != nil {
			return "", err
		}
		if found && next != id {
			return "", wire.Errorf(wire.CodeNotSupported, "the statement names tables of several shards (%s and %s): ask each of them by itself", id, next)
		}
		id, found = next, true
	}
	if found {
		return id, nil
	}
	return lookUp(m, w.Dialect, w.Database)
}

func lookUp(m *shard.Map, d shard.Dialect, db string) (shard.ID, error) {
	if id, ok := m.Shard(d, db); ok {
		return id, nil
	}
	if d == shard.Postgres {
		return "", wire.Errorf(wire.CodeNoDatabase, "database \"%s\" does not exist", db)
	}
	if db == "" {
		return "", wire.Errorf(wire.CodeNoDatabase, "no database selected, and there are several shards: name one when you connect")
	}
	return "", wire.Errorf(wire.CodeNoDatabase, "Unknown database '%s'", db)
}
