package router

import (
	"bytes"
	"strings"
)

// postgresDialect is PostgreSQL's SQL.
type postgresDialect struct{ prover pgProver }

const ruleSerializable = "SERIALIZABLE: a standby refuses it"

func (postgresDialect) scan(sql []byte, mode Mode, s *Scan, limit int) pass {
	n := s.beginPg(limit)
	n.run(sql, mode)
	s.endPg(n)
	return pass{out: n.out, flaw: n.flaw, tooLong: n.tooLong, maxDepth: n.maxDepth, tokens: n.tokens}
}

func (postgresDialect) words(text string, _ bool) (*Plan, stmt) {
	list := pgTokenize(text)
	p := planStatements(list, pgByWords)
	if len(list) == 0 {
		return p, nil
	}
	return p, list[0]
}

func (d postgresDialect) parse(sql []byte, mode Mode, limit int) findings {
	return d.prover.read(pgDummies(sql, mode, limit))
}

func (postgresDialect) called(p *Plan) { p.Taints = true }

func (postgresDialect) unread(p *Plan) { p.Taints = true }

func (postgresDialect) adjust(p *Plan, f *Facts) {
	if f.Mode&Serializable == 0 {
		return
	}
	if p.Class == ClassRead {
		p.Class, p.Rule, p.Retriable = ClassWrite, ruleSerializable, false
	}
	if p.Kind == KindBegin || p.Kind == KindBeginReadOnly {
		if !strings.Contains(strings.ToUpper(p.Text), "LEVEL") { // the session's own level
			p.Kind = KindBeginReadWrite
		}
	}
}

func (postgresDialect) behind(sql []byte, mode Mode) (verb string, rest []byte) {
	l := newPgLexer(sql, mode)
	l.next()
	l.next()
	return strings.ToUpper(string(l.text())), l.sql[l.pos:]
}

func (postgresDialect) isDataWord(word string) bool {
	switch word {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TRUNCATE":
		return true
	}
	return false
}

func (postgresDialect) mayChangeSession(sql []byte, _ Mode) bool {
	return bytes.IndexByte(sql, ';') >= 0 ||
		containsAny(sql, "advisory", "set_config", "setseed", "currval", "lastval", "temp", "pg_settings", "backup", "origin", "slot")
}

func (postgresDialect) lastValues([]byte, Mode) Value { return 0 }

// changesSession looks for a second statement, a function with an effect, a temporary table.
func (postgresDialect) changesSession(sql []byte, mode Mode) bool {
	l := newPgLexer(sql, mode)
	var function effect // of the last word, if ( follows
	semicolon := false
	for l.next() {
		word := l.kind == tokWord
		switch {
		case semicolon, l.op() == '(' && (function.pin+function.unpin != "" || function.settings):
			return true
		case word && bytes.EqualFold(l.text(), []byte("temp")), word && bytes.EqualFold(l.text(), []byte("temporary")):
			return true
		}
		semicolon = l.op() == ';'
		function = effect{}
		if word || l.kind == tokName {
			function = effectIn(functionEffectsPostgres, l.text())
		}
	}
	return l.flaw != flawNone
}

func (postgresDialect) flag() byte { return keyPostgres }
