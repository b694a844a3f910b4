package router

import "strings"

// This file holds a statement as words, for the code that decides by them on a miss of the plan cache.

// tok is one token of a normalised text.
type tok struct {
	kind tokenKind
	text string // as in the text
	word string // upper case, for an unquoted word; else empty
	lit  int    // for a literal: its index into Scan.Literals; else -1
}

// stmt is the tokens of one statement.
type stmt []tok

// tokenize cuts a normalised text into tokens.
func tokenize(text string) stmt {
	l := newLexer([]byte(text), 0)
	out := make(stmt, 0, len(text)/4+1)
	literals := 0
	for l.next() {
		t := tok{kind: l.kind, text: string(l.text()), lit: -1}
		switch l.kind {
		case tokWord:
			t.word = strings.ToUpper(t.text)
		case tokParam:
			t.lit = literals
			literals++
		}
		out = append(out, t)
	}
	return out
}

// word is the i-th token if it is an unquoted word, in upper case; else empty.
func (s stmt) word(i int) string {
	if i < 0 || i >= len(s) {
		return ""
	}
	return s[i].word
}

// op is the i-th token if it is an operator; else empty.
func (s stmt) op(i int) string {
	if i < 0 || i >= len(s) || s[i].kind != tokOp {
		return ""
	}
	return s[i].text
}

// words reports whether the words from i on are those.
func (s stmt) words(i int, words ...string) bool {
	for k, w := range words {
		if s.word(i+k) != w {
			return false
		}
	}
	return true
}

// has reports whether one of the words is anywhere.
func (s stmt) has(words ...string) bool {
	for i := range s {
		for _, w := range words {
			if s[i].word == w {
				return true
			}
		}
	}
	return false
}

// from is the statement from the i-th token on.
func (s stmt) from(i int) stmt {
	if i >= len(s) {
		return nil
	}
	return s[i:]
}

// skipParens is the statement behind its leading opening parentheses.
func (s stmt) skipParens() stmt {
	for s.op(0) == "(" {
		s = s[1:]
	}
	return s
}

// split cuts at an operator that stands outside parentheses; empty pieces are left out.
func (s stmt) split(op string) []stmt {
	var out []stmt
	depth, from := 0, 0
	for i := range s {
		switch s.op(i) {
		case "(":
			depth++
		case ")":
			depth--
		}
		if s.op(i) == op && depth <= 0 {
			if i > from {
				out = append(out, s[from:i])
			}
			from, depth = i+1, 0
		}
	}
	if from < len(s) {
		out = append(out, s[from:])
	}
	return out
}

// statements cuts a text into its statements. A semicolon ends one whatever is open.
func (s stmt) statements() []stmt {
	var out []stmt
	from := 0
	for i := range s {
		if s.op(i) == ";" {
			if i > from {
				out = append(out, s[from:i])
			}
			from = i + 1
		}
	}
	if from < len(s) {
		out = append(out, s[from:])
	}
	return out
}

// bodies says what becomes of the inside of executed comments.
type bodies bool

const (
	executed bodies = true
	skipped  bodies = false
)

// reading is the statement as a server reads it that executes executable comments or skips them.
// Optimizer hints are left out of both.
func (s stmt) reading(b bodies) stmt {
	out := make(stmt, 0, len(s))
	in := tokNone
	for _, t := range s {
		switch t.kind {
		case tokExec, tokHint:
			in = t.kind
		case tokClose:
			in = tokNone
		default:
			if in == tokNone || in == tokExec && b == executed {
				out = append(out, t)
			}
		}
	}
	return out
}

// name is a token as the name of a variable, function or table: without quotes, as written.
func (t tok) name() string {
	if t.kind != tokName {
		return t.text
	}
	s := strings.TrimSuffix(strings.TrimPrefix(t.text, "`"), "`")
	return strings.ReplaceAll(s, "``", "`")
}

// isName reports whether the token can name something.
func (t tok) isName() bool { return t.kind == tokWord || t.kind == tokName }
