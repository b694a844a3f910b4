package router

import "bytes"

// This file writes the normalised text of a statement: tokens with one space where one is needed,
// literals replaced by ?, lists of literals by one ?, rows that look the same by one of them. Comments and white space are gone, so the text
// is the same however a driver or a tracing library decorates the statement, and normalising it again
// changes nothing.

const (
	// maxKept is the length in digits up to which a number stays in the text where it means more than
	// its value: ORDER BY 1, SET autocommit=0. Longer ones are replaced, so digests stay bounded.
	maxKept = 3
	// maxScratch is how many bytes of a statement's text a session keeps for the next one.
	maxScratch = 64 << 10
	// maxLeadHint is the longest leat comment that is read, in bytes.
	maxLeadHint = 256
)

// literalForm is what replaces a literal.
type literalForm uint8

const (
	asPlaceholder literalForm = iota // ?
	asDummy                          // a literal of the same type, for the parser
)

// normalizer is one pass over a statement.
type normalizer struct {
	lexer
	form     literalForm
	limit    int // bytes of out after which the pass stops
	out      []byte
	literals []Literal

	// of the last token written
	prev     tokenKind
	prevOp   byte
	prevWord keyword
	litStart int // where the last literal starts in sql

	// of the statement so far
	statements int
	semicolon  bool // seen, and written when another statement follows
	firstWord  keyword
	anyWord    bool // the statement has a word already
	executed   bool // has an executed comment
	inHint     bool
	starts     []int // where each statement begins in out; for the parser only
	tooLong    bool
	depth      int
	maxDepth   int
	tokens     int // written
	byDepth    int // the depth of the last ORDER BY list; -1 when it has ended
	rows       rowState
	rowsDepth  int
	rowStart   int     // where the row that is being written begins in out
	row        rowMark // the last row written
}

// rowMark is where a row of a VALUES list stands, and what had been written at its end.
type rowMark struct{ start, end, literals, tokens int }

// rowState is where a VALUES list stands.
type rowState uint8

const (
	rowsNone rowState = iota
	rowsWait          // a row's ( must follow
	rowsIn            // in a row
	rowsNext          // behind a row's )
)

var bom = []byte("\xef\xbb\xbf")

// run normalises sql.
func (n *normalizer) run(sql []byte, mode Mode) {
	n.lexer = newLexer(bytes.TrimPrefix(sql, bom), mode)
	n.byDepth = -1
	for n.next() {
		n.token()
		if len(n.out) > n.limit {
			n.tooLong = true
			return
		}
	}
	if n.bodyEnd != notInBody {
		n.flaw = flawUnterminated
	}
}

// dummies returns the statements of a text with a literal of the same type in place of each literal.
func dummies(sql []byte, mode Mode, limit int) []string {
	n := normalizer{form: asDummy, limit: limit}
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

func (n *normalizer) token() {
	if n.dropsHint() || n.dropsRow() {
		return
	}
	switch n.kind {
	case tokWord:
		n.putWord()
	case tokString:
		if n.prev == tokString { // 'a' 'b' is one string
			if n.form == asPlaceholder {
				n.literals[len(n.literals)-1].Raw = n.sql[n.litStart:n.end]
			}
			return
		}
		n.literal(n.kind)
	case tokNumber, tokHex, tokParam:
		n.literal(n.kind)
	case tokName:
		n.before(tokName, 0)
		n.putName(n.text())
	case tokUserVar, tokSysVar:
		n.before(n.kind, 0)
		n.putVariable()
	case tokOp:
		n.operator()
	case tokExec, tokHint, tokClose:
		n.rows = rowsNone
		n.executed = n.executed || n.kind == tokExec
		n.before(n.kind, 0)
		n.out = append(n.out, n.text()...)
	}
}

// before writes what stands before a token: the semicolon of an earlier statement, a space if one is needed.
func (n *normalizer) before(k tokenKind, op byte) {
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
	n.prev, n.prevOp, n.prevWord = k, op, kwNone
}

// begin begins a statement.
func (n *normalizer) begin() {
	n.statements++
	n.semicolon, n.anyWord, n.firstWord = false, false, kwNone
	n.depth, n.byDepth, n.rows = 0, -1, rowsNone
	if n.form == asDummy {
		n.starts = append(n.starts, len(n.out))
	}
	if n.statements == 1 && isLeadHint(n.lead) && n.form == asPlaceholder {
		n.out = appendLeadHint(n.out, n.lead)
	}
}

// spaced reports whether a space stands between the last token and the next. It never depends on what
// the client wrote.
func (n *normalizer) spaced(k tokenKind, op byte) bool {
	isName := k == tokWord || k == tokName
	prevName := n.prev == tokWord || n.prev == tokName
	switch {
	case n.prevOp == '(' || op == ')' || op == ',':
		return false
	case n.prevOp == '.':
		return !isName && op != '*'
	case op == '.':
		return !prevName && n.prev != tokSysVar
	case op == '(':
		return !prevName
	}
	return true
}

// putWord writes a word. One that vitess' tokenizer would cut differently is quoted.
func (n *normalizer) putWord() {
	w := n.text()
	kw := kwNone
	if n.prevOp != '.' {
		kw = keywordOf(w)
	}
	n.before(tokWord, 0)
	if n.plain {
		n.out = append(n.out, w...)
	} else {
		n.out = append(n.out, '`')
		n.out = append(n.out, w...)
		n.out = append(n.out, '`')
		n.prev = tokName
	}
	n.prevWord = kw
	if !n.anyWord {
		n.anyWord, n.firstWord = true, kw
	}
	switch {
	case kw == kwBy:
		n.byDepth = n.depth
	case kw == kwLimit:
		n.byDepth = -1
	case kw == kwValues && n.rows == rowsNone:
		n.rows, n.rowsDepth, n.row = rowsWait, n.depth, rowMark{}
	}
}

// putName writes a quoted name in backticks.
func (n *normalizer) putName(raw []byte) {
	if raw[0] == '`' {
		n.out = append(n.out, raw...)
		return
	}
	n.out = append(n.out, '`')
	n.putBare(raw)
	n.out = append(n.out, '`')
}

// putBare writes the inside of a name quoted with ' or ", fit to stand in backticks.
func (n *normalizer) putBare(raw []byte) {
	quote := raw[0]
	inside := raw[1:]
	if len(inside) > 0 && inside[len(inside)-1] == quote {
		inside = inside[:len(inside)-1]
	}
	for i := 0; i < len(inside); i++ {
		c := inside[i]
		if escape := c == '\\' && n.backslash && n.kind == tokUserVar; escape || c == quote {
			i++ // the doubled quote, the escaped character
			if escape && i < len(inside) {
				c = inside[i]
			}
		}
		if c == '`' {
			n.out = append(n.out, '`')
		}
		n.out = append(n.out, c)
	}
}

func (n *normalizer) putVariable() {
	t := n.text()
	at := 1
	if n.kind == tokSysVar {
		at = 2
	}
	n.out = append(n.out, t[:at]...)
	name := t[at:]
	switch {
	case len(name) > 0 && classOf[name[0]] == chQuote:
		n.putName(name)
	case isPlainVariable(name):
		n.out = append(n.out, name...)
	default:
		n.out = append(n.out, '`')
		n.out = append(n.out, name...)
		n.out = append(n.out, '`')
	}
}

func isPlainVariable(name []byte) bool {
	for _, c := range name {
		if c >= 0x80 {
			return false
		}
	}
	return len(name) > 0
}

// literal writes a literal, or keeps it where it means more than its value.
func (n *normalizer) literal(k tokenKind) {
	kept := k == tokNumber && n.keeps(n.text())
	n.before(k, 0)
	if kept {
		n.out = append(n.out, n.text()...)
		return
	}
	n.litStart = n.start
	n.putLiteral(k, n.text())
}

func (n *normalizer) putLiteral(k tokenKind, raw []byte) {
	if n.form == asPlaceholder {
		n.literals = append(n.literals, Literal{Raw: raw})
		n.out = append(n.out, '?')
		return
	}
	switch k {
	case tokString:
		n.out = append(n.out, '\'', '\'')
	case tokHex:
		n.out = append(n.out, "x'00'"...)
	case tokParam:
		n.out = append(n.out, '?')
	default:
		n.out = append(n.out, '1')
	}
}

// keeps reports whether a number stays in the text: small ones in ORDER BY and GROUP BY lists and in
// SET statements, and LIMIT 1.
func (n *normalizer) keeps(number []byte) bool {
	if len(number) > maxKept {
		return false
	}
	for _, c := range number {
		if classOf[c] != chDigit {
			return false
		}
	}
	switch {
	case n.firstWord == kwSet:
		return true
	case n.prevWord == kwBy:
		return true
	case n.prevOp == ',' && n.byDepth == n.depth:
		return true
	}
	return n.prevWord == kwLimit && len(number) == 1 && number[0] == '1'
}

func (n *normalizer) operator() {
	op := n.op()
	switch op {
	case ';':
		if n.prev != tokNone && n.bodyEnd == notInBody {
			n.semicolon = true
			n.prev, n.prevOp, n.prevWord = tokOp, op, kwNone
			return
		}
		if n.prev == tokNone {
			return
		}
	case '(':
		n.open()
		return
	case ')':
		n.close()
		return
	}
	n.before(tokOp, op)
	n.out = append(n.out, n.text()...)
}

// close writes a ).
func (n *normalizer) close() {
	n.depth--
	if n.depth < n.byDepth {
		n.byDepth = -1
	}
	n.before(tokOp, ')')
	n.out = append(n.out, ')')
	if n.rows == rowsIn && n.depth == n.rowsDepth {
		n.rows = rowsNext
		n.endRow()
	}
}

// endRow takes back a row that looks as the one before it: what its functions do, that one's do.
func (n *normalizer) endRow() {
	last := n.row
	if last.end > 0 && bytes.Equal(n.out[n.rowStart:], n.out[last.start:last.end]) {
		n.out, n.literals, n.tokens = n.out[:last.end], n.literals[:last.literals], last.tokens
		return
	}
	n.row = rowMark{n.rowStart, len(n.out), len(n.literals), n.tokens}
}

// open writes a ( and, behind IN, a list of literals as one.
func (n *normalizer) open() {
	inList := n.prevWord == kwIn
	n.before(tokOp, '(')
	if n.rows == rowsIn && n.depth == n.rowsDepth {
		n.rowStart = len(n.out)
	}
	n.out = append(n.out, '(')
	n.depth++
	n.maxDepth = max(n.maxDepth, n.depth)
	if !inList {
		return
	}
	if list, ok := n.literalList(); ok {
		n.before(tokParam, 0)
		n.putLiteral(tokNumber, list)
	}
}

// dropsHint reports whether the token belongs to an optimizer hint that the parser needn't see.
func (n *normalizer) dropsHint() bool {
	if n.form != asDummy {
		return false
	}
	if n.kind == tokHint {
		n.inHint = true
	}
	drop := n.inHint
	if n.kind == tokClose {
		n.inHint = false
	}
	return drop
}

// dropsRow follows a VALUES list. It reports whether the token was the comma before a row of nothing
// but literals, behind the first row; that row is then passed over. (Other rows are written, see endRow.)
func (n *normalizer) dropsRow() bool {
	if n.rows == rowsNone || n.rows == rowsIn {
		return false
	}
	op := n.op()
	switch {
	case n.rows == rowsWait && op == '(' && n.depth == n.rowsDepth:
		n.rows = rowsIn
	case n.rows == rowsNext && op == ',' && n.depth == n.rowsDepth:
		probe := *n
		if probe.next() && probe.op() == '(' {
			if _, ok := probe.literalList(); ok {
				n.pos = probe.pos + 1
				return true
			}
		}
		n.rows = rowsWait
	default:
		n.rows = rowsNone
	}
	return false
}

// literalList reads a list of literals, and of lists of them, from behind its ( up to its ). It returns
// the list as written and stays before the ). False leaves everything as it was.
func (n *normalizer) literalList() ([]byte, bool) {
	l := n.lexer
	depth, first, last := 1, -1, 0
	prefixed := false // a literal must follow
	for l.next() {
		switch l.kind {
		case tokString, tokNumber, tokHex, tokParam:
			if prefixed && l.kind != tokString && l.kind != tokHex {
				return nil, false
			}
			prefixed = false
		case tokWord:
			kw := keywordOf(l.text())
			prefixed = kw == kwLiteralPrefix || l.sql[l.start] == '_'
			if kw != kwConstant && !prefixed {
				return nil, false
			}
		case tokOp:
			switch l.op() {
			case '(':
				depth++
			case ')':
				depth--
			case ',', '-', '+':
			default:
				return nil, false
			}
			if prefixed {
				return nil, false
			}
		default:
			return nil, false
		}
		if depth == 0 {
			if first < 0 || l.flaw != n.flaw {
				return nil, false
			}
			n.lexer, n.pos = l, l.start
			return l.sql[first:last], true
		}
		if first < 0 {
			first = l.start
		}
		last = l.end
	}
	return nil, false
}
