package router

// pgKeyword is one of the few words that the normalizer has to know while it runs.
type pgKeyword uint8

const (
	pgNone pgKeyword = iota
	pgIn
	pgBy
	pgSet
	pgLimit
	pgValues
	pgArray
	pgUescape
	pgPath    // SEARCH_PATH, SCHEMA
	pgSetting // set_config, current_setting: their first argument names a setting
	pgLiteralPrefix
	pgConstant // NULL, TRUE, FALSE, DEFAULT
	pgCreate
	pgRoutine // FUNCTION, PROCEDURE
	pgBegin
	pgAtomic
	pgCase
	pgEnd
	pgAs
)

var pgKeywords = map[string]pgKeyword{
	"in": pgIn, "by": pgBy, "set": pgSet, "limit": pgLimit, "values": pgValues, "array": pgArray, "uescape": pgUescape,
	"search_path": pgPath, "schema": pgPath, "set_config": pgSetting, "current_setting": pgSetting,
	"date": pgLiteralPrefix, "time": pgLiteralPrefix, "timestamp": pgLiteralPrefix, "timestamptz": pgLiteralPrefix,
	"interval": pgLiteralPrefix, "null": pgConstant, "true": pgConstant, "false": pgConstant, "default": pgConstant,
	"create": pgCreate, "function": pgRoutine, "procedure": pgRoutine, "begin": pgBegin, "atomic": pgAtomic,
	"case": pgCase, "end": pgEnd, "as": pgAs,
}

// pgKeywordOf tells which keyword b is, in any case. It allocates nothing.
func pgKeywordOf(b []byte) pgKeyword {
	if len(b) < 2 {
		return pgNone
	}
	for i := range pgByLetter[b[0]&31] {
		k := &pgByLetter[b[0]&31][i]
		if len(k.word) == len(b) && fold(b, k.word) {
			return k.kw
		}
	}
	return pgNone
}

type pgWord struct {
	word string
	kw   pgKeyword
}

// pgByLetter are the keywords by the last bits of their first letter.
var pgByLetter = func() (by [32][]pgWord) {
	for word, kw := range pgKeywords {
		by[word[0]&31] = append(by[word[0]&31], pgWord{word, kw})
	}
	return by
}()

// pgSplit finds the semicolons that end statements: not those in parentheses, nor those in the body of a
// routine that is written in SQL (BEGIN ATOMIC ... END). The zero value begins a statement.
type pgSplit struct {
	depth   int // of parentheses
	words   int // of the statement so far
	first   pgKeyword
	last    pgKeyword
	routine bool
	body    int // BEGIN ATOMIC and the CASEs open in it
}

// word notes a word of the statement; behind AS or a dot it is a name.
func (p *pgSplit) word(kw pgKeyword, isName bool) {
	p.words++
	switch {
	case isName || p.last == pgAs:
		kw = pgNone
	case p.words == 1:
		p.first = kw
	case kw == pgRoutine && p.first == pgCreate && p.words <= 4: // CREATE OR REPLACE FUNCTION
		p.routine = true
	case kw == pgAtomic && p.last == pgBegin && p.routine && p.body == 0, kw == pgCase && p.body > 0:
		p.body++
	case kw == pgEnd && p.body > 0:
		p.body--
	}
	p.last = kw
}

// semicolon reports whether one here ends the statement, and begins the next.
func (p *pgSplit) semicolon() bool {
	if p.depth > 0 || p.body > 0 {
		p.last = pgNone
		return false
	}
	*p = pgSplit{}
	return true
}
