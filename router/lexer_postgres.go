package router

import (
	"bytes"
	"unicode/utf8"
)

// This file cuts the text of a PostgreSQL statement into tokens, as the server's own scanner does: strings that
// go on in the next line, dollar quotes, nested comments, operators of many characters. It allocates nothing
// and looks at each byte a bounded number of times. Kinds of tokens and flaws are those of lexer_mysql.go.

// pgLexer yields the tokens of sql one by one. Kind, start and end describe the last one.
type pgLexer struct {
	sql         []byte
	backslash   bool // \ escapes in every string, not in E'' alone
	kind        tokenKind
	flaw        flaw
	seenComment bool
	pos         int
	start, end  int
	signsEnd    int // up to here stand signs that are operators of their own
	// lead is the inside of the first comment if no token comes before it.
	lead []byte
}

func newPgLexer(sql []byte, mode Mode) pgLexer {
	return pgLexer{sql: sql, backslash: mode&BackslashEscapes != 0}
}

// text is the last token as written. It aliases the statement.
func (l *pgLexer) text() []byte { return l.sql[l.start:l.end] }

// op is the last token's operator byte if it is an operator of one byte, else 0.
func (l *pgLexer) op() byte {
	if l.kind == tokOp && l.end-l.start == 1 {
		return l.sql[l.start]
	}
	return 0
}

// next goes to the next token; false at the end of the text.
func (l *pgLexer) next() bool {
	for l.pos < len(l.sql) {
		c := l.sql[l.pos]
		switch pgClassOf[c] {
		case chSpace:
			l.pos++
		case chLetter:
			return l.word(c)
		case chDigit:
			return l.number()
		case chQuote:
			return l.quote(c)
		case chDollar:
			return l.dollar()
		case chOperator:
			if !l.comment(c) {
				return l.operator()
			}
		default:
			return l.self(c)
		}
	}
	return false
}

func (l *pgLexer) found(k tokenKind, start int) bool {
	l.kind, l.start, l.end = k, start, l.pos
	return true
}

// at is the byte n behind the position, 0 behind the end.
func (l *pgLexer) at(n int) byte {
	if l.pos+n < len(l.sql) {
		return l.sql[l.pos+n]
	}
	return 0
}

// word reads a name, a keyword, or what has letters before its quote: E'x', N'x', B'1', X'61', U&'x', U&"x".
func (l *pgLexer) word(c byte) bool {
	start := l.pos
	switch next := l.at(1); {
	case next == '\'':
		switch c | 0x20 {
		case 'e':
			l.pos++
			return l.str(start, true)
		case 'n':
			l.pos++
			return l.str(start, l.backslash)
		case 'b', 'x':
			l.pos++
			return l.bits(start)
		}
	case next == '&' && c|0x20 == 'u' && l.at(2) == '\'':
		l.pos += 2
		return l.str(start, false)
	case next == '&' && c|0x20 == 'u' && l.at(2) == '"':
		l.pos += 2
		l.flaw = flawEncoding // a name that isn't spelled out
		return l.name(start)
	}
	i := start
	for i < len(l.sql) && pgIsName[l.sql[i]] {
		i++
	}
	l.pos = i
	return l.found(tokWord, start)
}

func (l *pgLexer) quote(c byte) bool {
	if c == '"' {
		return l.name(l.pos)
	}
	return l.str(l.pos, l.backslash)
}

// name reads a quoted name.
func (l *pgLexer) name(start int) bool {
	l.behind(behindDelimited(l.sql, l.pos, '"'))
	return l.found(tokName, start)
}

// str reads a string, and the pieces that go on with it in later lines.
func (l *pgLexer) str(start int, backslash bool) bool {
	for {
		if backslash {
			l.behind(behindEscaped(l.sql, l.pos, '\''))
		} else {
			l.behind(behindDelimited(l.sql, l.pos, '\''))
		}
		if !l.goesOn() {
			return l.found(tokString, start)
		}
	}
}

// bits reads B'01' or X'6f': no quote is doubled in it.
func (l *pgLexer) bits(start int) bool {
	for {
		n := bytes.IndexByte(l.sql[l.pos+1:], '\'')
		if n < 0 {
			l.behind(len(l.sql), false)
			return l.found(tokHex, start)
		}
		l.pos += n + 2
		if !l.goesOn() {
			return l.found(tokHex, start)
		}
	}
}

// goesOn reports whether the string behind whose quote the position is goes on in a later line, and goes to
// the quote of its next piece.
func (l *pgLexer) goesOn() bool {
	newline := false
	for i := l.pos; i < len(l.sql); {
		c := l.sql[i]
		switch {
		case c == '\n' || c == '\r':
			newline = true
			i++
		case pgClassOf[c] == chSpace:
			i++
		case c == '-' && i+1 < len(l.sql) && l.sql[i+1] == '-':
			i = endOfLine(l.sql, i)
		case c == '\'' && newline:
			l.pos = i
			return true
		default:
			return false
		}
	}
	return false
}

func (l *pgLexer) behind(pos int, ok bool) {
	l.pos = pos
	if !ok {
		l.flaw = flawUnterminated
	}
}

// dollar reads $1 or a dollar-quoted string.
func (l *pgLexer) dollar() bool {
	start := l.pos
	l.pos++
	if pgClassOf[l.at(0)] == chDigit {
		for pgClassOf[l.at(0)] == chDigit {
			l.pos++
		}
		return l.found(tokParam, start)
	}
	i := l.pos
	if i < len(l.sql) && pgClassOf[l.sql[i]] == chLetter {
		for i < len(l.sql) && pgIsName[l.sql[i]] && l.sql[i] != '$' {
			i++
		}
	}
	if i == len(l.sql) || l.sql[i] != '$' {
		return l.found(tokOp, start)
	}
	tag := l.sql[start : i+1]
	n := bytes.Index(l.sql[i+1:], tag)
	if n < 0 {
		l.behind(len(l.sql), false)
	} else {
		l.pos = i + 1 + n + len(tag)
	}
	return l.found(tokString, start)
}

// number reads 12, 1_000, 0x1F, 0o17, 0b01, 1.5, 1e-5.
func (l *pgLexer) number() bool {
	start := l.pos
	if l.sql[start] == '0' && l.radix() {
		return l.found(tokNumber, start)
	}
	l.digits()
	if l.at(0) == '.' && l.at(1) != '.' {
		l.pos++
		l.digits()
	}
	l.exponent()
	return l.found(tokNumber, start)
}

// radix reads a number that begins with 0x, 0o or 0b; false leaves the position.
func (l *pgLexer) radix() bool {
	letter := l.at(1) | 0x20
	if letter != 'x' && letter != 'o' && letter != 'b' {
		return false
	}
	i := l.pos + 2
	from := i
	for i < len(l.sql) {
		c := l.sql[i]
		ok := c == '_' || c == '0' || c == '1' || letter == 'o' && '0' <= c && c <= '7' || letter == 'x' && isHex(c)
		if !ok {
			break
		}
		i++
	}
	if i == from {
		return false
	}
	l.pos = i
	return true
}

// digits reads digits, with a _ between two of them.
func (l *pgLexer) digits() {
	i := l.pos
	for i < len(l.sql) {
		switch {
		case pgClassOf[l.sql[i]] == chDigit:
		case l.sql[i] == '_' && i > l.pos && i+1 < len(l.sql) && pgClassOf[l.sql[i+1]] == chDigit:
		default:
			l.pos = i
			return
		}
		i++
	}
	l.pos = i
}

func (l *pgLexer) exponent() {
	if l.at(0)|0x20 != 'e' {
		return
	}
	n := 1
	if c := l.at(1); c == '+' || c == '-' {
		n = 2
	}
	if pgClassOf[l.at(n)] == chDigit {
		l.pos += n
		l.digits()
	}
}

// self reads what stands for itself: , ( ) [ ] . ; : and what is no SQL at all.
func (l *pgLexer) self(c byte) bool {
	start := l.pos
	next := l.at(1)
	switch {
	case c == '.' && pgClassOf[next] == chDigit:
		l.pos++
		l.digits()
		l.exponent()
		return l.found(tokNumber, start)
	case c == '.' && next == '.', c == ':' && (next == ':' || next == '='):
		l.pos++
	}
	l.pos++
	return l.found(tokOp, start)
}

// comment skips a comment; false if none begins here.
func (l *pgLexer) comment(c byte) bool {
	switch next := l.at(1); {
	case c == '-' && next == '-':
		l.pos = endOfLine(l.sql, l.pos)
	case c == '/' && next == '*':
		start := l.pos
		if l.block() && !l.seenComment && l.kind == tokNone {
			l.lead = l.sql[start+2 : l.pos-2]
		}
	default:
		return false
	}
	l.seenComment = true
	return true
}

// block goes behind a comment, which may hold others. It reports whether it holds none and ends.
func (l *pgLexer) block() bool {
	depth, nested := 1, false
	i := l.pos + 2
	for i+1 < len(l.sql) {
		switch {
		case l.sql[i] == '*' && l.sql[i+1] == '/':
			i += 2
			if depth--; depth == 0 {
				l.pos = i
				return !nested
			}
		case l.sql[i] == '/' && l.sql[i+1] == '*':
			i += 2
			depth++
			nested = true
		default:
			i++
		}
	}
	l.behind(len(l.sql), false)
	return false
}

// endOfLine is the position of the end of the line, or of the text.
func endOfLine(sql []byte, pos int) int {
	for pos < len(sql) && sql[pos] != '\n' && sql[pos] != '\r' {
		pos++
	}
	return pos
}

// operator reads an operator: as many of its characters as follow each other, up to a comment. One that ends
// in signs gives them up, unless it holds a character that no operator of the standard has.
func (l *pgLexer) operator() bool {
	start := l.pos
	if start < l.signsEnd {
		l.pos++
		return l.found(tokOp, start)
	}
	end, special := start, false
	for end < len(l.sql) && pgClassOf[l.sql[end]] == chOperator {
		if end > start && end+1 < len(l.sql) {
			c, next := l.sql[end], l.sql[end+1]
			if c == '-' && next == '-' || c == '/' && next == '*' {
				break
			}
		}
		special = special || pgIsSpecial[l.sql[end]]
		end++
	}
	l.signsEnd = end
	if !special {
		for end > start+1 && (l.sql[end-1] == '+' || l.sql[end-1] == '-') {
			end--
		}
	}
	l.pos = end
	return l.found(tokOp, start)
}

// classes of bytes beside those of lexer_mysql.go.
const (
	chDollar uint8 = iota + 16
	chOperator
)

var pgClassOf, pgIsName, pgIsSpecial = pgTables()

func pgTables() (class [256]uint8, name, special [256]bool) {
	for i := range class {
		c := byte(i)
		switch {
		case c == ' ' || '\t' <= c && c <= '\r':
			class[i] = chSpace
		case 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= utf8.RuneSelf:
			class[i] = chLetter
		case '0' <= c && c <= '9':
			class[i] = chDigit
		case c == '\'' || c == '"':
			class[i] = chQuote
		case c == '$':
			class[i] = chDollar
		case bytes.IndexByte([]byte("~!@#^&|`?+-*/%<>="), c) >= 0:
			class[i] = chOperator
		}
		name[i] = class[i] == chLetter || class[i] == chDigit || class[i] == chDollar
		special[i] = bytes.IndexByte([]byte("~!@#^&|`?%"), c) >= 0
	}
	return class, name, special
}
