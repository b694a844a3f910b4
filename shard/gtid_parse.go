package shard

// How MySQL and MariaDB spell GTID sets, read back.

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxGTIDText is the longest GTID set that is read, in bytes: some 40,000 runs.
const maxGTIDText = 1 << 20

func badGTID(text, what string) error {
	if len(text) > 64 {
		text = text[:64]
	}
	return fmt.Errorf("GTID set %q: %s", text, what)
}

func parseMySQL(text string) (gtidSet, error) {
	var set gtidSet
	if len(text) > maxGTIDText {
		return set, badGTID(text, "longer than 1 MiB")
	}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		head, rest, ok := strings.Cut(part, ":")
		uuid, isUUID := parseUUID(strings.TrimSpace(head))
		if !ok || !isUUID {
			return gtidSet{}, badGTID(part, "want uuid:numbers")
		}
		var err error
		if set.sources, err = parseRuns(set.sources, uuid, rest); err != nil {
			return gtidSet{}, err
		}
	}
	set.normalize()
	return set, nil
}

// parseRuns reads "1-5:9:tag:1-3", what follows one uuid: a tag holds until the next one.
func parseRuns(sources []source, uuid [16]byte, text string) ([]source, error) {
	cur := source{uuid: uuid}
	flush := func() bool {
		if len(cur.runs) > 0 {
			sources = append(sources, cur)
		}
		return len(cur.runs) > 0
	}
	for item := range strings.SplitSeq(text, ":") {
		item = strings.TrimSpace(item)
		if isTag(item) {
			if !flush() && cur.tag != "" {
				return nil, badGTID(text, "a tag without numbers")
			}
			cur = source{uuid: uuid, tag: strings.ToLower(item)}
			continue
		}
		r, ok := parseRun(item)
		if !ok {
			return nil, badGTID(text, "want numbers from 1, as 7 or 1-5")
		}
		cur.runs = append(cur.runs, r)
	}
	if !flush() {
		return nil, badGTID(text, "a tag without numbers")
	}
	return sources, nil
}

func parseRun(text string) (run, bool) {
	from, to, isRange := strings.Cut(text, "-")
	first, ok := parseNumber(strings.TrimSpace(from), math.MaxInt64)
	last := first
	if ok && isRange {
		last, ok = parseNumber(strings.TrimSpace(to), math.MaxInt64)
	}
	return run{first, last}, ok && first > 0 && first <= last
}

func parseNumber(s string, limit uint64) (uint64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n <= limit
}

// isTag reports whether s is a tag: a letter or underscore, then up to 31 letters, digits or underscores.
func isTag(s string) bool {
	if s == "" || len(s) > 32 || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '_' {
			return false
		}
	}
	return true
}

// parseUUID reads 8-4-4-4-12 hex digits.
func parseUUID(s string) (uuid [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return uuid, false
	}
	var digits [32]byte
	n := 0
	for _, group := range [...]string{s[:8], s[9:13], s[14:18], s[19:23], s[24:]} {
		n += copy(digits[n:], group)
	}
	_, err := hex.Decode(uuid[:], digits[:])
	return uuid, err == nil
}

func appendUUID(b []byte, u [16]byte) []byte {
	for i, group := range [...][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, group)
	}
	return b
}

func parseMariaDB(text string) (gtidSet, error) {
	var set gtidSet
	if len(text) > maxGTIDText {
		return set, badGTID(text, "longer than 1 MiB")
	}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		id, rest, ok1 := strings.Cut(part, "-")
		server, seq, ok2 := strings.Cut(rest, "-")
		n1, ok3 := parseNumber(id, math.MaxUint32)
		n2, ok4 := parseNumber(server, math.MaxUint32)
		n3, ok5 := parseNumber(seq, math.MaxUint64)
		if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
			return gtidSet{}, badGTID(part, "want domain-server-number")
		}
		set.domains = append(set.domains, domain{uint32(n1), uint32(n2), n3})
	}
	set.normalize()
	return set, nil
}
