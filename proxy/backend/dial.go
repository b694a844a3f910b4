package backend

// How pools get new conns: a few log-ins at a time, and a pause after a failure.

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"leat/proxy/wire"
)

// errRetired is why a server that was taken out of the config can't be reached.
var errRetired = errors.New("no longer in the config")

// unreachableError says that no conn to a server could be opened. Another server may do.
type unreachableError struct {
	server *Server
	err    error
}

func (e *unreachableError) Error() string { return e.server.address + ": " + e.err.Error() }
func (e *unreachableError) Unwrap() error { return e.err }

// backoff is the pause between dials that fail. It is guarded by the pool's mu.
type backoff struct {
	failures    int
	until       time.Time
	err         error // why the last dial failed; nil after a success
	unreachable bool  // the server didn't answer, other than with "too many connections"
	timer       *time.Timer
}

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
)

func (b *backoff) active() bool { return b.err != nil && time.Now().Before(b.until) }

// fail doubles the pause, and takes off up to a quarter so that several Leats don't dial in step.
func (b *backoff) fail(err error, unreachable bool) {
	pause := min(minBackoff<<min(b.failures, 10), maxBackoff)
	pause -= rand.N(pause / 4)
	b.failures++
	b.err, b.unreachable, b.until = err, unreachable, time.Now().Add(pause)
}

func (b *backoff) succeed() { b.failures, b.err, b.unreachable = 0, nil, false }

func (b *backoff) stop() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

// fill starts the dials that the waiters need and the limits allow. It is called with mu held
// whenever one of these changed.
func (p *pool) fill() {
	if p.closed || p.waiters.Len() == 0 {
		return
	}
	if p.backoff.active() {
		if p.backoff.timer == nil {
			p.backoff.timer = time.AfterFunc(time.Until(p.backoff.until), p.refill)
		}
		return
	}
	var next *list.Element
	for e := p.waiters.Front(); e != nil && p.dialing < maxDials; e = next {
		w := e.Value.(*waiter)
		next = e.Next()
		if w.dialing || w.terms.guest && p.guestsAreFull() {
			continue
		}
		full := len(p.conns)+p.dialing >= p.server.settings.Load().poolSize
		if c := p.takeIdle(w.login, w.state, w.terms, full); c != nil {
			p.unqueue(w)
			w.got <- lentOrErr{conn: c}
			continue
		}
		if p.backoff.err != nil && p.dialing > 0 {
			return // after a failure, one dial shows whether the server is back
		}
		if !p.makeRoom() {
			return
		}
		p.dialing++
		w.login.dialing++
		w.dialing = true
		if !p.server.b.spawn(func(ctx context.Context) { p.dial(ctx, w) }) {
			p.dialing--
			w.login.dialing--
			w.dialing = false
			return
		}
	}
}

func (p *pool) refill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backoff.timer = nil
	p.fill()
}

// makeRoom reports whether one more conn may be opened; it closes the idle conn that was unused
// for longest if need be.
func (p *pool) makeRoom() bool {
	if len(p.conns)+p.dialing < p.server.settings.Load().poolSize {
		return true
	}
	var oldest *Conn
	for _, l := range p.logins {
		if c := l.last; c != nil && (oldest == nil || c.idleSince < oldest.idleSince) {
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	p.unlink(oldest)
	p.forget(oldest)
	// Closing is a system call or two, and a goodbye that isn't waited for.
	p.server.close(oldest, "makes room for another login")
	return true
}

// dial opens a conn for the waiter. Whoever fits it first gets it.
func (p *pool) dial(ctx context.Context, w *waiter) {
	database := ""
	if w.state != nil {
		database = w.state.Database()
	}
	c, err := p.server.open(ctx, w.login, database)

	p.mu.Lock()
	p.dialing--
	w.login.dialing--
	w.dialing = false
	if err != nil {
		p.dialFailed(w, err)
		p.fill()
		p.mu.Unlock()
		return
	}
	p.backoff.succeed()
	p.stats.opened++
	if p.closed {
		p.mu.Unlock()
		p.server.close(c, "server retired")
		return
	}
	p.conns[c] = struct{}{}
	misfit := p.offer(c, c.opened)
	p.mu.Unlock()
	if misfit != nil {
		p.server.close(misfit, "makes room for another login")
	}
}

// dialFailed tells the waiters whom the failure concerns.
func (p *pool) dialFailed(w *waiter, err error) {
	p.stats.dialErrors++
	var refused *wire.ServerError
	switch {
	case !errors.As(err, &refused) || goesDown(refused):
		p.backoff.fail(err, true)
		p.failWaiters(&unreachableError{p.server, err}, func(*waiter) bool { return true })
	case refused.Condition() == wire.TooManyConns:
		// The server is well, and lent conns come back: everybody goes on waiting, unless there
		// are none and another server may do.
		p.backoff.fail(err, false)
		if p.hopeless() {
			p.failWaiters(&unreachableError{p.server, err}, func(o *waiter) bool { return !o.terms.patient })
		}
	default:
		// The login is refused, or its database: all others with both would be told the same.
		p.backoff.succeed()
		p.failWaiters(refused, func(o *waiter) bool {
			return o.login == w.login && o.database() == w.database()
		})
	}
}

func (p *pool) failWaiters(err error, which func(*waiter) bool) {
	for e := p.waiters.Front(); e != nil; {
		w, next := e.Value.(*waiter), e.Next()
		if which(w) {
			p.unqueue(w)
			w.got <- lentOrErr{err: err}
		}
		e = next
	}
}

// serverDown sends everybody who waits to look for another server, and closes the conns: they may
// hang without ever failing.
func (p *pool) serverDown(err error) {
	p.mu.Lock()
	p.failWaiters(&unreachableError{p.server, err}, func(*waiter) bool { return true })
	p.mu.Unlock()
	p.server.b.spawn(func(context.Context) {
		p.retire("server is down", func(*Conn) bool { return true })
	})
}

func (w *waiter) database() string {
	if w.state == nil {
		return ""
	}
	return w.state.Database()
}

// open dials the server's addresses in turn and logs in.
func (s *Server) open(ctx context.Context, l *login, database string) (*Conn, error) {
	set := s.settings.Load()
	ctx, cancel := context.WithTimeout(ctx, set.connectTimeout)
	defer cancel()
	addresses, err := s.addresses(ctx)
	if err != nil {
		return nil, err
	}
	for _, address := range addresses {
		var wc wire.Conn
		if wc, err = s.dialer.Dial(ctx, address, s.wireLogin(l, database)); err == nil {
			s.learn(wc.Greeting())
			now := s.b.now()
			life := set.maxLifetime
			life += rand.N(life/5+1) - life/10
			return &Conn{Conn: wc, server: s, login: l, address: address, opened: now, expires: now + life}, nil
		}
		var refused *wire.ServerError
		if errors.As(err, &refused) || ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect to %s: %w", s.address, err)
}

// wireLogin is the login as the dialect's dialer takes it. The database is where a conn begins that can go to
// another one.
func (s *Server) wireLogin(l *login, database string) wire.Login {
	return wire.Login{
		User: l.key.user, Password: l.key.password, Database: cmp.Or(l.key.database, database),
		TLS: s.settings.Load().tls, Flags: l.key.flags, ReadOnly: l.key.readOnly,
		Attributes: attributes,
	}
}

// attributes tell a database's operator whose conn it is.
var attributes = map[string]string{"program_name": "leat"}

// goesDown reports whether a server refused a log-in since it is shutting down, starting up or set offline.
func goesDown(e *wire.ServerError) bool {
	c := e.Condition()
	return c == wire.GoingAway || c == wire.Offline
}
