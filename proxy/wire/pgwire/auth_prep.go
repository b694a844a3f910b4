package pgwire

// SASLprep (RFC 4013): how a password is spelled before it is hashed.

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// saslPrep spells a password as PostgreSQL does: prepared, or as it is if it can't be prepared.
func saslPrep(password string) string {
	if isASCII(password) || !utf8.ValidString(password) {
		return password
	}
	mapped := make([]rune, 0, len(password))
	for _, r := range password {
		switch {
		case unicode.Is(mappedToNothing, r):
		case r != ' ' && unicode.Is(unicode.Zs, r), r == 0x200b:
			mapped = append(mapped, ' ')
		default:
			mapped = append(mapped, r)
		}
	}
	prepared := norm.NFKC.String(string(mapped))
	if prepared == "" || prohibited(prepared) {
		return password
	}
	return prepared
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// mappedToNothing is table B.1 of RFC 3454.
var mappedToNothing = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x00ad, Hi: 0x00ad, Stride: 1},
	{Lo: 0x034f, Hi: 0x034f, Stride: 1},
	{Lo: 0x1806, Hi: 0x1806, Stride: 1},
	{Lo: 0x180b, Hi: 0x180d, Stride: 1},
	{Lo: 0x200c, Hi: 0x200d, Stride: 1},
	{Lo: 0x2060, Hi: 0x2060, Stride: 1},
	{Lo: 0xfe00, Hi: 0xfe0f, Stride: 1},
	{Lo: 0xfeff, Hi: 0xfeff, Stride: 1},
}}

// forbidden are the tables C.1.2 to C.9 of RFC 3454 that Unicode's categories don't have.
var forbidden = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x06dd, Hi: 0x06dd, Stride: 1},
	{Lo: 0x070f, Hi: 0x070f, Stride: 1},
	{Lo: 0x0340, Hi: 0x0341, Stride: 1},
	{Lo: 0x180e, Hi: 0x180e, Stride: 1},
	{Lo: 0x200b, Hi: 0x200f, Stride: 1},
	{Lo: 0x2028, Hi: 0x202e, Stride: 1},
	{Lo: 0x2060, Hi: 0x2063, Stride: 1},
	{Lo: 0x206a, Hi: 0x206f, Stride: 1},
	{Lo: 0x2ff0, Hi: 0x2ffb, Stride: 1},
	{Lo: 0xfdd0, Hi: 0xfdef, Stride: 1},
	{Lo: 0xfeff, Hi: 0xfeff, Stride: 1},
	{Lo: 0xfff9, Hi: 0xfffd, Stride: 1},
}, R32: []unicode.Range32{
	{Lo: 0x1d173, Hi: 0x1d17a, Stride: 1}, {Lo: 0xe0001, Hi: 0xe0001, Stride: 1}, {Lo: 0xe0020, Hi: 0xe007f, Stride: 1},
}}

// prohibited reports whether a text has characters that SASLprep doesn't allow, or mixes directions of writing.
func prohibited(s string) bool {
	var leftToRight, rightToLeft, edge bool
	for i, r := range s {
		if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Co, r) || unicode.Is(forbidden, r) || r&0xfffe == 0xfffe {
			return true
		}
		p, _ := bidi.LookupRune(r)
		rtl := p.Class() == bidi.R || p.Class() == bidi.AL
		leftToRight = leftToRight || p.Class() == bidi.L
		rightToLeft = rightToLeft || rtl
		if i == 0 || i+utf8.RuneLen(r) == len(s) {
			edge = edge || !rtl
		}
	}
	return rightToLeft && (leftToRight || edge)
}
