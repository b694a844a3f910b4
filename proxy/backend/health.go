package backend

// What is known of a server's health, and the monitor that finds it out.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

// Prober asks one server how it is, over a conn of its own that it keeps open between calls. It is
// used by one goroutine. Each dialect has one; see health_mysql.go.
type Prober interface {
	// Probe connects and logs in if need be, and looks at everything. A *wire.ServerError is the
	// server's own word; any other error means that it can't be talked to.
	Probe(ctx context.Context) (Observation, error)
	// Applied asks only how far the server has applied its shard's history.
	Applied(ctx context.Context) (shard.Position, error)
	Close() error
}

// ProbeTarget is what a Prober is made for.
type ProbeTarget struct {
	Shard   shard.ID
	Address string // as configured
	// Dial connects to the server, at the addresses that its name has now.
	Dial    func(context.Context) (net.Conn, error)
	TLS     *tls.Config // nil: none
	Monitor Monitor
}

// Observation is what a probe saw.
type Observation struct {
	ReadOnly   bool
	Replicates bool // it follows another server, or is set up to
	// Lag is how far behind that server it is, if LagKnown. Trouble says why it isn't known.
	Lag      time.Duration
	LagKnown bool
	Trouble  string
	Applied  shard.Position // zero: not known (GTIDs are off)
	// Written is what a primary's history has come to, whether it is durable or not. Zero: it is Applied.
	Written shard.Position
}

// writable: clients can write to it, and nobody else's writes arrive there.
func (o *Observation) writable() bool { return !o.ReadOnly && !o.Replicates }

// history is what clients may have been told of.
func (o *Observation) history() shard.Position {
	if o.Written.IsZero() {
		return o.Applied
	}
	return o.Written
}

// probers make the dialects' own probers.
var probers = map[shard.Dialect]func(ProbeTarget) Prober{
	shard.MySQL:    newMySQLProber,
	shard.Postgres: newPostgresProber,
}

// health is what is known of a server. It is guarded by the shard's mu.
type health struct {
	probed bool // at least one probe has ended
	up     bool
	since  time.Duration // when up changed, on the backend's clock
	first  time.Duration // when the first probe ended
	upTime time.Duration // sum of the times it was up, but for the present one
	oks    int           // successes in a row
	fails  int           // failures in a row
	err    error         // of the last probe; nil: it answered

	seen       Observation
	began      uint64    // tick at which the last successful probe began
	beganAt    time.Time // and its time
	fresh      bool      // replicates, and not over the lag limit
	freshOKs   int
	freshFails int

	doubted uint64 // tick; a probe must have begun later for the role to be believed
	doubt   string
}

// usable: it answers, and no operator took it out. Called with the shard's mu held.
func (s *Server) usable() bool { return s.health.up && !s.drained.Load() }

// whyNotPrimary says it in a few words. Called with the shard's mu held.
func (s *Server) whyNotPrimary() string {
	h := &s.health
	switch {
	case s.drained.Load():
		return "is drained"
	case !h.probed:
		return "hasn't been probed yet"
	case !h.up && h.err != nil:
		return "is down (" + h.err.Error() + ")"
	case !h.up:
		return "is coming back"
	case h.seen.Replicates && !h.seen.ReadOnly && !h.seen.LagKnown:
		return "isn't read only, but is still set up to replicate (RESET REPLICA ALL would make it a primary)"
	case h.seen.Replicates:
		return "replicates"
	case h.seen.ReadOnly:
		return "is read only"
	case h.began <= h.doubted:
		return "is being asked again (" + h.doubt + ")"
	}
	return "is writable"
}

// Bounds of the monitor's pace.
const (
	recheck     = 100 * time.Millisecond // after a failed probe, until a server is up again, and while requests wait for one
	minProbeGap = 20 * time.Millisecond  // however often a probe is asked for
	stallAfter  = 250 * time.Millisecond // requests under way and no reply for so long: probe
	hungAfter   = 3 * time.Second        // a server down and mute for so long: end what is under way
)

// monitor probes the server until ctx ends.
func (s *Server) monitor(ctx context.Context) {
	for ctx.Err() == nil {
		set := s.settings.Load()
		s.addresses(ctx) // so that the first answer isn't taken for a change
		at := s.resolved.Load()
		prober := s.newProber(set)
		for ctx.Err() == nil && set == s.settings.Load() && at == s.resolved.Load() {
			began := time.Now()
			pause := s.probe(ctx, prober, set)
			s.rest(ctx, prober, began, pause)
		}
		prober.Close()
	}
}

func (s *Server) newProber(set *settings) Prober {
	make := set.monitor.NewProber
	if make == nil {
		make = probers[s.shard.dialect]
	}
	return make(ProbeTarget{s.shard.id, s.address, s.dial, set.tls, set.monitor})
}

// probe looks at the server once and says how long to rest.
func (s *Server) probe(ctx context.Context, p Prober, set *settings) time.Duration {
	tick, began := s.b.tick.Add(1), time.Now()
	pctx, cancel := context.WithTimeout(ctx, set.monitor.Timeout)
	defer cancel()
	o, err := p.Probe(pctx)
	if ctx.Err() != nil {
		return 0
	}
	if err != nil && pctx.Err() != nil {
		err = fmt.Errorf("no answer within %v", set.monitor.Timeout)
	}
	if err == nil && s.greeting.Load() == nil {
		s.greet(pctx, set)
	}
	settled := true
	s.shard.update(func() {
		settled = s.note(tick, began, o, err)
	})
	if !settled || s.shard.writes.busy() || s.shard.reads.busy() {
		return min(recheck, set.monitor.Interval)
	}
	return set.monitor.Interval - rand.N(set.monitor.Interval/10+1)
}

// greet opens a conn to see how the server greets. Failing is no harm: the next conn shows it.
func (s *Server) greet(ctx context.Context, set *settings) {
	l := &login{key: loginKey{user: set.monitor.User, password: set.monitor.Password}}
	if s.shard.dialect == shard.Postgres {
		l.key.database = set.monitor.Database
	}
	if c, err := s.open(ctx, l, ""); err == nil {
		c.Conn.Close()
	}
}

// rest waits for the next probe: the pause, or until one is asked for. Meanwhile it follows the
// server's position when reads wait for it.
func (s *Server) rest(ctx context.Context, p Prober, began time.Time, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-s.probeNow:
			timer.Reset(minProbeGap - time.Since(began))
		case <-s.readersNow:
			if !s.follow(ctx, p, began.Add(pause)) {
				return
			}
		case <-s.sampleNow:
			if !s.sample(ctx, p) {
				return
			}
		}
	}
}

// note takes a probe's result into the server's health. False: the next probe is urgent. Called
// with the shard's mu held.
func (s *Server) note(tick uint64, began time.Time, o Observation, err error) (settled bool) {
	h, now := &s.health, s.b.now()
	first := !h.probed
	if first {
		h.probed, h.first, h.since = true, now, now
	}
	h.err = err
	switch {
	case err == nil:
		s.shard.settleLag(s, &o, began)
		h.began, h.beganAt, h.seen = tick, began, o
		s.applied.Store(&o.Applied)
		h.oks++
		h.fails = 0
		s.noteLag(first)
	case isBusy(err):
		s.mute.Store(0)
		return true // it answers, if only that it has too many conns: nothing else is learned
	case errors.Is(err, syscall.ECONNREFUSED):
		h.fails += 2
		h.oks = 0
	default:
		h.fails++
		h.oks = 0
	}
	switch {
	case h.up && h.fails >= s.shard.fall:
		s.turn(false, first)
	case !h.up && h.oks > 0 && (first || h.oks >= s.shard.rise):
		s.turn(true, first)
	case first: // it never was up
		s.log().Warn("server is down", slog.Any("error", h.err))
	}
	if h.up || answers(err) {
		s.mute.Store(0)
	} else {
		s.mute.CompareAndSwap(0, max(int64(now), 1))
	}
	return h.up == (h.fails == 0)
}

// errCheck begins the error of a probe that was answered, but not as the operator's statement wants it.
var errCheck = errors.New("monitor query")

// answers reports whether a probe's result came from the server, if only as an error.
func answers(err error) bool {
	var own *wire.ServerError
	return err == nil || errors.As(err, &own) || errors.Is(err, errCheck)
}

func isBusy(err error) bool {
	var refused *wire.ServerError
	return errors.As(err, &refused) && refused.Condition() == wire.TooManyConns
}

// noteLag decides whether the server is fresh enough to read from.
func (s *Server) noteLag(first bool) {
	h, limit := &s.health, max(s.shard.cfg.MaxLag, 0)
	if h.seen.Replicates && h.seen.LagKnown && h.seen.Lag <= limit {
		h.freshOKs++
		h.freshFails = 0
	} else {
		h.freshFails++
		h.freshOKs = 0
	}
	was := h.fresh
	switch {
	case h.freshOKs > 0 && (first || h.freshOKs >= s.shard.rise):
		h.fresh = true
	case h.freshFails >= s.shard.fall:
		h.fresh = false
	}
	if h.fresh != was && h.up && h.seen.Replicates {
		s.logLag(limit)
	}
}

func (s *Server) logLag(limit time.Duration) {
	log := s.log().With(slog.String("lag", s.health.lag()), slog.Duration("max_lag", limit))
	if s.health.fresh {
		log.Info("replica has caught up: it takes reads")
	} else {
		log.Warn("replica is too far behind: it takes no reads while others can")
	}
}

func (h *health) lag() string {
	switch {
	case !h.seen.Replicates:
		return "unknown: it doesn't replicate"
	case !h.seen.LagKnown:
		return "unknown: " + h.seen.Trouble
	}
	return h.seen.Lag.String()
}

// turn takes the server out or brings it back. First says that no probe was made before.
func (s *Server) turn(up, first bool) {
	h, now := &s.health, s.b.now()
	if h.up {
		h.upTime += now - h.since
	}
	h.up, h.since = up, now
	switch {
	case !up:
		h.fresh, h.freshOKs = false, 0 // it may come back far behind
		s.log().Warn("server is down", slog.Any("error", h.err))
		s.pool.serverDown(h.err)
	case !first:
		s.warm.Store(max(int64(now), 1))
		s.log().Info("server is back")
	default:
		s.log().Info("server is up")
	}
}

func (s *Server) log() *slog.Logger {
	return s.b.log.With(slog.String("shard", string(s.shard.id)), slog.String("server", s.address))
}

// availability is the share of the time since the first probe that the server was up, in percent.
func (h *health) availability(now time.Duration) float64 {
	if !h.probed || now <= h.first {
		if h.up {
			return 100
		}
		return 0
	}
	up := h.upTime
	if h.up {
		up += now - h.since
	}
	return 100 * float64(up) / float64(now-h.first)
}

// checkStall has the server probed when requests are under way and no reply has come for a while. On a server
// that is down and mute they may hang for ever: reads that another server can take end at once, and go there, the
// others when nothing came for long.
func (s *Server) checkStall() {
	now := s.b.now()
	oldest := s.pool.oldestStart()
	if oldest == 0 {
		return
	}
	silent := now - max(oldest, time.Duration(s.lastReply.Load()))
	if silent >= stallAfter {
		s.poke()
	}
	mute := time.Duration(s.mute.Load())
	switch {
	case mute == 0:
	case min(silent, now-mute) >= hungAfter:
		s.pool.cut(now-hungAfter, false)
	case silent >= stallAfter && s.shard.view.Load().readable():
		s.pool.cut(now-stallAfter, true)
	}
}

// oldestStart is when the request was sent that has been under way for longest; 0: there is none.
func (p *pool) oldestStart() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lent == 0 {
		return 0
	}
	var oldest int64
	for c := range p.conns {
		if t := c.started.Load(); t > 0 && (oldest == 0 || t < oldest) {
			oldest = t
		}
	}
	return time.Duration(oldest)
}

// cut ends the requests that were sent before, or of these only the ones that can move, as if the conns had
// broken.
func (p *pool) cut(before time.Duration, moving bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if t := c.started.Load(); t > 0 && t <= int64(before) && !(moving && c.fixed.Load()) {
			c.retired = "no reply from a server that is down"
			c.Conn.SetDeadline(time.Unix(1, 0))
		}
	}
}
