// Package router decides where a request goes. It is pure: a statement's text, what the session is
// in, and the map go in; a plan and a route come out. It opens no connection and reads no clock.
//
// The way: one pass of our own lexer gives the normalised text and the literals; the plan is
// looked up by the normalised text; on a miss the words of the statement and, for queries, a parser
// say what it does, and the plan is kept. What can't be read with certainty is never guessed: it is
// a write, and the session keeps its conn.
package router

import (
	"leat/proxy/wire"
)

// Facts are what routing needs to know of the session that sends a statement.
type Facts struct {
	Flavor   wire.Flavor
	Database string
	Mode     Mode
	// Catalog tells what the functions of the session's database do, and Schemas are the schemas that it searches
	// for them, in order (PostgreSQL). Without a catalog every function that isn't PostgreSQL's own may write.
	Catalog *wire.Catalog
	Schemas []string
}

// Mode is how the server reads the bytes of a statement in this session.
type Mode = wire.Mode

const (
	AnsiQuotes         = wire.AnsiQuotes
	NoBackslashEscapes = wire.NoBackslashEscapes
	BackslashEscapes   = wire.BackslashEscapes
	UnsafeCharset      = wire.UnsafeCharset
	MultiStatements    = wire.MultiStatements
	Serializable       = wire.Serializable
)

// Config of a Router.
type Config struct {
	// PlanCacheBytes bounds the plan cache. Default 64 MiB.
	PlanCacheBytes int
	// MaxParse is the longest statement, in bytes of its normalised text, that is parsed on a miss. A
	// longer one is classified by its first word alone and is never a read; its plan is not kept.
	// Default 256 KiB.
	MaxParse int
	// PureFunctions are functions that an operator declares to be pure reads, in any case. One of
	// another database is given as database.function.
	PureFunctions []string
}

// Stats count what a Router did since it was made.
type Stats struct {
	Hits, Misses uint64 // of the plan cache
	Entries      int    // plans kept
	Bytes        int    // of the plans kept, roughly
	Unparsed     uint64 // plans made whose text the parser couldn't read
	Misrouted    int    // texts that a replica refused, remembered
}

const (
	defaultPlanCacheBytes = 64 << 20
	defaultMaxParse       = 256 << 10
)

// Router plans and routes statements. It is safe for concurrent use.
type Router struct {
	maxParse  int
	mysql     dialect
	postgres  dialect
	plans     *planCache
	misrouted *textSet
}

// New makes a Router. The error is about a config that makes no sense.
func New(cfg Config) (*Router, error) {
	parser, err := newQueryParser(cfg.PureFunctions)
	if err != nil {
		return nil, err
	}
	prover := pgProver{pure: parser.pure}
	if cfg.PlanCacheBytes <= 0 {
		cfg.PlanCacheBytes = defaultPlanCacheBytes
	}
	if cfg.MaxParse <= 0 {
		cfg.MaxParse = defaultMaxParse
	}
	return &Router{
		maxParse:  cfg.MaxParse,
		mysql:     mysqlDialect{parser},
		postgres:  postgresDialect{prover},
		plans:     newPlanCache(cfg.PlanCacheBytes),
		misrouted: newTextSet(),
	}, nil
}

// Plan says what a statement is. It never fails: a text that can't be read is a write, and pins the
// session if it may change its state. The plan is shared and must not be changed. s is the session's
// scratch: it holds the literals of this statement until the next call with it.
func (r *Router) Plan(sql []byte, f *Facts, s *Scan) *Plan {
	d := r.dialectOf(f.Flavor)
	t := d.scan(sql, f.Mode, s, r.maxParse)
	if how := doubts(d, &t, sql, f.Mode); how != readable {
		return r.unreadable(d, s, how, d.lastValues(sql, f.Mode))
	}
	if t.tooLong {
		return longPlan(d, &t, sql, f.Mode)
	}
	s.key = appendKey(s.key[:0], t.out, d, f)
	if p := r.plans.get(s.key); p != nil {
		return p.under(f)
	}
	p := r.makePlan(d, sql, f, &t, s.Literals)
	if p.Leat == (LeatCommand{}) {
		p.key = string(s.key)
		p.Text = p.key[:len(t.out)]
		if p.ifPure != nil {
			p.ifPure.key, p.ifPure.Text = p.key, p.Text
		}
		r.plans.put(p)
	}
	return p.under(f)
}

// Misrouted remembers that a replica refused a statement of this plan because it writes. From then on
// the text is planned as a write. It returns that plan.
func (r *Router) Misrouted(p *Plan) *Plan {
	r.misrouted.add(p.Text)
	again := *p
	again.Class, again.Retriable, again.Rule = ClassWrite, false, ruleMisrouted
	again.calls, again.ifPure = nil, nil
	if p.key != "" {
		r.plans.put(&again)
	}
	return &again
}

// Stats returns the counts so far.
func (r *Router) Stats() Stats {
	st := r.plans.stats()
	st.Misrouted = r.misrouted.len()
	return st
}

const ruleMisrouted = "a replica refused it as a write"

// Flags of a plan's key beyond its text.
const (
	keySerializable byte = 1 << iota
	keySystemDatabase
	keyPostgres
)

// appendKey makes what tells plans apart: the text and the facts that change a plan.
func appendKey(key, text []byte, d dialect, f *Facts) []byte {
	flags := d.flag()
	if f.Mode&Serializable != 0 {
		flags |= keySerializable
	}
	if flags&keyPostgres == 0 && isSystemDatabase(f.Database) {
		flags |= keySystemDatabase
	}
	return append(append(key, text...), flags)
}
