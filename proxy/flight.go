package proxy

// flight.go: requests that are at a server, and stopping them: KILL, time-outs, clients that went away.
// One watcher looks after all sessions; a session's own goroutine only ever waits.

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
)

// flight is a session's request on its way. It is guarded by the session's mu.
type flight struct {
	conn   *backend.Conn // nil: none
	target backend.Target
	since  time.Time
	number uint64 // of the session's flights, from 1
	reason cancelReason
	// left is whether nobody waits for the reply: a server that doesn't obey is left soon after.
	left bool
	// deadline is when the reply must have ended; zero: it has time.
	deadline time.Time
	// stopped is closed when the last cancel has ended, whatever it did; nil: none was asked for. landed is
	// closed when the reply ended, so that a cancel that hasn't begun is given up.
	stopped, landed chan struct{}
	// cancels is how many were begun. Once the last one has ended, another may follow at the time again.
	cancels int
	again   time.Time
}

// cancelReason is why Leat stopped a statement.
type cancelReason uint8

const (
	notCancelled cancelReason = iota
	cancelKill
	cancelTimeout
	cancelGone
)

// takeOff notes that a request goes to a server. The error is that of a session which was ended meanwhile: nothing
// may be sent for it any more.
func (s *session) takeOff(conn *backend.Conn, plan *router.Plan, mayMove bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return errEnded
	}
	if !s.lent.Of(conn) {
		s.lent = conn.Target()
	}
	conn.Start(mayMove)
	s.flights++
	s.flight = flight{conn: conn, target: s.lent, since: time.Now(), number: s.flights}
	s.shown.digest = plan.Digest
	return nil
}

var errEnded = wire.Errorf(wire.CodeCancelled, "the request was cancelled before it was sent")

// land notes that the reply has ended. If a cancel is under way it is waited for, so that it can't hit
// what the conn does next.
func (s *session) land() cancelReason {
	s.mu.Lock()
	f := s.flight
	s.flight = flight{}
	if !f.deadline.IsZero() {
		f.conn.SetDeadline(time.Time{})
	}
	s.mu.Unlock()
	if f.stopped != nil {
		close(f.landed)
		<-f.stopped
	}
	return f.reason
}

// anyFlight stands for whatever a session runs.
const anyFlight = 0

// cancelFlight asks the server to stop what the session runs, if it is still the flight of that number. It returns
// at once; false means that nothing of that runs. A cancel that did nothing, since the server refused it or the
// statement doesn't obey, is tried again when it is asked for again.
func (s *session) cancelFlight(number uint64, reason cancelReason) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.flight
	if f.conn == nil || number != anyFlight && number != f.number {
		return false
	}
	now := time.Now()
	if f.left = f.left || reason == cancelGone; f.left {
		f.endBy(now.Add(2 * cancelTimeoutAfter)) // should no cancel get its turn
	}
	if f.stopped != nil && (f.again.IsZero() || now.Before(f.again)) {
		return true // by the one under way, or lately
	}
	f.reason = reason
	f.cancels++
	f.again = time.Time{}
	if f.landed == nil {
		f.landed = make(chan struct{})
	}
	f.stopped = make(chan struct{})
	go s.runCancel(f.target, f.stopped, f.landed)
	return true
}

// runCancel runs one cancel of a flight.
func (s *session) runCancel(target backend.Target, done, landed chan struct{}) {
	defer close(done)
	s.server.cancel(target, landed)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.flight
	if f.stopped != done { // it has landed
		return
	}
	f.again = time.Now().Add(cancelPace << min(f.cancels-1, maxCancelPace))
	if f.left {
		f.endBy(time.Now().Add(cancelTimeoutAfter))
	}
}

// Cancels of one statement are apart by cancelPace, and twice as long each time: up to 32 s.
const (
	cancelPace    = time.Second
	maxCancelPace = 5
)

// endBy breaks the request off at a time, unless it is to end before. It is called with the session's mu held,
// so that the deadline is lifted when the request lands.
func (f *flight) endBy(t time.Time) {
	if f.conn != nil && (f.deadline.IsZero() || t.Before(f.deadline)) {
		f.deadline = t
		f.conn.SetDeadline(t)
	}
}

// cancelTimeoutAfter bounds one cancel: a new connection, a log-in and a KILL.
const cancelTimeoutAfter = 5 * time.Second

// cancel stops a statement over a side connection. At most maxCancels run at once; one that waits for its
// turn is given up when the statement has landed.
func (s *Server) cancel(target backend.Target, landed <-chan struct{}) {
	select {
	case s.cancels <- struct{}{}:
	case <-landed:
		return
	}
	defer func() { <-s.cancels }()
	ctx, done := context.WithTimeout(context.Background(), cancelTimeoutAfter)
	defer done()
	s.counters.cancels.Add(1)
	if err := s.backend.Cancel(ctx, target); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "could not cancel a statement", slog.Any("error", err))
	}
}

const maxCancels = 16

// stop cancels what a conn runs that is about to be discarded: its client has gone.
func (s *Server) stop(conn *backend.Conn) {
	never := make(chan struct{})
	s.cancel(conn.Target(), never)
}

// kill serves KILL: of a statement (query) or of a whole client.
func (s *session) kill(r *wire.Request, id uint32, query bool) error {
	target := s.server.session(id)
	if target == nil {
		s.client.SendError(wire.Errorf(wire.CodeNoSuchThread, "Unknown thread id: %d", id))
		return nil
	}
	s.mu.Lock()
	user := s.user
	s.mu.Unlock()
	if target.userName() != user.Name && !user.Admin {
		s.client.SendError(wire.Errorf(wire.CodeKillDenied, "You are not owner of thread %d", id))
		return nil
	}
	if target == s {
		s.client.SendError(s.killedSelf(query))
		if !query {
			return errEnd
		}
		return nil
	}
	target.killed(query)
	s.sendOK(r, "")
	return nil
}

// cancelFor stops what a client runs, or waits to run, that somebody knows the key of. Others are told nothing.
func (s *Server) cancelFor(r *wire.CancelRequest) {
	ss := s.session(r.ID)
	if ss == nil || len(r.Key) != shortKey && len(r.Key) != len(ss.key) || subtle.ConstantTimeCompare(r.Key, ss.key[:len(r.Key)]) != 1 {
		return
	}
	if !ss.cancelFlight(anyFlight, cancelKill) {
		ss.wait.stop()
	}
}

// shortKey is how much of its key a client of an older protocol was told, in bytes.
const shortKey = 4

// killedSelf is what a client gets that kills itself.
func (s *session) killedSelf(query bool) *wire.Error {
	if !query && s.readFacts().Flavor == wire.FlavorMariaDB {
		return wire.Errorf(wire.CodeConnKilled, "Connection was killed")
	}
	return wire.Errorf(wire.CodeCancelled, "Query execution was interrupted")
}

// killed stops the session's statement, and unless query the session itself.
func (s *session) killed(query bool) {
	if query {
		s.cancelFlight(anyFlight, cancelKill)
		return
	}
	s.cancelFlight(anyFlight, cancelGone)
	s.mu.Lock()
	if s.ending == nil {
		s.ending = wire.Errorf(wire.CodeCancelled, "Connection was killed")
	}
	s.mu.Unlock()
	s.cancel()
	s.client.Close()
}

// Kill ends a client's session, for the admin API. The error says that there is none with that id.
func (s *Server) Kill(id uint32) error {
	ss := s.session(id)
	if ss == nil {
		return wire.Errorf(wire.CodeNoSuchThread, "no client has id %d: list them with leatctl sessions", id)
	}
	ss.killed(false)
	return nil
}

// Run watches over sessions that wait until ctx ends: clients that went away, statements and transactions
// over their time, idle clients.
func (s *Server) Run(ctx context.Context) error {
	const pace = 100 * time.Millisecond
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	var all []*session
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		all = s.appendSessions(all[:0])
		now := time.Now()
		cfg := &s.world.Load().cfg
		for _, ss := range all {
			ss.watch(now, cfg)
		}
		clear(all)
	}
}

func (s *Server) appendSessions(all []*session) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ss := range s.sessions {
		all = append(all, ss)
	}
	return all
}

// patience is how long a request may take before its client is looked after.
const patience = 200 * time.Millisecond

// writeTimeout is how long a client may not take what is sent to it, as MySQL's net_write_timeout.
const writeTimeout = time.Minute

// watch looks after one session.
func (s *session) watch(now time.Time, cfg *Config) {
	limit := time.Duration(s.readLimit.Load())
	if limit == 0 {
		limit = cfg.IdleTimeout
	}
	if limit > 0 && s.client.Withheld(now) > limit {
		s.client.Close()
		return
	}
	s.mu.Lock()
	f, active, txSince := s.flight, time.Unix(0, s.active.Load()), s.shown.txSince
	s.mu.Unlock()
	if s.busy.Load() {
		took := now.Sub(active)
		switch {
		case took < patience:
		case s.client.Stalled(now) > writeTimeout:
			s.client.Close()
		case s.client.Gone():
			s.cancelFlight(anyFlight, cancelGone)
			s.cancel() // if it waits for a conn
		case f.conn == nil:
		case cfg.QueryTimeout > 0 && now.Sub(f.since) > cfg.QueryTimeout,
			cfg.TxTimeout > 0 && !txSince.IsZero() && now.Sub(txSince) > cfg.TxTimeout:
			s.cancelFlight(f.number, cancelTimeout)
		}
		return
	}
	idle := now.Sub(active)
	limit = time.Duration(s.idleLimit.Load())
	switch {
	case !txSince.IsZero() && cfg.TxIdleTimeout > 0 && idle > cfg.TxIdleTimeout:
		s.end(wire.Errorf(wire.CodeTxTimeout, "The transaction was rolled back: its client sent nothing for %s (timeouts.tx_idle)", cfg.TxIdleTimeout))
	case !txSince.IsZero() && cfg.TxTimeout > 0 && now.Sub(txSince) > cfg.TxTimeout:
		s.end(wire.Errorf(wire.CodeTxTimeout, "The transaction was rolled back: it ran for longer than %s (timeouts.tx)", cfg.TxTimeout))
	case cfg.IdleTimeout > 0 && idle > cfg.IdleTimeout, limit > 0 && idle > limit:
		s.end(wire.Errorf(wire.CodeIdle, "The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout for configuring this behavior."))
	}
}
