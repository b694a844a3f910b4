package router

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	cacheShards = 16
	// planOverhead is roughly what a plan costs beside its texts: itself, its place in the map and the list.
	planOverhead = int(unsafe.Sizeof(Plan{})) + 160
	// maxMisrouted bounds the texts remembered that replicas refused.
	maxMisrouted = 10_000
)

// planCache keeps plans by their keys, compared in full, the most recently used of them, within a
// bound in bytes.
type planCache struct {
	seed     maphash.Seed
	unparsed atomic.Uint64
	shards   [cacheShards]planShard
}

type planShard struct {
	limit int

	mu           sync.Mutex
	plans        *simplelru.LRU[string, *Plan]
	bytes        int
	hits, misses uint64

	_ [64]byte // keeps neighbours' locks off this cache line
}

func newPlanCache(limit int) *planCache {
	c := &planCache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		s := &c.shards[i]
		s.limit = limit / cacheShards
		// The error is about a size of zero. The count never bounds: each plan costs planOverhead.
		s.plans, _ = simplelru.NewLRU[string, *Plan](s.limit/planOverhead+2, nil)
	}
	return c
}

func (c *planCache) shard(key []byte) *planShard {
	return &c.shards[maphash.Bytes(c.seed, key)%cacheShards]
}

// get looks a plan up. It allocates nothing and doesn't keep the key.
func (c *planCache) get(key []byte) *Plan {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.plans.Get(unsafe.String(unsafe.SliceData(key), len(key)))
	if !ok {
		s.misses++
		return nil
	}
	s.hits++
	return p
}

// put keeps a plan, in place of the one with the same key.
func (c *planCache) put(p *Plan) {
	s := c.shard([]byte(p.key))
	cost := p.cost()
	if cost > s.limit/4 {
		return // one text must not push all others out
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.plans.Peek(p.key); ok {
		s.bytes -= old.cost()
	}
	s.plans.Add(p.key, p)
	s.bytes += cost
	for s.bytes > s.limit {
		_, old, ok := s.plans.RemoveOldest()
		if !ok {
			return
		}
		s.bytes -= old.cost()
	}
}

// cost is what a plan takes in memory, roughly.
func (p *Plan) cost() int {
	n := planOverhead + len(p.key)
	for _, t := range p.Tables {
		n += int(unsafe.Sizeof(t)) + len(t.Database) + len(t.Schema) + len(t.Name)
	}
	for _, c := range p.calls {
		n += int(unsafe.Sizeof(c)) + len(c.schema) + len(c.name)
	}
	if p.ifPure != nil {
		n += planOverhead
	}
	return n + 64*len(p.Bare) + 48*(len(p.Trackers)+len(p.Untracked)+len(p.Resets))
}

func (c *planCache) stats() Stats {
	st := Stats{Unparsed: c.unparsed.Load()}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		st.Hits += s.hits
		st.Misses += s.misses
		st.Entries += s.plans.Len()
		st.Bytes += s.bytes
		s.mu.Unlock()
	}
	return st
}

// textSet remembers a bounded number of texts, the most recently used ones.
type textSet struct {
	mu    sync.Mutex
	texts *simplelru.LRU[string, struct{}]
}

func newTextSet() *textSet {
	texts, _ := simplelru.NewLRU[string, struct{}](maxMisrouted, nil) // the error is about a size of zero
	return &textSet{texts: texts}
}

func (t *textSet) add(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.texts.Add(text, struct{}{})
}

func (t *textSet) has(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.texts.Get(text)
	return ok
}

func (t *textSet) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.texts.Len()
}
