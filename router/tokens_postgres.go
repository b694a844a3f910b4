package router

import "strings"

// This file holds PostgreSQL's statements as words, for the code that decides by them on a miss of the plan
// cache. See tokens_mysql.go.

// pgTokenize cuts a normalised text into its statements.
func pgTokenize(text string) []stmt {
	l := newPgLexer([]byte(text), 0)
	var split pgSplit
	var out []stmt
	all := make(stmt, 0, len(text)/4+1)
	from, literals, dot := 0, 0, false
	for l.next() {
		t := tok{kind: l.kind, text: string(l.text()), lit: -1}
		switch l.kind {
		case tokWord:
			t.word = strings.ToUpper(t.text)
			split.word(pgKeywordOf(l.text()), dot)
		case tokName:
			split.word(pgNone, true)
		case tokParam:
			t.lit = literals
			literals++
		}
		switch l.op() {
		case '(':
			split.depth++
		case ')':
			split.depth--
		case ';':
			if split.semicolon() {
				if len(all) > from {
					out = append(out, all[from:len(all):len(all)])
				}
				from = len(all)
				continue
			}
		}
		dot = l.op() == '.'
		all = append(all, t)
	}
	if len(all) > from {
		out = append(out, all[from:])
	}
	return out
}

// ident is a token as a name: folded to lower case unless it is quoted.
func (t tok) ident() string {
	if t.kind == tokName {
		return unquoteName(t.text)
	}
	return strings.ToLower(t.text)
}

// unquoteName is the name in double quotes.
func unquoteName(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	return strings.ReplaceAll(s, `""`, `"`)
}

// idents reads a name with dots from the i-th token on, and returns the number of its tokens too.
func (s stmt) idents(i int) (parts []string, used int) {
	for i+used < len(s) && s[i+used].isName() {
		parts = append(parts, s[i+used].ident())
		used++
		if s.op(i+used) != "." {
			break
		}
		used++
	}
	return parts, used
}

// plainText is the inside of a kept string; false if the token isn't one.
func (t tok) plainText() (string, bool) {
	if t.kind != tokString {
		return "", false
	}
	return strings.Trim(t.text, "'"), true
}
