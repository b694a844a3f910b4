package shard

// A point in PostgreSQL's write-ahead log: a timeline and a log sequence number.

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// lsn is a point in a PostgreSQL history. A promotion begins a new timeline, which shares its
// history with the former one up to where they part. The zero lsn is before everything.
type lsn struct {
	timeline uint32
	at       uint64 // bytes of log since the cluster was made
}

// maxLSNText is the longest "timeline:LSN", in bytes.
const maxLSNText = len("4294967295:FFFFFFFF/FFFFFFFF")

func (l lsn) isZero() bool { return l == lsn{} }

// contains holds for points of one timeline only. A later timeline has the earlier one's history
// just up to where they part, which neither point tells: what is asked for may be lost.
func (l lsn) contains(q lsn) bool { return l.timeline == q.timeline && l.at >= q.at }

func (l lsn) compare(q lsn) int {
	return cmp.Or(cmp.Compare(l.timeline, q.timeline), cmp.Compare(l.at, q.at))
}

// intersect cuts l to a history that has come to q. On one timeline that is the earlier of both.
// Of two timelines it is q: all that is left of l lies before it.
func (l lsn) intersect(q lsn) lsn {
	if l.isZero() || q.contains(l) {
		return l
	}
	return q
}

func (l lsn) String() string {
	return fmt.Sprintf("%d:%X/%X", l.timeline, l.at>>32, uint32(l.at))
}

// parseLSN reads "1:0/16B3748".
func parseLSN(text string) (lsn, error) {
	if len(text) > maxLSNText {
		return lsn{}, badLSN(text[:maxLSNText])
	}
	timeline, rest, ok1 := strings.Cut(text, ":")
	high, low, ok2 := strings.Cut(rest, "/")
	t, ok3 := parseNumber(timeline, math.MaxUint32)
	h, ok4 := parseHex(high)
	l, ok5 := parseHex(low)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || t == 0 {
		return lsn{}, badLSN(text)
	}
	return lsn{uint32(t), uint64(h)<<32 | uint64(l)}, nil
}

func badLSN(text string) error {
	return fmt.Errorf("log position %q: want timeline:LSN, as 1:0/16B3748", text)
}

func parseHex(s string) (uint32, bool) {
	if s == "" || s[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 16, 32)
	return uint32(n), err == nil
}
