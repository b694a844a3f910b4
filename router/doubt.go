package router

import (
	"bytes"
	"strings"
)

// This file plans what can't be read with certainty: a text in a charset whose characters may hold
// quotes, with a quote that never ends, or too long to be kept. Such a text goes to the primary, and
// pins the session if it may change its state.

// doubt is whether a text was read as every server reads it.
type doubt uint8

const (
	readable      doubt = iota
	doubtData           // no, but it can only be a query or change rows
	doubtAnything       // no, and it may do anything to the session
)

// flags of an unreadable plan's key, beside those of appendKey.
const (
	keyDoubtData     byte = 1 << 6
	keyDoubtAnything byte = 1 << 7
)

// doubts judges a text after the pass over it.
func (n *normalizer) doubts(sql []byte, mode Mode) doubt {
	if n.flaw != flawNone {
		return doubtAnything
	}
	if mode&UnsafeCharset == 0 || isASCII(sql) {
		return readable
	}
	if mayChangeSession(sql, mode) || !isDataWord(firstWord(n.out)) {
		return doubtAnything
	}
	return doubtData
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// firstWord is the first word of a normalised text, in upper case.
func firstWord(text []byte) string {
	b := bytes.TrimLeft(text, "(")
	end := 0
	for end < len(b) && end < 32 && isName[b[end]] {
		end++
	}
	return strings.ToUpper(string(b[:end]))
}

// isDataWord reports whether a statement that begins with the word does nothing to the session but by
// its functions and variables.
func isDataWord(word string) bool {
	switch word {
	case "SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "VALUES", "TRUNCATE":
		return true
	}
	return false
}

// mayChangeSession searches the bytes themselves, wherever quotes may stand.
func mayChangeSession(sql []byte, mode Mode) bool {
	if bytes.IndexByte(sql, '@') >= 0 || mode&MultiStatements != 0 && bytes.IndexByte(sql, ';') >= 0 {
		return true
	}
	lower := bytes.ToLower(sql)
	for _, name := range []string{"_lock", "last_insert_id", "nextval", "setval", "value for"} {
		if bytes.Contains(lower, []byte(name)) {
			return true
		}
	}
	return false
}

// unreadable plans a text that can't be read with certainty. Its plan shows the first word alone: what
// looks like a name may be a piece of a literal.
func (r *Router) unreadable(n *normalizer, s *Scan, d doubt) *Plan {
	flag := keyDoubtData
	if d == doubtAnything {
		flag = keyDoubtAnything
	}
	s.Literals = s.Literals[:0]
	s.Normalized = append(append(s.Normalized[:0], firstWord(n.out)...), " (not shown)"...)
	s.key = append(append(s.key[:0], s.Normalized...), flag)
	if p := r.plans.get(s.key); p != nil {
		return p
	}
	p := &Plan{Rule: ruleCantRead, Statements: 1, Kill: Kill{Literal: -1}, key: string(s.key)}
	p.Text = p.key[:len(s.Normalized)]
	p.Digest = digest(p.Text)
	if d == doubtAnything {
		p.Pin = PinUnknown
	}
	r.plans.unparsed.Add(1)
	r.plans.put(p)
	return p
}

// longPlan plans a text whose normalised form is too long to be kept: by its first word, and by a
// search for what changes a session in all of it.
func longPlan(n *normalizer, sql []byte) *Plan {
	word := firstWord(n.out)
	p := &Plan{
		Text: word + " (too long to be shown)", Rule: ruleTooLong, Statements: 1, Kill: Kill{Literal: -1},
	}
	p.Digest = digest(p.Text)
	if !isDataWord(word) || changesSession(n.lexer, sql) {
		p.Pin = PinUnknown
	}
	return p
}

// changesSession reads on through a long text and looks for anything but data: a user variable, a second
// statement, a function with an effect, an executed comment.
func changesSession(l lexer, sql []byte) bool {
	l = lexer{sql: sql, ansi: l.ansi, backslash: l.backslash, bodyEnd: notInBody}
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
