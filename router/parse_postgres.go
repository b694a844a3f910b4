package router

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser"
	"github.com/multigres/multigres/go/common/parser/ast"
)

// This file is the only one that knows PostgreSQL's parser. It proves that a query is a pure read: every function
// in it is known, no table belongs to the server. The text it gets is normalised with dummy literals, so the
// parser sees no quoting mode and no comment.

// pgProver proves queries. It is safe for concurrent use.
type pgProver struct{ pure map[string]bool } // declared by the operator

// read parses the statements of a request. It never fails: what can't be read isn't parsed.
func (q pgProver) read(texts []string) (f findings) {
	defer func() {
		if recover() != nil { // the parser is not ours, and a client's text must not end the process
			f = findings{}
		}
	}()
	w := pgWalker{pure: q.pure, f: &f}
	for _, text := range texts {
		trees, err := parser.ParseSQL(text)
		if err != nil || len(trees) != 1 {
			return findings{}
		}
		f.writes = f.writes || pgWrites(trees[0])
		ast.Rewrite(trees[0], w.enter, w.leave)
	}
	f.parsed = true
	return f
}

// pgWrites reports whether a statement isn't a query, or the copy or explanation of one.
func pgWrites(tree ast.Node) bool {
	switch t := tree.(type) {
	case *ast.SelectStmt:
		return false
	case *ast.ExplainStmt:
		return pgWrites(t.Query)
	case *ast.CopyStmt:
		return t.IsFrom || t.IsProgram || t.Filename != "" || t.Query != nil && pgWrites(t.Query)
	}
	return true
}

// pgWalker goes over a tree. names are the common table expressions of the statements that are open, marks
// how many were before each of them.
type pgWalker struct {
	pure  map[string]bool
	f     *findings
	names []pgCTE
	marks []int
}

type pgCTE struct {
	node   *ast.CommonTableExpr
	hidden bool // it is being defined, or a later one is
}

func (w *pgWalker) enter(c *ast.Cursor) bool {
	switch n := c.Node().(type) {
	case *ast.SelectStmt:
		w.open(n.WithClause)
		if n.IntoClause != nil {
			w.impure("SELECT INTO")
		}
	case *ast.InsertStmt:
		w.write(n.WithClause)
	case *ast.UpdateStmt:
		w.write(n.WithClause)
	case *ast.DeleteStmt:
		w.write(n.WithClause)
	case *ast.MergeStmt:
		w.write(n.WithClause)
	case *ast.CommonTableExpr:
		w.hide(n, true)
	case *ast.LockingClause:
		w.impure("locking read")
		return false // it names aliases
	case *ast.RangeVar:
		w.table(n)
	case *ast.FuncCall:
		w.function(n)
	case *ast.TypeName:
		w.typeName(n)
	}
	return true
}

func (w *pgWalker) leave(c *ast.Cursor) bool {
	switch n := c.Node().(type) {
	case *ast.SelectStmt, *ast.InsertStmt, *ast.UpdateStmt, *ast.DeleteStmt, *ast.MergeStmt:
		w.names = w.names[:w.marks[len(w.marks)-1]]
		w.marks = w.marks[:len(w.marks)-1]
	case *ast.CommonTableExpr:
		w.hide(n, false)
	}
	return true
}

func (w *pgWalker) write(with *ast.WithClause) {
	w.f.writes = true
	w.open(with)
}

// open begins a statement with its common table expressions.
func (w *pgWalker) open(with *ast.WithClause) {
	w.marks = append(w.marks, len(w.names))
	if with == nil || with.Ctes == nil {
		return
	}
	for _, item := range with.Ctes.Items {
		if cte, ok := item.(*ast.CommonTableExpr); ok {
			cte.Cterecursive = with.Recursive
			w.names = append(w.names, pgCTE{node: cte})
		}
	}
}

// hide hides a common table expression and those behind it while it is being defined: only a recursive one may
// name itself.
func (w *pgWalker) hide(cte *ast.CommonTableExpr, hidden bool) {
	if cte.Cterecursive {
		return
	}
	for i := len(w.names) - 1; i >= 0; i-- {
		w.names[i].hidden = hidden
		if w.names[i].node == cte {
			return
		}
	}
}

func (w *pgWalker) impure(rule string) {
	if w.f.impure == "" {
		w.f.impure = rule
	}
}

func (w *pgWalker) server(rule string) {
	if w.f.server == "" {
		w.f.server = rule
	}
}

// function judges a call by the function's name.
func (w *pgWalker) function(n *ast.FuncCall) {
	schema, name := pgNames(n.Funcname)
	own := schema == "" || schema == "pg_catalog"
	effect := functionEffectsPostgres[name]
	switch {
	case own && effect.settings:
		w.f.settings = true
	case own && effect.rule != "":
		w.impure(effect.rule)
	case own && name == "current_setting":
		w.setting(n)
	case own && purePostgres[name]:
	case own && serverPostgres[name]:
		w.server(rulePrimary)
	case own && volatilePostgres[name]:
		w.impure("function that may write: " + name)
	case schema == "" && w.pure[name], schema != "" && w.pure[schema+"."+name]:
		return
	default:
		if w.f.unknown == "" {
			w.f.unknown = ruleImpure + strings.TrimPrefix(schema+"."+name, ".")
		}
		w.ask(call{schema: schema, name: name})
		return
	}
	if schema == "" {
		w.ask(call{name: name, own: true})
	}
}

// setting judges current_setting: of the session only if the name is spelled out and not one of the server's.
func (w *pgWalker) setting(n *ast.FuncCall) {
	if n.Args != nil && len(n.Args.Items) > 0 {
		if c, ok := n.Args.Items[0].(*ast.A_Const); ok {
			if s, ok := c.Val.(*ast.String); ok && strings.Contains(s.SVal, ".") {
				return
			}
		}
	}
	w.server(rulePrimary)
}

func (w *pgWalker) ask(c call) {
	for _, seen := range w.f.asked {
		if seen == c {
			return
		}
	}
	w.f.asked = append(w.f.asked, c)
}

// typeName judges a cast: to a type whose values are names in the catalog only the primary does.
func (w *pgWalker) typeName(n *ast.TypeName) {
	switch _, name := pgNames(n.Names); name {
	case "regclass", "regproc", "regprocedure", "regoper", "regoperator", "regtype", "regrole", "regnamespace", "regcollation":
		w.server(ruleCatalog)
	}
}

const (
	ruleCatalog   = "the server's catalog: answered by the primary"
	ruleTempTable = "temporary table"
)

func (w *pgWalker) table(n *ast.RangeVar) {
	if n.SchemaName == "" {
		for _, cte := range w.names {
			if !cte.hidden && cte.node.Ctename == n.RelName {
				return
			}
		}
	}
	switch schema := n.SchemaName; {
	case schema == "pg_catalog", schema == "information_schema", schema == "pg_toast", schema == "" && strings.HasPrefix(n.RelName, "pg_"):
		w.server(ruleCatalog)
	case strings.HasPrefix(schema, "pg_temp"):
		w.impure(ruleTempTable)
	}
	t := Table{Schema: n.SchemaName, Name: n.RelName}
	for _, seen := range w.f.tables {
		if seen == t {
			return
		}
	}
	w.f.tables = append(w.f.tables, t)
}

// pgNames are the last two parts of a name with dots.
func pgNames(list *ast.NodeList) (schema, name string) {
	if list == nil {
		return "", ""
	}
	for _, item := range list.Items {
		if s, ok := item.(*ast.String); ok {
			schema, name = name, s.SVal
		}
	}
	return schema, name
}
