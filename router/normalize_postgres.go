package router

import (
	"bytes"
	"strconv"
)

// This file writes the normalised text of a PostgreSQL statement: tokens with one space where one is needed,
// literals and parameters replaced by $1, $2 and so on in their order, lists of literals by one of them.
// Comments and white space are gone. Normalising it again changes nothing.

// maxName is the longest name that the server keeps, in bytes.
const maxName = 63

// pgNormalizer is one pass over a statement.
type pgNormalizer struct {
	pgLexer
	form     literalForm
	limit    int // bytes of out after which the pass stops
	out      []byte
	literals []Literal

	// of the last token written
	prev     tokenKind
	prevOp   byte // the first byte of an operator
	prevWord pgKeyword
	callee   pgKeyword // the word in front of the ( that was the last token

	// of the statement so far
	split      pgSplit
	statements int
	semicolon  bool // seen, and written when another statement follows
	firstWord  pgKeyword
	anyWord    bool  // the statement has a word already
	path       bool  // its strings are names of schemas
	starts     []int // where each statement begins in out; for the parser only
	tooLong    bool
	maxDepth   int
	tokens     int // written
	byDepth    int // the depth of the last ORDER BY list; -1 when it has ended
	rows       rowState
	rowsDepth  int
}

// run normalises sql.
func (n *pgNormalizer) run(sql []byte, mode Mode) {
	n.pgLexer = newPgLexer(sql, mode)
	n.byDepth = -1
	if bytes.IndexByte(sql, 0) >= 0 { // the server's text ends there
		n.flaw = flawUnterminated
	}
	for n.next() {
		n.token()
		if len(n.out) > n.limit {
			n.tooLong = true
			return
		}
	}
}

// pgDummies returns the statements of a text with a literal of the same type in place of each literal.
func pgDummies(sql []byte, mode Mode, limit int) []string {
	n := pgNormalizer{form: asDummy, limit: limit}
	n.run(sql, mode)
	out := make([]string, 0, len(n.starts))
	for i, from := range n.starts {
		to := len(n.out)
		if i+1 < len(n.starts) {
			to = n.starts[i+1] - len("; ")
		}
		out = append(out, string(n.out[from:to]))
	}
	return out
}

func (n *pgNormalizer) token() {
	if n.dropsRow() {
		return
	}
	switch n.kind {
	case tokWord, tokName:
		n.putName()
	case tokString, tokNumber, tokHex, tokParam:
		n.literal(n.kind)
	case tokOp:
		n.operator()
	}
}

// before writes what stands before a token: the semicolon of an earlier statement, a space if one is needed.
func (n *pgNormalizer) before(k tokenKind, op []byte) {
	n.tokens++
	switch {
	case n.prev == tokNone:
		n.begin()
	case n.semicolon:
		n.out = append(n.out, ';', ' ')
		n.begin()
	case n.spaced(k, op):
		n.out = append(n.out, ' ')
	}
	n.prev, n.prevOp, n.prevWord, n.callee = k, 0, pgNone, pgNone
	if k == tokOp {
		n.prevOp = op[0]
		if len(op) > 1 && op[0] != ':' {
			n.prevOp = opLong
		}
	}
}

// opLong stands for an operator of several characters.
const opLong = 1

// begin begins a statement.
func (n *pgNormalizer) begin() {
	n.statements++
	n.semicolon, n.anyWord, n.path, n.firstWord = false, false, false, pgNone
	n.byDepth, n.rows = -1, rowsNone
	if n.form == asDummy {
		n.starts = append(n.starts, len(n.out))
	}
	if n.statements == 1 && isLeadHint(n.lead) && n.form == asPlaceholder {
		n.out = appendLeadHint(n.out, n.lead)
	}
}

// spaced reports whether a space stands between the last token and the next. It never depends on what the
// client wrote.
func (n *pgNormalizer) spaced(k tokenKind, op []byte) bool {
	isName := k == tokWord || k == tokName
	prevName := n.prev == tokWord || n.prev == tokName
	behindValue := n.prev != tokOp || n.prevOp == ')' || n.prevOp == ']'
	var c byte
	if len(op) == 1 {
		c = op[0]
	}
	cast := len(op) == 2 && op[0] == ':' && op[1] == ':'
	switch {
	case n.prevOp == '(' || n.prevOp == '[' || c == ')' || c == ']' || c == ',' || c == ';' || c == '[':
		return false
	case n.prevOp == '.':
		return !isName && c != '*'
	case n.prevOp == opCast:
		return !isName
	case c == '.' || cast:
		return !behindValue || n.prev == tokNumber
	case c == '(':
		return !prevName
	}
	return true
}

// opCast is what prevOp holds behind a ::
const opCast = 2

// putName writes a word or a quoted name.
func (n *pgNormalizer) putName() {
	w := n.text()
	kw := pgNone
	switch {
	case n.kind == tokWord && n.prevOp != '.':
		kw = pgKeywordOf(w)
	case pgKeywordOf(bytes.Trim(w, `"`)) == pgSetting:
		kw = pgSetting
	}
	n.split.word(kw, n.kind == tokName || n.prevOp == '.')
	n.before(n.kind, nil)
	n.out = append(n.out, w...)
	n.prevWord = kw
	if !n.anyWord {
		n.anyWord, n.firstWord = true, kw
	}
	switch {
	case kw == pgBy:
		n.byDepth = n.split.depth
	case kw == pgLimit:
		n.byDepth = -1
	case kw == pgValues && n.rows == rowsNone:
		n.rows, n.rowsDepth = rowsWait, n.split.depth
	case kw == pgPath && n.firstWord == pgSet:
		n.path = true
	}
}

// literal writes a literal, or keeps it where it means more than its value.
func (n *pgNormalizer) literal(k tokenKind) {
	kept := k == tokNumber && n.keepsNumber(n.text()) || k == tokString && n.keepsString(n.text())
	if kept {
		n.before(k, nil)
		n.out = append(n.out, n.text()...)
		return
	}
	n.putLiteral(k, n.text())
}

func (n *pgNormalizer) putLiteral(k tokenKind, raw []byte) {
	escape := n.prevWord == pgUescape
	n.before(tokParam, nil)
	if n.form == asPlaceholder {
		n.literals = append(n.literals, Literal{Raw: raw})
		n.out = append(n.out, '$')
		n.out = strconv.AppendInt(n.out, int64(len(n.literals)), 10)
		return
	}
	switch {
	case escape:
		n.out = append(n.out, "'!'"...)
	case k == tokString && raw[0]|0x20 == 'u':
		n.out = append(n.out, "U&''"...)
	case k == tokString:
		n.out = append(n.out, "''"...)
	case k == tokHex:
		n.out = append(n.out, raw[0], '\'', '0', '\'')
	case k == tokParam:
		n.out = append(n.out, "$1"...)
	default:
		n.out = append(n.out, '1')
	}
}

// keepsNumber reports whether a number stays in the text: small ones in ORDER BY and GROUP BY lists and in SET.
func (n *pgNormalizer) keepsNumber(number []byte) bool {
	if len(number) > maxKept {
		return false
	}
	for _, c := range number {
		if pgClassOf[c] != chDigit {
			return false
		}
	}
	return n.firstWord == pgSet || n.prevWord == pgBy || n.prevOp == ',' && n.byDepth == n.split.depth
}

// keepsString reports whether a string stays in the text: one that names a setting in set_config('x', ...), or
// a schema in SET search_path.
func (n *pgNormalizer) keepsString(raw []byte) bool {
	return (n.callee == pgSetting || n.path) && isPlainString(raw)
}

// isPlainString reports whether a string literal is a name in simple quotes.
func isPlainString(raw []byte) bool {
	if len(raw) < 3 || len(raw) > maxName+2 || raw[0] != '\'' {
		return false
	}
	for _, c := range raw[1 : len(raw)-1] {
		if !pgIsName[c] && c != '.' || c >= 0x80 {
			return false
		}
	}
	return true
}

func (n *pgNormalizer) operator() {
	switch n.op() {
	case ';':
		if n.prev == tokNone {
			return
		}
		if n.split.semicolon() {
			n.semicolon = true
			n.prev, n.prevOp, n.prevWord, n.callee = tokOp, ';', pgNone, pgNone
			return
		}
	case '(', '[':
		n.open()
		return
	case ')':
		n.split.depth--
		if n.split.depth < n.byDepth {
			n.byDepth = -1
		}
		if n.rows == rowsIn && n.split.depth == n.rowsDepth {
			n.rows = rowsNext
		}
	}
	op := n.text()
	n.before(tokOp, op)
	if len(op) == 2 && op[0] == ':' && op[1] == ':' {
		n.prevOp = opCast
	}
	n.out = append(n.out, op...)
}

// open writes a ( or [ and, behind IN or ARRAY, a list of literals as one.
func (n *pgNormalizer) open() {
	word := n.prevWord
	op := n.text()
	n.before(tokOp, op)
	n.out = append(n.out, op...)
	isList := word == pgArray && op[0] == '['
	if op[0] == '(' {
		n.split.depth++
		n.maxDepth = max(n.maxDepth, n.split.depth)
		n.callee = word
		isList = word == pgIn
	}
	if !isList {
		return
	}
	if list, ok := n.literalList(); ok {
		n.putLiteral(tokNumber, list)
	}
}

// dropsRow follows a VALUES list. It reports whether the token was the comma before a row of nothing but
// literals, behind the first row; that row is then passed over.
func (n *pgNormalizer) dropsRow() bool {
	if n.rows == rowsNone || n.rows == rowsIn {
		return false
	}
	op := n.op()
	atDepth := n.split.depth == n.rowsDepth
	switch {
	case n.rows == rowsWait && op == '(' && atDepth:
		n.rows = rowsIn
	case n.rows == rowsNext && op == ',' && atDepth:
		l := n.pgLexer
		if l.next() && l.op() == '(' {
			if _, end, ok := pgLiteralList(l); ok {
				n.pos = end + 1
				return true
			}
		}
		n.rows = rowsWait
	default:
		n.rows = rowsNone
	}
	return false
}

// literalList reads the list behind an opening. It returns the list as written and stays before what closes
// it. False leaves everything as it was.
func (n *pgNormalizer) literalList() ([]byte, bool) {
	list, end, ok := pgLiteralList(n.pgLexer)
	if ok {
		n.pos = end
	}
	return list, ok
}

// pgLiteralList reads a list of literals, and of lists of them, from behind its opening. It returns the list as
// written and the position of what closes it. The literals may be cast to a type of one word.
func pgLiteralList(l pgLexer) (list []byte, end int, ok bool) {
	depth, first, last, had := 1, -1, 0, l.flaw
	for l.next() {
		switch l.kind {
		case tokString, tokNumber, tokHex, tokParam:
		case tokWord:
			if !l.listWord() {
				return nil, 0, false
			}
		case tokOp:
			switch l.op() {
			case '(':
				depth++
			case ')', ']':
				depth--
			case ',', '-', '+':
			default:
				if !l.castInList() {
					return nil, 0, false
				}
			}
		default:
			return nil, 0, false
		}
		if depth == 0 {
			return l.sql[max(first, 0):last], l.start, first >= 0 && l.flaw == had
		}
		if first < 0 {
			first = l.start
		}
		last = l.end
	}
	return nil, 0, false
}

// listWord reports whether the word may stand in a list of literals: NULL and its like, DATE before a string.
func (l *pgLexer) listWord() bool {
	switch pgKeywordOf(l.text()) {
	case pgConstant:
		return true
	case pgLiteralPrefix:
		return l.next() && l.kind == tokString
	}
	return false
}

// castInList reports whether the operator is :: before a type of one word, and goes behind that: not one whose
// values are names in the catalog.
func (l *pgLexer) castInList() bool {
	if string(l.text()) != "::" || !l.next() || l.kind != tokWord {
		return false
	}
	w := l.text()
	if len(w) >= len("reg") && fold(w[:len("reg")], "reg") {
		return false
	}
	for {
		probe := *l
		if !(probe.next() && probe.op() == '[' && probe.next() && probe.op() == ']') {
			return true
		}
		*l = probe
	}
}
