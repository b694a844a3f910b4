package shard

// Sets of transactions, as MySQL (by source and number) and MariaDB (by domain) name them.

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// gtidSet is the set of transactions behind a Position. MySQL names them by source and number,
// and has gaps; MariaDB by domain, in order, so that the last one stands for all before it.
// One of the two slices is empty.
type gtidSet struct {
	sources []source // MySQL: sorted by uuid, then tag
	domains []domain // MariaDB: sorted by id
}

// source is the transactions that one MySQL server, or one tag on it, began.
type source struct {
	uuid [16]byte
	tag  string // lower case; empty for most
	runs []run  // sorted, apart by at least one missing number
}

// run is the numbers first to last, both included.
type run struct{ first, last uint64 }

// domain is the last transaction of one MariaDB replication domain.
type domain struct {
	id, server uint32
	seq        uint64
}

// maxRuns is how many runs a union keeps per source.
const maxRuns = 64

func compareSources(a, b *source) int {
	if c := slices.Compare(a.uuid[:], b.uuid[:]); c != 0 {
		return c
	}
	return strings.Compare(a.tag, b.tag)
}

func (s *gtidSet) contains(q *gtidSet) bool {
	i := 0
	for k := range q.sources {
		want := &q.sources[k]
		for i < len(s.sources) && compareSources(&s.sources[i], want) < 0 {
			i++
		}
		if i == len(s.sources) || compareSources(&s.sources[i], want) != 0 || !containsRuns(s.sources[i].runs, want.runs) {
			return false
		}
	}
	i = 0
	for _, want := range q.domains {
		for i < len(s.domains) && s.domains[i].id < want.id {
			i++
		}
		if i == len(s.domains) || s.domains[i].id != want.id || s.domains[i].seq < want.seq {
			return false
		}
	}
	return true
}

func containsRuns(have, want []run) bool {
	i := 0
	for _, w := range want {
		for i < len(have) && have[i].last < w.first {
			i++
		}
		if i == len(have) || have[i].first > w.first || have[i].last < w.last {
			return false
		}
	}
	return true
}

func (s *gtidSet) union(q *gtidSet) gtidSet {
	out := gtidSet{
		sources: slices.Concat(s.sources, q.sources),
		domains: slices.Concat(s.domains, q.domains),
	}
	out.normalize()
	for i := range out.sources {
		out.sources[i].runs = closeOldGaps(out.sources[i].runs)
	}
	return out
}

func closeOldGaps(runs []run) []run {
	if extra := len(runs) - maxRuns; extra > 0 {
		runs[extra].first = runs[0].first
		return runs[extra:]
	}
	return runs
}

func (s *gtidSet) intersect(q *gtidSet) gtidSet {
	var out gtidSet
	for i := range s.sources {
		a := &s.sources[i]
		k, ok := slices.BinarySearchFunc(q.sources, a, func(b source, a *source) int { return compareSources(&b, a) })
		if !ok {
			continue
		}
		if runs := intersectRuns(a.runs, q.sources[k].runs); len(runs) > 0 {
			out.sources = append(out.sources, source{a.uuid, a.tag, runs})
		}
	}
	for _, a := range s.domains {
		k, ok := slices.BinarySearchFunc(q.domains, a.id, func(b domain, id uint32) int { return cmp.Compare(b.id, id) })
		if !ok {
			continue
		}
		if b := q.domains[k]; b.seq < a.seq {
			a = b
		}
		out.domains = append(out.domains, a)
	}
	return out
}

func intersectRuns(a, b []run) []run {
	var out []run
	for i, k := 0, 0; i < len(a) && k < len(b); {
		if both := (run{max(a[i].first, b[k].first), min(a[i].last, b[k].last)}); both.first <= both.last {
			out = append(out, both)
		}
		if a[i].last < b[k].last {
			i++
		} else {
			k++
		}
	}
	return out
}

// normalize sorts the set and joins what belongs together. It never writes to runs that another
// set may share.
func (s *gtidSet) normalize() {
	slices.SortStableFunc(s.sources, func(a, b source) int { return compareSources(&a, &b) })
	out := s.sources[:0]
	for _, next := range s.sources {
		if last := len(out) - 1; last >= 0 && compareSources(&out[last], &next) == 0 {
			out[last].runs = slices.Concat(out[last].runs, next.runs)
			continue
		}
		out = append(out, next)
	}
	s.sources = out
	for i := range s.sources {
		s.sources[i].runs = joinRuns(s.sources[i].runs)
	}

	slices.SortFunc(s.domains, func(a, b domain) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(b.seq, a.seq))
	})
	s.domains = slices.CompactFunc(s.domains, func(a, b domain) bool { return a.id == b.id })
}

func joinRuns(runs []run) []run {
	runs = slices.Clone(runs)
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	out := runs[:0]
	for _, next := range runs {
		if last := len(out) - 1; last >= 0 && next.first <= out[last].last+1 {
			out[last].last = max(out[last].last, next.last)
			continue
		}
		out = append(out, next)
	}
	return out
}

func (s *gtidSet) String() string {
	var b []byte
	for i := range s.sources {
		b = s.sources[i].append(b, i > 0 && s.sources[i].uuid == s.sources[i-1].uuid)
	}
	for i, d := range s.domains {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(d.id), 10)
		b = append(b, '-')
		b = strconv.AppendUint(b, uint64(d.server), 10)
		b = append(b, '-')
		b = strconv.AppendUint(b, d.seq, 10)
	}
	return string(b)
}

// append spells the source; another tag of the uuid before it goes on without naming the uuid again.
func (s *source) append(b []byte, sameUUID bool) []byte {
	if !sameUUID {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = appendUUID(b, s.uuid)
	}
	if s.tag != "" {
		b = append(append(b, ':'), s.tag...)
	}
	for _, r := range s.runs {
		b = strconv.AppendUint(append(b, ':'), r.first, 10)
		if r.last > r.first {
			b = strconv.AppendUint(append(b, '-'), r.last, 10)
		}
	}
	return b
}
