package router

import (
	"fmt"
	"strings"

	"vitess.io/vitess/go/vt/sqlparser"
)

// This file is the only one that knows the parser. It proves that a query is a pure read: every
// function in it is known, every variable belongs to the session, no table to the server. The text it
// gets is normalised with dummy literals, so the parser sees no quoting mode, no charset and no comment.

const (
	// maxDepth is how deep parentheses may be nested in a text that is parsed.
	maxDepth = 200
	// maxTokens is how many tokens a text may have that is parsed: a tree may be as deep as it has
	// operators, and is walked recursively.
	maxTokens = 20000

	rulePure       = "pure read"
	ruleImpure     = "function is not known to be pure: "
	ruleUnparsed   = "can't be parsed"
	ruleSystem     = "system database: answered by the primary"
	ruleVariables  = "the server's own variable: answered by the primary"
	ruleUserVars   = "reads user variables"
	parsedByServer = "8.4.0" // for the parser's choice of keywords; executed comments never reach it
)

// queryParser proves queries. It is safe for concurrent use.
type queryParser struct {
	parser *sqlparser.Parser
	pure   map[string]bool // declared by the operator
}

func newQueryParser(pure []string) (*queryParser, error) {
	p, err := sqlparser.New(sqlparser.Options{MySQLServerVersion: parsedByServer})
	if err != nil {
		return nil, fmt.Errorf("set up the parser: %w", err)
	}
	q := &queryParser{parser: p, pure: map[string]bool{}}
	for _, name := range pure {
		if name == "" || strings.ContainsAny(name, "() \t") {
			return nil, fmt.Errorf("pure function %q is not a name", name)
		}
		q.pure[strings.ToLower(name)] = true
	}
	return q, nil
}

// findings are what the parser saw in a text.
type findings struct {
	parsed   bool
	writes   bool   // holds something else than queries
	impure   string // the first reason why it isn't a pure read
	unknown  string // the first reason why it isn't known to be one: a function
	asked    []call // the functions that a catalog is to be asked about
	server   string // the first reason why only the primary answers
	userVars bool
	settings bool // sets settings by a function
	tables   []Table
}

// read parses the statements of a request. It never fails: what can't be read isn't parsed.
func (q *queryParser) read(texts []string) (f findings) {
	defer func() {
		if recover() != nil { // the parser is not ours, and a client's text must not end the process
			f = findings{}
		}
	}()
	w := walker{pure: q.pure, f: &f}
	for _, text := range texts {
		tree, err := q.parser.Parse(text)
		if err != nil {
			return findings{}
		}
		switch t := tree.(type) {
		case *sqlparser.Select, *sqlparser.Union, *sqlparser.ValuesStatement:
		case *sqlparser.ExplainStmt:
			if _, ok := t.Statement.(sqlparser.TableStatement); !ok {
				f.writes = true
			}
		default:
			f.writes = true
		}
		sqlparser.Rewrite(tree, w.enter, w.leave)
	}
	f.parsed = true
	return f
}

// walker goes over a tree. names are the common table expressions in sight, marks how many were before
// each statement that is open.
type walker struct {
	pure  map[string]bool
	f     *findings
	names []string
	marks []int
}

func (w *walker) enter(c *sqlparser.Cursor) bool {
	switch n := c.Node().(type) {
	case *sqlparser.Select, *sqlparser.Union, *sqlparser.Update, *sqlparser.Delete, *sqlparser.Insert, *sqlparser.ValuesStatement:
		w.marks = append(w.marks, len(w.names))
		w.locks(n)
	case *sqlparser.With:
		if n.Recursive {
			for _, cte := range n.CTEs {
				w.names = append(w.names, cte.ID.String())
			}
		}
	case *sqlparser.AliasedTableExpr:
		if t, ok := n.Expr.(sqlparser.TableName); ok {
			w.table(t)
		}
	case *sqlparser.Variable:
		w.variable(n)
	case *sqlparser.FuncExpr:
		w.function(n)
	case *sqlparser.AssignmentExpr:
		w.impure("assigns user variables")
	case *sqlparser.Nextval:
		w.impure(ruleSequence)
	case *sqlparser.LockingFunc:
		w.impure(ruleNamedLock)
	case *sqlparser.GTIDFuncExpr:
		if n.Type != sqlparser.GTIDSubsetType && n.Type != sqlparser.GTIDSubtractType {
			w.impure(ruleWaits)
		}
	}
	return true
}

func (w *walker) leave(c *sqlparser.Cursor) bool {
	switch n := c.Node().(type) {
	case *sqlparser.Select, *sqlparser.Union, *sqlparser.Update, *sqlparser.Delete, *sqlparser.Insert, *sqlparser.ValuesStatement:
		w.names = w.names[:w.marks[len(w.marks)-1]]
		w.marks = w.marks[:len(w.marks)-1]
	case *sqlparser.CommonTableExpr:
		w.names = append(w.names, n.ID.String())
	}
	return true
}

// locks notes the locking clauses and INTO of a query.
func (w *walker) locks(node sqlparser.SQLNode) {
	var lock sqlparser.Lock
	var into *sqlparser.SelectInto
	switch n := node.(type) {
	case *sqlparser.Select:
		lock, into = n.Lock, n.Into
	case *sqlparser.Union:
		lock, into = n.Lock, n.Into
	}
	if lock != sqlparser.NoLock {
		w.impure("locking read")
	}
	if into != nil {
		w.impure("SELECT INTO")
	}
}

func (w *walker) impure(rule string) {
	if w.f.impure == "" {
		w.f.impure = rule
	}
}

func (w *walker) unknown(rule string) {
	if w.f.unknown == "" {
		w.f.unknown = rule
	}
}

func (w *walker) function(n *sqlparser.FuncExpr) {
	name := n.Name.Lowered()
	known := pureFunctions[name] || functionEffects[name] != effect{}
	if db := n.Qualifier.String(); db != "" {
		name = strings.ToLower(db) + "." + name
		known = false
	}
	if !known && !w.pure[name] {
		w.unknown(ruleImpure + name)
	}
}

func (w *walker) variable(n *sqlparser.Variable) {
	switch n.Scope {
	case sqlparser.VariableScope:
		w.f.userVars = true
	case sqlparser.GlobalScope, sqlparser.PersistSysScope, sqlparser.PersistOnlySysScope:
		w.server(ruleVariables)
	default:
		if isServerVariable(n.Name.Lowered()) {
			w.server(ruleVariables)
		}
	}
}

func (w *walker) server(rule string) {
	if w.f.server == "" {
		w.f.server = rule
	}
}

func (w *walker) table(t sqlparser.TableName) {
	db, name := t.Qualifier.String(), t.Name.String()
	if db == "" {
		if strings.EqualFold(name, "dual") {
			return
		}
		for _, cte := range w.names {
			if strings.EqualFold(cte, name) {
				return
			}
		}
	}
	if isSystemDatabase(db) {
		w.server(ruleSystem)
	}
	for _, seen := range w.f.tables {
		if seen.Database == db && seen.Name == name {
			return
		}
	}
	w.f.tables = append(w.f.tables, Table{Database: db, Name: name})
}
