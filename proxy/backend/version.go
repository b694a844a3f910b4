package backend

// Order among server versions.

import (
	"strings"
)

// olderVersion compares versions as servers greet with them, number by number. MariaDB before 11
// puts "5.5.5-" in front of its own.
func olderVersion(a, b string) bool {
	a, b = strings.TrimPrefix(a, "5.5.5-"), strings.TrimPrefix(b, "5.5.5-")
	for {
		x, restA, okA := leadingNumber(a)
		y, restB, okB := leadingNumber(b)
		if x != y || !okA || !okB {
			return x < y
		}
		a, b = strings.TrimPrefix(restA, "."), strings.TrimPrefix(restB, ".")
	}
}

func leadingNumber(s string) (n int, rest string, ok bool) {
	i := 0
	for i < len(s) && i < 6 && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + int(s[i]-'0')
		i++
	}
	return n, s[i:], i > 0
}
