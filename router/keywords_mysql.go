package router

// keyword is one of the few words that the normalizer has to know while it runs.
type keyword uint8

const (
	kwNone keyword = iota
	kwIn
	kwBy
	kwSet
	kwLimit
	kwValues
	kwLiteralPrefix // DATE '...', TIME '...', TIMESTAMP '...'
	kwConstant      // NULL, TRUE, FALSE, DEFAULT
)

// keywordOf tells which keyword b is, in any case.
func keywordOf(b []byte) keyword {
	switch len(b) {
	case 2:
		if fold(b, "in") {
			return kwIn
		}
		if fold(b, "by") {
			return kwBy
		}
	case 3:
		if fold(b, "set") {
			return kwSet
		}
	case 4:
		if fold(b, "null") || fold(b, "true") {
			return kwConstant
		}
		if fold(b, "date") || fold(b, "time") {
			return kwLiteralPrefix
		}
	case 5:
		if fold(b, "limit") {
			return kwLimit
		}
		if fold(b, "value") {
			return kwValues
		}
		if fold(b, "false") {
			return kwConstant
		}
	case 6:
		if fold(b, "values") {
			return kwValues
		}
	case 7:
		if fold(b, "default") {
			return kwConstant
		}
	case 9:
		if fold(b, "timestamp") {
			return kwLiteralPrefix
		}
	}
	return kwNone
}

// fold reports whether b is the lower-case word s in any case. Both have the same length.
func fold(b []byte, s string) bool {
	for i := range len(s) {
		if b[i] != s[i] && b[i]|0x20 != s[i] {
			return false
		}
	}
	return true
}
