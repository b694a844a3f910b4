package proxy

// digests.go: the bounded table of statements, by digest: how often, how long. Literals are never in it.

import (
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
	"leat/router"
)

// DigestStat is what is known of all statements with one digest.
type DigestStat struct {
	Digest uint64        `json:"digest"`
	Text   string        `json:"text"` // literals are ?
	Class  string        `json:"class"`
	Rule   string        `json:"rule"`
	Count  uint64        `json:"count"`
	Errors uint64        `json:"errors"`
	Rows   uint64        `json:"rows"`
	Total  time.Duration `json:"total"`
	Max    time.Duration `json:"max"`
}

// digestTable holds at most max digests. When it is full a new one takes the place of the least
// used of a few, so that what runs often stays.
type digestTable struct {
	max int

	mu    sync.RWMutex
	stats map[uint64]*digestStat
	list  []*digestStat
	next  int // where the search for a victim goes on
}

type digestStat struct {
	digest     uint64
	text, rule string
	class      router.Class
	count      atomic.Uint64
	errors     atomic.Uint64
	rows       atomic.Uint64
	total      atomic.Int64
	longest    atomic.Int64
}

func newDigestTable(max int) *digestTable {
	return &digestTable{max: max, stats: make(map[uint64]*digestStat)}
}

// maxDigestText bounds the text that the table keeps of a statement.
const maxDigestText = 2048

func (t *digestTable) get(p *router.Plan) *digestStat {
	t.mu.RLock()
	st := t.stats[p.Digest]
	t.mu.RUnlock()
	if st != nil {
		return st
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if st = t.stats[p.Digest]; st != nil {
		return st
	}
	st = &digestStat{digest: p.Digest, text: p.Text[:min(len(p.Text), maxDigestText)], rule: p.Rule, class: p.Class}
	t.stats[p.Digest] = st
	if len(t.list) < t.max {
		t.list = append(t.list, st)
		return st
	}
	victim := t.victim()
	delete(t.stats, t.list[victim].digest)
	t.list[victim] = st
	return st
}

// victim is the least used of a few neighbours.
func (t *digestTable) victim() int {
	const few = 8
	best := t.next % len(t.list)
	for i := range few {
		at := (t.next + i) % len(t.list)
		if t.list[at].count.Load() < t.list[best].count.Load() {
			best = at
		}
	}
	t.next = (t.next + few) % len(t.list)
	return best
}

func (st *digestStat) add(took time.Duration, rows uint64, failed bool) {
	st.count.Add(1)
	st.rows.Add(rows)
	st.total.Add(int64(took))
	if failed {
		st.errors.Add(1)
	}
	for {
		old := st.longest.Load()
		if int64(took) <= old || st.longest.CompareAndSwap(old, int64(took)) {
			return
		}
	}
}

// Digests lists the table, by total time.
func (s *Server) Digests() []DigestStat {
	t := s.digests
	t.mu.RLock()
	list := make([]DigestStat, 0, len(t.list))
	for _, st := range t.list {
		list = append(list, DigestStat{
			Digest: st.digest, Text: st.text, Class: st.class.String(), Rule: st.rule, Count: st.count.Load(), Errors: st.errors.Load(),
			Rows: st.rows.Load(), Total: time.Duration(st.total.Load()), Max: time.Duration(st.longest.Load()),
		})
	}
	t.mu.RUnlock()
	sort.Slice(list, func(i, j int) bool { return list[i].Total > list[j].Total })
	return list
}

// observe counts a request, and logs it if it was slow.
func (s *session) observe(plan *router.Plan, out *wire.Outcome, took time.Duration, answer error) {
	s.server.counters.time(plan.Class, took)
	if plan.Digest == 0 {
		return
	}
	failed := answer != nil || out.Err != nil
	s.server.digests.get(plan).add(took, out.Rows, failed)
	if slow := s.world.cfg.SlowQuery; slow > 0 && took > slow {
		s.server.log.LogAttrs(s.ctx, slog.LevelWarn, "slow query", slog.String("digest", digestText(plan.Digest)), slog.Duration("took", took),
			slog.Uint64("rows", out.Rows), slog.Bool("failed", failed), slog.Uint64("client", uint64(s.id)))
	}
}

// digestText is a digest as people see it everywhere: 16 hexadecimal digits.
func digestText(d uint64) string { return fmt.Sprintf("%016x", d) }
