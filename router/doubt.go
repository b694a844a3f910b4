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
func doubts(d dialect, t *pass, sql []byte, mode Mode) doubt {
	if t.flaw != flawNone {
		return doubtAnything
	}
	if mode&UnsafeCharset == 0 || isASCII(sql) {
		return readable
	}
	if d.mayChangeSession(sql, mode) || !d.isDataWord(firstWord(t.out)) {
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

func containsAny(sql []byte, names ...string) bool {
	lower := bytes.ToLower(sql)
	for _, name := range names {
		if bytes.Contains(lower, []byte(name)) {
			return true
		}
	}
	return false
}

// unreadable plans a text that can't be read with certainty. Its plan shows the first word alone: what
// looks like a name may be a piece of a literal.
func (r *Router) unreadable(d dialect, s *Scan, how doubt, needs Value) *Plan {
	flag := keyDoubtData
	if how == doubtAnything {
		flag = keyDoubtAnything
	}
	s.Literals = s.Literals[:0]
	s.Normalized = append(append(s.Normalized[:0], firstWord(s.Normalized)...), " (not shown)"...)
	s.key = append(append(s.key[:0], s.Normalized...), flag|d.flag())
	if p := r.plans.get(s.key); p != nil {
		return p.needing(needs)
	}
	p := &Plan{Rule: ruleCantRead, Statements: 1, Kill: Kill{Literal: -1}, key: string(s.key)}
	p.Text = p.key[:len(s.Normalized)]
	p.Digest = digest(p.Text)
	if how == doubtAnything {
		p.Pin = PinUnknown
	}
	d.unread(p)
	r.plans.unparsed.Add(1)
	r.plans.put(p)
	return p.needing(needs)
}

// needing is a plan that reads those values of the last statement as well.
func (p *Plan) needing(needs Value) *Plan {
	if needs == 0 {
		return p
	}
	more := *p
	more.Needs |= needs
	return &more
}

// longPlan plans a text whose normalised form is too long to be kept: by its first word, and by a
// search for what changes a session in all of it.
func longPlan(d dialect, t *pass, sql []byte, mode Mode) *Plan {
	word := firstWord(t.out)
	p := &Plan{
		Text: word + " (too long to be shown)", Rule: ruleTooLong, Statements: 1, Kill: Kill{Literal: -1},
	}
	p.Digest = digest(p.Text)
	if !d.isDataWord(word) || d.changesSession(sql, mode) {
		p.Pin = PinUnknown
	}
	p.Needs = d.lastValues(sql, mode)
	d.unread(p)
	return p
}
