package backend

// Reads that must see a position: following the replicas, and positions that expire.

import (
	"context"
	"sync/atomic"
	"time"

	"leat/shard"
)

// positions is what a shard knows of reads that ask for a position.
type positions struct {
	want   atomic.Pointer[want]
	missed atomic.Uint64 // reads that went to the primary since no replica had their position
	// missedAt is when a read did so last, or was told of no position yet (see PositionAfter), on the backend's clock.
	missedAt atomic.Int64
	expired  atomic.Uint64 // choices that ignored what the shard's history no longer holds
	logged   atomic.Int64  // when the last of these was logged, on the backend's clock
}

// want is the position that a read last found on no replica.
type want struct {
	position shard.Position
	at       time.Duration
}

const (
	followFor  = 250 * time.Millisecond // after the last read that missed
	minFollow  = 2 * time.Millisecond   // between two looks at a replica's position
	maxFollow  = 20 * time.Millisecond
	wroteAfter = time.Second // reads that miss let writes wake the followers for so long
)

// miss notes that a read went to the primary for want of a replica at its position. The replicas
// are followed closely for a while, so that the next read finds one.
func (s *shardState) miss(v *view, p shard.Position) {
	s.positions.missed.Add(1)
	s.positions.missedAt.Store(int64(s.b.now()))
	s.follow(v, p)
}

func (s *shardState) follow(v *view, p shard.Position) {
	s.positions.want.Store(&want{p, s.b.now()})
	for _, list := range [...][]*Server{v.online, v.batch} {
		for _, srv := range list {
			select {
			case srv.readersNow <- struct{}{}:
			default:
			}
		}
	}
}

// Wrote says that a session wrote up to p. When reads of own writes have been missing replicas of
// late, the replicas are asked every few milliseconds, for a quarter of a second at most, until
// they have applied it: reads return to them soon. A zero p says that the reply didn't tell: then the
// primary is asked first, if it can be (see PositionAfter).
func (b *Backend) Wrote(id shard.ID, p shard.Position) {
	s := b.topology.Load().shards[id]
	if s == nil {
		return
	}
	if p.IsZero() {
		if s.missedLately() {
			s.askForSample()
		}
		return
	}
	if w := s.positions.want.Load(); w != nil && b.now()-w.at < wroteAfter {
		s.follow(s.view.Load(), p)
	}
}

// missedLately reports whether a read went to the primary for want of a replica at its position, or of a position.
func (s *shardState) missedLately() bool {
	at := s.positions.missedAt.Load()
	return at > 0 && s.b.now()-time.Duration(at) < wroteAfter
}

// follow asks for the server's position until it has what reads wait for. False: the next probe
// is due.
func (s *Server) follow(ctx context.Context, p Prober, due time.Time) bool {
	pause := minFollow
	for {
		w := s.shard.positions.want.Load()
		if w == nil || s.applied.Load().Contains(w.position) || s.b.now()-w.at > followFor {
			return true
		}
		pctx, cancel := context.WithTimeout(ctx, s.settings.Load().monitor.Timeout)
		at, err := p.Applied(pctx)
		cancel()
		if err != nil {
			return false
		}
		s.applied.Store(&at)
		if at.Contains(w.position) {
			continue
		}
		select {
		case <-ctx.Done():
			return false
		case <-s.probeNow:
			return false
		case <-time.After(pause):
		}
		if time.Now().After(due) {
			return false
		}
		pause = min(pause*3/2, maxFollow)
	}
}

// unexpired cuts a needed position to what the primary's history still holds: after a failover or a
// GTID reset the rest can never come. Only a probe that began after the position was handed out can
// tell. Cut says that something was left out.
func (s *shardState) unexpired(v *view, n *Need) (p shard.Position, cut bool) {
	if v.primary == nil || n.Position.IsZero() || n.PositionSince.IsZero() ||
		!v.asked.After(n.PositionSince) || v.history.Contains(n.Position) {
		return n.Position, false
	}
	s.positions.expired.Add(1)
	if now := int64(s.b.now()); now-s.positions.logged.Load() > int64(10*time.Second) {
		s.positions.logged.Store(now)
		s.b.log.Warn("a session's position is no longer in the primary's history: ignored",
			"shard", string(s.id), "server", v.primary.address)
	}
	return n.Position.Intersect(v.history), true
}
