package router

import (
	"bytes"
	"strings"
)

// mysqlDialect is MySQL's and MariaDB's SQL.
type mysqlDialect struct{ parser *queryParser }

func (mysqlDialect) scan(sql []byte, mode Mode, s *Scan, limit int) pass {
	n := s.begin(limit)
	n.run(sql, mode)
	s.end(n)
	return pass{out: n.out, flaw: n.flaw, tooLong: n.tooLong, executed: n.executed, maxDepth: n.maxDepth, tokens: n.tokens}
}

func (mysqlDialect) words(text string, executed bool) (*Plan, stmt) {
	toks := tokenize(text)
	return planWords(toks, executed), toks
}

func (d mysqlDialect) parse(sql []byte, mode Mode, limit int) findings {
	return d.parser.read(dummies(sql, mode, limit))
}

func (mysqlDialect) called(p *Plan) { p.pin(PinCall) }

func (mysqlDialect) unread(p *Plan) { p.Opaque = true }

func (mysqlDialect) adjust(p *Plan, f *Facts) {
	if f.Mode&Serializable != 0 && (p.Kind == KindBegin || p.Kind == KindBeginReadOnly) {
		p.Kind = KindBeginReadWrite // its reads lock
	}
	p.Opaque = p.Opaque || hides(p.Pin)
	if p.Class != ClassRead {
		return
	}
	switch {
	case f.Mode&Serializable != 0:
		p.Class, p.Rule, p.Retriable = ClassWrite, ruleLocks, false
	case isSystemDatabase(f.Database):
		fromPrimary(p, ruleSystem)
	}
}

func (mysqlDialect) behind(sql []byte, mode Mode) (verb string, rest []byte) {
	l := newLexer(bytes.TrimPrefix(sql, bom), mode)
	l.next()
	l.next()
	return strings.ToUpper(string(l.text())), l.sql[l.pos:]
}

func (mysqlDialect) isDataWord(word string) bool {
	switch word {
	case "SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "VALUES", "TRUNCATE":
		return true
	}
	return false
}

func (mysqlDialect) mayChangeSession(sql []byte, mode Mode) bool {
	if bytes.IndexByte(sql, '@') >= 0 || mode&MultiStatements != 0 && bytes.IndexByte(sql, ';') >= 0 {
		return true
	}
	return containsAny(sql, "_lock", "last_insert_id", "nextval", "setval", "value for", "row_count", "found_rows")
}

func (mysqlDialect) lastValues(sql []byte, mode Mode) (needs Value) {
	if mode&MultiStatements != 0 && bytes.IndexByte(sql, ';') >= 0 {
		return 0 // of the statement before it in the text, most likely
	}
	for name, e := range functionEffects {
		if e.needs&(LastInsertID|RowCount|FoundRows) != 0 && containsAny(sql, name) {
			needs |= e.needs
		}
	}
	return needs
}

// changesSession looks for a user variable, a second statement, a function with an effect, an executed comment.
func (mysqlDialect) changesSession(sql []byte, mode Mode) bool {
	l := newLexer(sql, mode)
	var function effect // of the last word, if ( follows
	semicolon, value := false, false
	for l.next() {
		word := l.kind == tokWord
		switch {
		case semicolon, l.kind == tokUserVar, l.kind == tokExec:
			return true
		case value && word && bytes.EqualFold(l.text(), []byte("for")): // NEXT VALUE FOR
			return true
		case l.op() == '(' && function.pin+function.unpin != "", l.op() == '(' && function.needs != 0:
			return true
		}
		semicolon = l.op() == ';'
		value = word && bytes.EqualFold(l.text(), []byte("value"))
		function = effect{}
		if word || l.kind == tokName {
			function = effectOf(l.text())
		}
	}
	return l.flaw != flawNone
}

func (mysqlDialect) flag() byte { return 0 }
