package router

import "leat/proxy/wire"

// dialect is what planning must know of MySQL's and PostgreSQL's SQL. Its values hold no state.
type dialect interface {
	// scan normalises a statement into the session's scratch.
	scan(sql []byte, mode Mode, s *Scan, limit int) pass
	// words plans a normalised text without its hint by its words; it also returns these.
	words(text string, executed bool) (*Plan, stmt)
	// parse reads the statements of a text.
	parse(sql []byte, mode Mode, limit int) findings
	// called completes the plan of a statement that calls functions which aren't known.
	called(p *Plan)
	// unread does so for a statement that the parser didn't read.
	unread(p *Plan)
	// adjust applies what is known of the session beside the text.
	adjust(p *Plan, f *Facts)
	// behind is the second word of a text, in upper case, and what stands behind it.
	behind(sql []byte, mode Mode) (verb string, rest []byte)
	// isDataWord reports whether a statement that begins with the word does nothing to the session but by its
	// functions and variables.
	isDataWord(word string) bool
	// mayChangeSession searches the bytes themselves for what changes a session, wherever quotes may stand.
	mayChangeSession(sql []byte, mode Mode) bool
	// lastValues searches the bytes for what reads the values of the last statement.
	lastValues(sql []byte, mode Mode) Value
	// changesSession reads through a long text and looks for anything but data.
	changesSession(sql []byte, mode Mode) bool
	// flag tells the dialects' plans apart in the cache.
	flag() byte
}

// pass is what a pass over a statement found.
type pass struct {
	out      []byte // the normalised text
	flaw     flaw
	tooLong  bool
	executed bool // has an executed comment
	maxDepth int  // of parentheses
	tokens   int
}

func (r *Router) dialectOf(f wire.Flavor) dialect {
	if f == wire.FlavorPostgres {
		return r.postgres
	}
	return r.mysql
}
