package backend

// The conns to one server: which are idle, who gets one, who waits.

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
)

// pool holds the conns to one server: those that are idle, by login, and the count of all. Whoever
// finds no idle conn that fits queues, first come first served, for one that is released or dialled.
type pool struct {
	server *Server

	// load is the conns that are lent and the requests that wait: what least_connections compares.
	load atomic.Int32

	mu      sync.Mutex
	closed  bool
	logins  map[loginKey]*login
	conns   map[*Conn]struct{} // all that are open
	lent    int
	guests  int // of these, by guests
	dialing int
	waiters list.List // of *waiter
	backoff backoff
	stats   poolStats
}

// loginKey is what can't be changed on an open conn. The password is part of it, so that a conn
// opened with a former one is never lent to somebody who has the new one.
type loginKey struct {
	user, password string
	database       string // of a conn that is bound to one
	flags          uint64
	readOnly       bool
}

// login is the pool's conns of one key. The idle ones are a list, the last used first.
type login struct {
	key         loginKey
	first, last *Conn
	dialing     int
}

// poolStats counts since the server was added.
type poolStats struct {
	opened, closed, dialErrors, waits, timeouts uint64
	waited                                      time.Duration
}

// waiter is a request that waits for a conn.
type waiter struct {
	login   *login
	state   *wire.State
	terms   terms
	dialing bool // a dial for it is under way
	passed  int  // how often a later waiter was served first
	elem    *list.Element
	got     chan lentOrErr // holds one
}

type lentOrErr struct {
	conn *Conn
	err  error
}

// terms are how a request borrows.
type terms struct {
	readOnly bool // the conn must be one on which writes fail
	patient  bool // there is no other server to go to
	// guest is a read that a replica should have taken. Guests leave a fifth of the conns, and of
	// the places in the queue, to the primary's own work.
	guest bool
}

// guestShare is what guests may have of n.
func guestShare(n int) int { return max(n*4/5, 1) }

const (
	// maxDials bounds the log-ins under way to one server.
	maxDials = 4
	// maxPassed is how often a waiter may be passed by a later one that fits the conn that came free
	// better. Then the conn is closed to make room for what the waiter needs.
	maxPassed = 16
	// maxScan bounds the search for an idle conn that is in the wanted state already.
	maxScan = 32
)

// fits reports whether a conn can be brought into that state: a database can't be unset, but the login's is right.
func fits(c *Conn, state *wire.State) bool {
	return state == nil || c.login.key.database != "" || state.Database() != "" || c.State().Database() == ""
}

// trusted is how long a conn may have been idle and still be lent for a read without a look at its
// socket, which is a system call: a read that finds it closed is sent elsewhere.
const trusted = 20 * time.Millisecond

// get lends a conn. It waits when there is none, unless the server can't be reached just now and
// the caller, who isn't patient, can go elsewhere. An unreachable server is an *unreachableError.
func (p *pool) get(ctx context.Context, n *Need, how terms) (*Conn, error) {
	key := loginKey{n.User, n.Password, n.Database, n.Flags, how.readOnly}
	p.mu.Lock()
	for {
		l := p.login(key)
		c := p.takeIdle(l, n.State, how, !p.hasRoom())
		if c == nil {
			return p.wait(ctx, &waiter{login: l, state: n.State, terms: how})
		}
		p.mu.Unlock()
		if idle := p.server.b.now() - c.idleSince; !c.nearlyClosed(idle) && (how.readOnly && idle < trusted || c.Conn.Idle()) {
			return c, nil
		}
		p.discard(c, "closed by the server")
		p.mu.Lock()
	}
}

func (p *pool) login(key loginKey) *login {
	l := p.logins[key]
	if l == nil {
		l = &login{key: key}
		p.logins[key] = l
	}
	return l
}

// keepFor is how long a conn is kept for the session that released it with Keep, while there are others.
const keepFor = time.Second

// hasRoom reports whether one more conn is opened rather than one lent that is kept for another session: up to
// half of the pool.
func (p *pool) hasRoom() bool {
	return len(p.conns)+p.dialing < p.server.settings.Load().poolSize/2 && p.waiters.Len() == 0 && !p.backoff.active()
}

// takeIdle lends the idle conn of the login that needs the least work to get into the state. One that is kept
// for another session it takes only if it must, and there is no other.
func (p *pool) takeIdle(l *login, state *wire.State, how terms, must bool) *Conn {
	if how.guest && p.guestsAreFull() {
		return nil
	}
	var best, kept *Conn
	scanned := 0
	for c := l.first; c != nil && scanned < maxScan; c = c.next {
		scanned++
		if c.keep && p.server.b.now()-c.idleSince < keepFor {
			if must && kept == nil && fits(c, state) {
				kept = c
			}
			continue
		}
		if state == nil || c.State().Equal(state) {
			best = c
			break
		}
		if best == nil && fits(c, state) {
			best = c
		}
	}
	if best == nil {
		best = kept
	}
	if best != nil {
		p.unlink(best)
		p.lend(best, how)
	}
	return best
}

func (p *pool) guestsAreFull() bool {
	return p.guests >= guestShare(p.server.settings.Load().poolSize)
}

func (p *pool) takeTicket(t Ticket) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !t.conn.idle || t.conn.gen != t.gen {
		return false
	}
	p.unlink(t.conn)
	p.lend(t.conn, terms{})
	return true
}

// takeAllIdle lends every idle conn.
func (p *pool) takeAllIdle() []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*Conn
	for c := range p.conns {
		if c.idle {
			p.unlink(c)
			p.lend(c, terms{})
			all = append(all, c)
		}
	}
	return all
}

// lend counts the conn as lent, and back as no longer.
func (p *pool) lend(c *Conn, how terms) {
	c.gen++
	c.keep = false
	p.lent++
	p.load.Add(1)
	if c.guest = how.guest; c.guest {
		p.guests++
	}
}

func (p *pool) back(c *Conn) {
	c.gen++
	c.started.Store(0)
	p.lent--
	p.load.Add(-1)
	if c.guest {
		p.guests--
	}
}

// wait queues for a conn. It is called with mu held and gives it up.
func (p *pool) wait(ctx context.Context, w *waiter) (*Conn, error) {
	set := p.server.settings.Load()
	if err := p.refuse(set, w.terms); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	w.got = make(chan lentOrErr, 1)
	w.elem = p.waiters.PushBack(w)
	p.load.Add(1)
	p.stats.waits++
	p.fill()
	p.mu.Unlock()

	began := time.Now()
	timer := time.NewTimer(set.acquireTimeout)
	defer timer.Stop()
	var err error
	select {
	case r := <-w.got:
		return p.waited(began, r)
	case <-timer.C:
		err = p.timeoutError(set)
	case <-ctx.Done():
		err = wire.Errorf(wire.CodeCancelled, "the request was cancelled while it waited for a conn to server %s", p.server.address)
	}
	if p.giveUp(w, began) {
		return nil, err
	}
	return p.waited(began, <-w.got)
}

// refuse says why a request can't even wait.
func (p *pool) refuse(set *settings, how terms) error {
	places := set.maxWaiters
	if how.guest {
		places = guestShare(places)
	}
	switch {
	case p.closed:
		return &unreachableError{p.server, errRetired}
	case !how.patient && p.backoff.active() && p.hopeless():
		return &unreachableError{p.server, p.backoff.err}
	case p.waiters.Len() >= places:
		p.stats.timeouts++
		return wire.Errorf(wire.CodePoolTimeout, "shard %s: all %d conns to server %s are in use and %d requests wait for one already",
			p.server.shard.id, set.poolSize, p.server.address, p.waiters.Len())
	}
	return nil
}

// hopeless: after a dial failed, no conn can be expected to come free soon either.
func (p *pool) hopeless() bool { return p.backoff.unreachable || len(p.conns) == 0 }

func (p *pool) timeoutError(set *settings) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.timeouts++
	if p.backoff.err != nil {
		return wire.Errorf(wire.CodePoolTimeout, "shard %s: no conn to server %s within %v: %v",
			p.server.shard.id, p.server.address, set.acquireTimeout, p.backoff.err)
	}
	return wire.Errorf(wire.CodePoolTimeout, "shard %s: all %d conns to server %s were in use for %v",
		p.server.shard.id, set.poolSize, p.server.address, set.acquireTimeout)
}

func (p *pool) waited(began time.Time, r lentOrErr) (*Conn, error) {
	p.mu.Lock()
	p.stats.waited += time.Since(began)
	p.mu.Unlock()
	return r.conn, r.err
}

// giveUp takes the waiter out of the queue. False: it was served at the same moment.
func (p *pool) giveUp(w *waiter, began time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.elem == nil {
		return false
	}
	p.unqueue(w)
	p.stats.waited += time.Since(began)
	return true
}

func (p *pool) unqueue(w *waiter) {
	p.waiters.Remove(w.elem)
	w.elem = nil
	p.load.Add(-1)
}

// put takes a lent conn back: to the waiter that it fits, to the idle ones, or to be closed.
func (p *pool) put(c *Conn, dirty bool) Ticket {
	p.mu.Lock()
	p.back(c)
	now := p.server.b.now()
	if why := p.closeReason(c, dirty, now); why != "" {
		p.forget(c)
		p.fill()
		p.mu.Unlock()
		p.server.close(c, why)
		return Ticket{}
	}
	misfit := p.offer(c, now)
	t := Ticket{c, c.gen}
	p.mu.Unlock()
	if misfit != nil {
		p.server.close(misfit, "makes room for another login")
	}
	return t
}

func (p *pool) closeReason(c *Conn, dirty bool, now time.Duration) string {
	switch set := p.server.settings.Load(); {
	case dirty:
		return "released with a transaction"
	case c.retired != "":
		return c.retired
	case p.closed:
		return "server retired"
	case p.server.drained.Load():
		return "server drained"
	case len(p.conns)+p.dialing > set.poolSize:
		return "pool shrank"
	case now >= c.expires:
		return "max lifetime"
	}
	return ""
}

// offer gives a free conn to the first waiter that it fits, or makes it idle. When the first in
// the queue was passed too often, or the server is being drained, the conn itself must go: it is
// returned, to be closed.
func (p *pool) offer(c *Conn, now time.Duration) (misfit *Conn) {
	head := p.waiters.Front()
	for e := head; e != nil; e = e.Next() {
		w := e.Value.(*waiter)
		if w.login == c.login && fits(c, w.state) && !(w.terms.guest && p.guestsAreFull()) {
			p.serve(w, c)
			return nil
		}
		if e == head {
			if w.passed++; w.passed > maxPassed && !w.dialing {
				p.forget(c)
				p.fill()
				return c
			}
		}
	}
	if p.server.drained.Load() { // since it was dialled
		p.forget(c)
		return c
	}
	p.link(c, now)
	p.fill()
	return nil
}

func (p *pool) serve(w *waiter, c *Conn) {
	p.unqueue(w)
	p.lend(c, w.terms)
	w.got <- lentOrErr{conn: c}
}

// discard closes a lent conn.
func (p *pool) discard(c *Conn, why string) {
	p.mu.Lock()
	p.back(c)
	p.forget(c)
	p.fill()
	p.mu.Unlock()
	p.server.close(c, why)
}

// forget takes a conn that is neither lent nor idle out of the count.
func (p *pool) forget(c *Conn) {
	delete(p.conns, c)
	p.stats.closed++
}

// link makes the conn the last used of its login's idle ones.
func (p *pool) link(c *Conn, now time.Duration) {
	l := c.login
	c.idle, c.idleSince = true, now
	c.prev, c.next = nil, l.first
	if l.first != nil {
		l.first.prev = c
	} else {
		l.last = c
	}
	l.first = c
}

func (p *pool) unlink(c *Conn) {
	l := c.login
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.idle, c.prev, c.next = false, nil, nil
}

// retireLent marks the conn to be closed when it comes back, if it is still lent as the target says.
func (p *pool) retireLent(t Target, why string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.conn.idle || t.conn.gen != t.gen {
		return false
	}
	t.conn.retired = why
	return true
}

// retire closes the idle conns that are to go, and the lent ones when they come back.
func (p *pool) retire(why string, which func(*Conn) bool) {
	var idle []*Conn
	p.mu.Lock()
	for c := range p.conns {
		switch {
		case !which(c):
		case c.idle:
			p.unlink(c)
			p.forget(c)
			idle = append(idle, c)
		default:
			c.retired = why
		}
	}
	p.fill()
	p.mu.Unlock()
	for _, c := range idle {
		p.server.close(c, why)
	}
}

// trim closes the conns that have been idle for long, and forgets logins that have none left.
func (p *pool) trim() {
	limit := p.server.b.now() - p.server.settings.Load().idleTimeout
	p.retireIdle("idle timeout", func(c *Conn) bool { return c.idleSince <= limit })
	p.mu.Lock()
	defer p.mu.Unlock()
	used := map[*login]bool{}
	for c := range p.conns {
		used[c.login] = true
	}
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		used[e.Value.(*waiter).login] = true
	}
	for key, l := range p.logins {
		if !used[l] && l.dialing == 0 {
			delete(p.logins, key)
		}
	}
}

func (p *pool) retireIdle(why string, which func(*Conn) bool) {
	p.retire(why, func(c *Conn) bool { return c.idle && which(c) })
}

// shut closes the pool: waiters fail, idle conns are closed now and lent ones when they come back.
func (p *pool) shut() {
	p.mu.Lock()
	p.closed = true
	p.backoff.stop()
	p.failWaiters(&unreachableError{p.server, errRetired}, func(*waiter) bool { return true })
	p.mu.Unlock()
	p.retire("server retired", func(*Conn) bool { return true })
}
