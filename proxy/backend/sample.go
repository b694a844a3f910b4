package backend

// Positions by sampling: where a write's reply carries no position (PostgreSQL), the primary is asked afterwards
// how far it has written, once for all sessions that wrote before.

import (
	"context"
	"sync/atomic"
	"time"

	"leat/shard"
)

// sampler is a Prober that tells how far a primary has written.
type sampler interface {
	// Sample asks for what is durable, and for what is written, durable or not: it is never less. The error says
	// that the server isn't a primary, or doesn't answer.
	Sample(ctx context.Context) (durable, written shard.Position, err error)
}

// minSample is the time between two samples of one primary.
const minSample = 2 * time.Millisecond

// sample is how far a primary had written at some time after asked.
type sample struct {
	asked            time.Time // when the question was sent
	durable, written shard.Position
}

// samples are the last ones of a shard, the newest at next-1. Monitors add to them, under the shard's mu;
// everybody may read them.
type samples struct {
	next atomic.Uint64
	ring [64]atomic.Pointer[sample]
}

// add takes a sample. One that was asked for before the last was is of no use.
func (s *samples) add(one *sample) {
	n := s.next.Load()
	if n > 0 && !one.asked.After(s.ring[(n-1)%uint64(len(s.ring))].Load().asked) {
		return
	}
	s.ring[n%uint64(len(s.ring))].Store(one)
	s.next.Store(n + 1)
}

// after is the first sample that was asked for after the time; nil: there is none yet.
func (s *samples) after(at time.Time) (first *sample) {
	size := uint64(len(s.ring))
	for n, left := s.next.Load(), size; n > 0 && left > 0; n, left = n-1, left-1 {
		one := s.ring[(n-1)%size].Load()
		if !one.asked.After(at) || first != nil && one.asked.After(first.asked) { // the latter took its place
			return first
		}
		first = one
	}
	return first
}

// PositionAfter is a position of the shard that contains all that was committed, and acknowledged as durable, by
// the time. False: there is none yet; then the primary is asked for one, and a read that must see the commit
// belongs there. It allocates nothing.
//
// At is when the reply to the commit came. The positions are those of Server.Sampled.
func (b *Backend) PositionAfter(id shard.ID, at time.Time) (shard.Position, bool) {
	one := b.sampleAfter(id, at)
	if one == nil {
		return shard.Position{}, false
	}
	return one.durable, true
}

// WrittenAfter is PositionAfter for what was acknowledged before it was durable (synchronous_commit=off). It may
// take longer until a replica has applied it.
func (b *Backend) WrittenAfter(id shard.ID, at time.Time) (shard.Position, bool) {
	one := b.sampleAfter(id, at)
	if one == nil {
		return shard.Position{}, false
	}
	return one.written, true
}

func (b *Backend) sampleAfter(id shard.ID, at time.Time) *sample {
	s := b.topology.Load().shards[id]
	if s == nil {
		return nil
	}
	one := s.samples.after(at)
	if one == nil {
		s.positions.missedAt.Store(int64(s.b.now()))
		s.askForSample()
	}
	return one
}

// Sample asks the shard's primary soon how far it has written: for PositionAfter. However many ask, one question
// is under way at a time, and one in two milliseconds is sent at most. See also Wrote.
func (b *Backend) Sample(id shard.ID) {
	if s := b.topology.Load().shards[id]; s != nil {
		s.askForSample()
	}
}

// Sampled reports whether the server's conns don't say how far a write has come, so that it is asked for
// afterwards: see PositionAfter.
func (s *Server) Sampled() bool { return s.shard.dialect == shard.Postgres }

func (s *shardState) askForSample() {
	v := s.view.Load()
	if v.primary == nil || !v.primary.Sampled() {
		return
	}
	select {
	case v.primary.sampleNow <- struct{}{}:
	default:
	}
}

// sample asks the server how far it has written. False: it should be probed.
func (s *Server) sample(ctx context.Context, p Prober) bool {
	from, ok := p.(sampler)
	if !ok || s.shard.view.Load().primary != s {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-s.probeNow:
		return false
	case <-time.After(minSample - time.Since(s.sampled)):
	}
	select {
	case <-s.sampleNow: // whoever asked by now is served
	default:
	}
	s.sampled = time.Now()
	pctx, cancel := context.WithTimeout(ctx, s.settings.Load().monitor.Timeout)
	durable, written, err := from.Sample(pctx)
	cancel()
	if err != nil {
		return false
	}
	s.shard.sampledAt(s, &sample{s.sampled, durable, written})
	return true
}

// sampledAt takes a primary's sample. When reads have been missing replicas of late, these are followed until they
// have applied it.
func (s *shardState) sampledAt(srv *Server, one *sample) {
	s.mu.Lock()
	v := s.view.Load()
	if v.primary == srv {
		s.samples.add(one)
	}
	s.mu.Unlock()
	if s.missedLately() {
		s.follow(v, one.durable)
	}
}

// trail is where a shard's primary was, and when: a replica's own clock says little of how far it is behind. When
// nothing was written for an hour, the replica's last commit is an hour old; and one whose link to the primary
// hangs knows of no newer one. It is guarded by the shard's mu.
type trail struct {
	of    *Server
	marks []mark // oldest first
}

// mark is a position of the primary: it was there when it answered a question at first, and still when it was
// sent one at last.
type mark struct {
	position    shard.Position
	first, last time.Time
}

// maxMarks is one a second for a minute, at the usual pace of probes.
const maxMarks = 64

// add notes an answer that came now to a question sent at asked.
func (t *trail) add(of *Server, position shard.Position, asked, now time.Time) {
	if t.of != of {
		*t = trail{of: of, marks: t.marks[:0]}
	}
	n := len(t.marks)
	if n > 0 && t.marks[n-1].position.Contains(position) {
		t.marks[n-1].last = asked
		return
	}
	if n == maxMarks {
		t.marks = append(t.marks[:0], t.marks[1:]...)
	}
	t.marks = append(t.marks, mark{position, now, asked})
}

// lag corrects what a replica says of its lag, which has applied so far: it lacks what the primary had at some
// mark, or it has all of it.
func (t *trail) lag(own time.Duration, applied shard.Position, now time.Time) time.Duration {
	for i := len(t.marks) - 1; i >= 0; i-- {
		m := &t.marks[i]
		if !applied.Contains(m.position) {
			continue
		}
		if i == len(t.marks)-1 {
			return min(own, now.Sub(m.last))
		}
		lacks := now.Sub(t.marks[i+1].first)
		return min(max(own, lacks), now.Sub(m.last))
	}
	if len(t.marks) > 0 {
		return max(own, now.Sub(t.marks[0].first))
	}
	return own
}

// settleLag is called with the shard's mu held, when a probe that began at some time has seen this of the server.
func (s *shardState) settleLag(srv *Server, o *Observation, began time.Time) {
	switch now := time.Now(); {
	case !srv.Sampled():
	case o.writable() && s.view.Load().primary == srv:
		s.trail.add(srv, o.Applied, began, now)
		s.samples.add(&sample{began, o.Applied, o.Written})
	case o.Replicates && o.LagKnown && s.trail.of == s.view.Load().primary:
		o.Lag = s.trail.lag(o.Lag, o.Applied, now)
	}
}
