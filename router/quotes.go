package router

import "bytes"

// This file goes behind quoted pieces of a text, as both dialects quote.

// behindDelimited is the position behind a piece whose opening quote stands at pos, and that has no escapes but
// the doubled quote; false if it never ends.
func behindDelimited(sql []byte, pos int, quote byte) (int, bool) {
	pos++
	for {
		n := bytes.IndexByte(sql[pos:], quote)
		if n < 0 {
			return len(sql), false
		}
		pos += n + 1
		if pos >= len(sql) || sql[pos] != quote {
			return pos, true
		}
		pos++
	}
}

// behindEscaped is the same for a piece that also has \ before any character.
func behindEscaped(sql []byte, pos int, quote byte) (int, bool) {
	pos++
	end := -1 // the next quote, once looked for: looking again for each backslash would be quadratic
	for {
		if pos > len(sql) {
			return len(sql), false
		}
		if end < pos {
			n := bytes.IndexByte(sql[pos:], quote)
			if n < 0 {
				return len(sql), false
			}
			end = pos + n
		}
		if n := bytes.IndexByte(sql[pos:end], '\\'); n >= 0 {
			pos += n + 2
			continue
		}
		pos = end + 1
		if pos >= len(sql) || sql[pos] != quote {
			return pos, true
		}
		pos++
	}
}
