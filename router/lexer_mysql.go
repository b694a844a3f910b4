package router

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// This file cuts the text of a MySQL or MariaDB statement into tokens, byte by byte as the servers
// do and not as a parser would like it: quoting modes, comments that are executed, comments that are
// hints, digits that begin a name. It allocates nothing and looks at each byte a bounded number of times.

type tokenKind uint8

const (
	tokNone    tokenKind = iota
	tokWord              // an unquoted name or keyword
	tokName              // a quoted name: `x`, and "x" in ANSI mode
	tokString            // 'x', "x", N'x'
	tokNumber            // 12, 1.5, .5e3
	tokHex               // 0x61, x'61', 0b1, b'1'
	tokParam             // ?
	tokUserVar           // @x
	tokSysVar            // @@x, only the part before a dot
	tokOp                // punctuation and operators
	tokExec              // the opening of a comment that is executed: /*! /*!50001 /*M!
	tokHint              // the opening of an optimizer hint: /*+
	tokClose             // the end of an executed comment or a hint
)

// flaw is why the tokens can't be trusted to be what every server reads.
type flaw uint8

const (
	flawNone         flaw = iota
	flawUnterminated      // a quote or comment never ends
	flawCrossing          // a quote or comment reaches over the end of an executed comment: who skips it reads on elsewhere
	flawEncoding          // a name isn't UTF-8: in an 8-bit charset some of its bytes may be white space
)

// notInBody stands for the end of the open executed comment when none is open.
const notInBody = math.MaxInt

// lexer yields the tokens of sql one by one. Kind, start and end describe the last one.
type lexer struct {
	sql         []byte
	ansi        bool // "x" is a name
	backslash   bool // \ escapes in strings
	kind        tokenKind
	plain       bool // a word of ASCII letters, digits, _ and $ that doesn't start with a digit
	nameNext    bool // the last token was a dot right behind a word: what follows is a name, digits too
	flaw        flaw
	seenComment bool
	pos         int
	start, end  int
	bodyEnd     int // where the open executed comment or hint ends
	// lead is the inside of the first comment if no token comes before it.
	lead []byte
}

func newLexer(sql []byte, mode Mode) lexer {
	return lexer{
		sql: sql, ansi: mode&AnsiQuotes != 0, backslash: mode&NoBackslashEscapes == 0,
		bodyEnd: notInBody,
	}
}

// text is the last token as written. It aliases the statement.
func (l *lexer) text() []byte { return l.sql[l.start:l.end] }

// op is the last token's operator byte if it is an operator of one byte, else 0.
func (l *lexer) op() byte {
	if l.kind == tokOp && l.end-l.start == 1 {
		return l.sql[l.start]
	}
	return 0
}

// next goes to the next token; false at the end of the text.
func (l *lexer) next() bool {
	for {
		if l.pos >= l.bodyEnd {
			if l.pos == l.bodyEnd {
				l.pos += 2
				l.bodyEnd = notInBody
				return l.found(tokClose, l.pos-2)
			}
			l.bodyEnd = notInBody
			l.flaw = flawCrossing
		}
		if l.pos >= len(l.sql) {
			return false
		}
		c := l.sql[l.pos]
		switch classOf[c] {
		case chSpace:
			l.pos++
			continue
		case chLetter:
			return l.word()
		case chDigit:
			return l.number()
		case chQuote:
			return l.quote(c)
		case chAt:
			return l.variable()
		case chParam:
			return l.single(tokParam)
		}
		switch l.comment(c) {
		case commentSkipped:
			continue
		case commentOpened:
			return true
		}
		if c == '.' {
			return l.dot()
		}
		l.start = l.pos
		l.pos += operatorLength(l.sql[l.pos:])
		return l.found(tokOp, l.start)
	}
}

func (l *lexer) found(k tokenKind, start int) bool {
	l.kind, l.start, l.end, l.nameNext = k, start, l.pos, false
	return true
}

func (l *lexer) single(k tokenKind) bool {
	l.pos++
	return l.found(k, l.pos-1)
}

// at is the byte n behind the position, 0 behind the end.
func (l *lexer) at(n int) byte {
	if l.pos+n < len(l.sql) {
		return l.sql[l.pos+n]
	}
	return 0
}

// word reads a name, a keyword, or a string with a letter before its quote: x'61', b'1', N'x'.
func (l *lexer) word() bool {
	if l.at(1) == '\'' && !l.nameNext {
		switch l.sql[l.pos] {
		case 'x', 'X', 'b', 'B':
			start := l.pos
			l.pos++
			l.delimited('\'')
			return l.found(tokHex, start)
		case 'n', 'N':
			start := l.pos
			l.pos++
			l.quoted('\'')
			return l.found(tokString, start)
		}
	}
	return l.name(l.pos)
}

// name reads on to the end of an unquoted name that began at start.
func (l *lexer) name(start int) bool {
	var high byte
	i := l.pos
	for i < len(l.sql) && isName[l.sql[i]] {
		high |= l.sql[i]
		i++
	}
	l.pos = i
	l.plain = high < utf8.RuneSelf && classOf[l.sql[start]] == chLetter
	if high >= utf8.RuneSelf && !utf8.Valid(l.sql[start:i]) {
		l.flaw = flawEncoding
	}
	return l.found(tokWord, start)
}

// number reads a number, or a name that starts with digits.
func (l *lexer) number() bool {
	start := l.pos
	if l.nameNext {
		return l.name(start)
	}
	if l.sql[start] == '0' && l.radix() {
		return l.found(tokHex, start)
	}
	l.pos = start
	l.digits()
	switch c := l.at(0); {
	case c == '.':
		l.pos++
		l.digits()
		l.exponent()
		return l.found(tokNumber, start)
	case l.exponent():
		return l.found(tokNumber, start)
	case isName[c]:
		return l.name(start)
	}
	return l.found(tokNumber, start)
}

// radix reads 0x61 or 0b01; false if a name goes on behind it or nothing is behind the letter.
func (l *lexer) radix() bool {
	letter := l.at(1)
	if letter != 'x' && letter != 'b' {
		return false
	}
	l.pos += 2
	from := l.pos
	for {
		c := l.at(0)
		ok := c == '0' || c == '1'
		if letter == 'x' {
			ok = isHex(c)
		}
		if !ok {
			return l.pos > from && !isName[c]
		}
		l.pos++
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func (l *lexer) digits() {
	for l.pos < len(l.sql) && classOf[l.sql[l.pos]] == chDigit {
		l.pos++
	}
}

// exponent reads e5, E+5, e-5; false leaves the position.
func (l *lexer) exponent() bool {
	if l.at(0)|0x20 != 'e' {
		return false
	}
	n := 1
	if c := l.at(1); c == '+' || c == '-' {
		n = 2
	}
	if classOf[l.at(n)] != chDigit {
		return false
	}
	l.pos += n
	l.digits()
	return true
}

func (l *lexer) dot() bool {
	behindWord := l.kind == tokWord && l.end == l.pos
	if !behindWord && classOf[l.at(1)] == chDigit {
		start := l.pos
		l.pos++
		l.digits()
		l.exponent()
		return l.found(tokNumber, start)
	}
	l.single(tokOp)
	l.nameNext = behindWord && isName[l.at(0)]
	return true
}

func (l *lexer) quote(c byte) bool {
	start := l.pos
	if c == '`' || c == '"' && l.ansi {
		l.delimited(c)
		return l.found(tokName, start)
	}
	l.quoted(c)
	return l.found(tokString, start)
}

// delimited goes behind a quoted piece without escapes but the doubled quote.
func (l *lexer) delimited(quote byte) {
	pos, ok := behindDelimited(l.sql, l.pos, quote)
	l.behind(pos, ok)
}

// quoted goes behind a string.
func (l *lexer) quoted(quote byte) {
	if !l.backslash {
		l.delimited(quote)
		return
	}
	pos, ok := behindEscaped(l.sql, l.pos, quote)
	l.behind(pos, ok)
}

func (l *lexer) behind(pos int, ok bool) {
	l.pos = pos
	if !ok {
		l.flaw = flawUnterminated
	}
}

func (l *lexer) unterminated() {
	l.pos = len(l.sql)
	l.flaw = flawUnterminated
}

// variable reads @x, @'x', @`x` and the part of @@x before a dot.
func (l *lexer) variable() bool {
	start := l.pos
	l.pos++
	if l.at(0) == '@' {
		l.pos++
		if l.at(0) == '`' {
			l.delimited('`')
		} else {
			l.nameChars(false)
		}
		return l.found(tokSysVar, start)
	}
	switch c := l.at(0); c {
	case '`':
		l.delimited(c)
	case '"', '\'':
		if c == '"' && l.ansi {
			l.delimited(c)
		} else {
			l.quoted(c)
		}
	default:
		l.nameChars(true)
	}
	return l.found(tokUserVar, start)
}

func (l *lexer) nameChars(dots bool) {
	start := l.pos
	for l.pos < len(l.sql) && (isName[l.sql[l.pos]] || dots && l.sql[l.pos] == '.') {
		l.pos++
	}
	if !utf8.Valid(l.sql[start:l.pos]) {
		l.flaw = flawEncoding
	}
}

type comment uint8

const (
	noComment      comment = iota
	commentSkipped         // nobody executes it
	commentOpened          // the last token is now its opening; its inside is read as tokens
)

// comment skips a comment, or opens one that is executed or a hint.
func (l *lexer) comment(c byte) comment {
	switch {
	case c == '/' && l.at(1) == '*':
		return l.block()
	case c == '#':
	case c == '-' && l.at(1) == '-' && (l.pos+2 >= len(l.sql) || l.at(2) <= ' ' || l.at(2) == 0x7f):
	default:
		return noComment
	}
	l.seenComment = true
	n := bytes.IndexByte(l.sql[l.pos:], '\n')
	if n < 0 {
		l.pos = len(l.sql)
	} else {
		l.pos += n + 1
	}
	return commentSkipped
}

// block reads a comment that begins with /*.
func (l *lexer) block() comment {
	start := l.pos
	n := bytes.Index(l.sql[start+2:], closing)
	opening := l.opening()
	switch {
	case n < 0:
		l.unterminated()
		return commentSkipped
	case opening > 0 && l.bodyEnd == notInBody:
		kind := tokHint
		l.pos += opening
		l.bodyEnd = start + 2 + n
		if l.sql[l.pos-1] == '!' {
			kind = tokExec
			l.digits() // the version from which on it is executed
		}
		l.found(kind, start)
		return commentOpened
	case opening > 0:
		l.flaw = flawCrossing // one inside another
	}
	l.pos = start + 2 + n + 2
	if !l.seenComment && l.kind == tokNone {
		l.lead = l.sql[start+2 : start+2+n]
	}
	l.seenComment = true
	return commentSkipped
}

// opening is the length of the opening of an executed comment or a hint, 0 for another comment.
func (l *lexer) opening() int {
	switch {
	case l.at(2) == '!' || l.at(2) == '+':
		return 3
	case l.at(2) == 'M' && l.at(3) == '!':
		return 4
	}
	return 0
}

var closing = []byte("*/")

// operatorLength is the length of the operator that b starts with.
func operatorLength(b []byte) int {
	if len(b) < 2 {
		return 1
	}
	switch two := [2]byte{b[0], b[1]}; two {
	case [2]byte{'<', '='}, [2]byte{'-', '>'}:
		if len(b) > 2 && b[2] == '>' {
			return 3
		}
		return 2
	case [2]byte{'>', '='}, [2]byte{'<', '>'}, [2]byte{'!', '='}, [2]byte{'<', '<'}, [2]byte{'>', '>'},
		[2]byte{'&', '&'}, [2]byte{'|', '|'}, [2]byte{':', '='}:
		return 2
	}
	return 1
}

const (
	chOther uint8 = iota
	chSpace
	chLetter // and _, $ and everything over 0x7f
	chDigit
	chQuote
	chAt
	chParam
)

var classOf, isName = tables()

func tables() (class [256]uint8, name [256]bool) {
	for i := range class {
		c := byte(i)
		switch {
		case c == ' ' || '\t' <= c && c <= '\r':
			class[i] = chSpace
		case 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '$' || c >= utf8.RuneSelf:
			class[i] = chLetter
		case '0' <= c && c <= '9':
			class[i] = chDigit
		case c == '\'' || c == '"' || c == '`':
			class[i] = chQuote
		case c == '@':
			class[i] = chAt
		case c == '?':
			class[i] = chParam
		}
		name[i] = class[i] == chLetter || class[i] == chDigit
	}
	return class, name
}
