package proxy

// forward.go: sending one request to a server, and what to do when that fails.

import (
	"bytes"
	"errors"
	"log/slog"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
	"leat/shard"
)

// maxAttempts bounds how often one request is tried: elsewhere, or again when a primary appears.
const maxAttempts = 4

// forward sends a request where its plan says and passes the reply on. An error ends the session.
func (s *session) forward(r *wire.Request, plan *router.Plan) error {
	start := time.Now()
	s.forgetFoundRows(plan)
	s.lost = lostNothing
	if err := s.checkHeld(plan); err != nil {
		s.observe(plan, &wire.Outcome{}, time.Since(start), err)
		return s.fail(r, err, &wire.Outcome{})
	}
	t := try{plan: plan}
	for {
		out, err := s.attempt(r, &t)
		if err == nil && out.Err == nil {
			s.observe(plan, &out, time.Since(start), nil)
			if s.releases(plan) {
				return errEnd
			}
			return s.conclude(nil)
		}
		again, answer := s.judge(r, &t, &out, err)
		if again {
			if !t.held {
				s.lost = lostNothing // of the session: nothing of it was on that conn
			}
			s.server.counters.retries.Add(1)
			continue
		}
		s.observe(plan, &out, time.Since(start), answer)
		return s.fail(r, answer, &out)
	}
}

// conclude ends a request. A client whose conn went away with a transaction must have heard of it by the answer,
// and with state that can't be restored its own connection ends too, as a direct one would.
func (s *session) conclude(answer error) error {
	if s.lost == lostNothing {
		return nil
	}
	var told *wire.Error // behind the usual way out: it is allocated
	if s.lost == lostTx && errors.As(answer, &told) && (told.Code == wire.CodeServerGone || told.Code == wire.CodeUnknownOutcome) {
		return nil
	}
	return errEnd
}

// try is what the attempts at one request have in common.
type try struct {
	plan    *router.Plan
	count   int
	avoid   *backend.Server // failed the last attempt
	freed   *backend.Server // made room for prepared statements
	primary bool            // only the primary will do
	conn    *backend.Conn   // of the attempt; nil if there was none. It may be somebody else's by now
	role    wire.Role       // what conn was lent as
	held    bool            // the conn was held before
	same    bool            // the conn is that of the statement before
	inTx    bool            // the conn broke with a transaction open
	server  string
	reason  cancelReason
}

// attempt sends the request once. After it the session holds the conn, or has given it back.
func (s *session) attempt(r *wire.Request, t *try) (out wire.Outcome, err error) {
	t.count++
	t.held, t.conn, t.reason = s.conn != nil, s.conn, notCancelled
	t.same = t.held
	if t.conn == nil {
		if t.conn, err = s.find(r, t); err != nil {
			return out, err
		}
		t.server = t.conn.Server().Address()
		if err = s.adopt(t.conn); err != nil {
			s.giveBack(t.conn, err)
			return out, unsent(err)
		}
	}
	t.server, t.role = t.conn.Server().Address(), t.conn.Role()
	s.last.strange = s.last.strange || !t.same
	if err = s.supply(t); err == nil && r.Kind != wire.Prepare {
		err = s.last.mayCount(t.plan, t.same)
	}
	if err != nil {
		s.giveBack(t.conn, err)
		return out, unsent(err)
	}
	conn := t.conn
	if !t.same {
		s.last.foundHere, s.last.spoiled = false, true // until the conn has run a statement of this session
	}
	if err = s.takeOff(conn, t.plan, s.mayMove(r, t)); err != nil {
		s.giveBack(conn, err)
		return out, err
	}
	out, err = conn.Do(r, s.client, s.requestOptions(r, t))
	t.reason = s.land()
	conn.Done(errorOf(&out, err))
	s.prepared = out.Prepared != nil
	s.server.counters.note(conn.Role(), &out)
	switch {
	case isRefusal(err):
		if !t.held {
			conn.Release()
		}
	case err != nil:
		s.breakOff(conn, t, err)
	case out.Err != nil && out.Err.Condition() == wire.TooLarge:
		s.lose(conn)
	case out.Err == nil && s.releases(t.plan):
		s.settlePosition(conn, t.plan, &out)
		s.drop(conn, "released by its client")
	default:
		s.settle(conn, r, t.plan, &out)
		if t.reason != notCancelled && s.conn == conn {
			s.absorb(conn)
		}
	}
	return out, err
}

// mayMove reports whether a request that is about to be sent could go to another server if this one doesn't answer.
func (s *session) mayMove(r *wire.Request, t *try) bool {
	return t.plan.Class == router.ClassRead && t.plan.Retriable && !t.held && !r.Long() && t.count < maxAttempts
}

// stateOn is the session's state on a shard: without its current database where another shard holds that.
func (s *session) stateOn(id shard.ID) *wire.State {
	if holder, ok := s.world.shards.Shard(s.dialect, s.state.Database()); ok && holder != id {
		return s.state.WithDatabase("")
	}
	return s.state
}

// adopt puts a conn into the session's state. A database that the session doesn't ask for there stays.
func (s *session) adopt(conn *backend.Conn) error {
	want := s.stateOn(conn.Server().Shard())
	if want.Database() != s.state.Database() {
		want = want.WithDatabase(conn.State().Database())
	}
	s.connDatabase = want.Database()
	return conn.Adopt(want)
}

// absorb lets a cancel that came too late hit a question of Leat's own and not the session's next statement.
func (s *session) absorb(conn *backend.Conn) {
	err := conn.Ping()
	if err != nil { // by the cancel, most likely
		err = conn.Ping()
	}
	if err != nil {
		s.lose(conn)
	}
}

// breakOff gives up a conn in the middle of a request. What it may have written is not on the replicas yet.
func (s *session) breakOff(conn *backend.Conn, t *try, err error) {
	if errors.Is(err, wire.ErrClientGone) || errors.Is(err, wire.ErrTooLarge) {
		s.server.stop(conn) // the server may still be running the statement
	}
	if t.plan.Class != router.ClassRead {
		s.stayOnPrimary(conn.Server())
	}
	t.inTx = s.tx != wire.TxIdle && t.held
	s.lose(conn)
}

// unsent is the error of a conn that failed before the request was sent; a refusal stays what it is.
func unsent(err error) error {
	if isRefusal(err) {
		return err
	}
	return &wire.SendError{Err: err}
}

// find acquires a conn for a request of a session that holds none.
func (s *session) find(r *wire.Request, t *try) (*backend.Conn, error) {
	sequence := t.plan.Pin == router.PinSequence && s.commands == nil
	if t.plan.Needs&lastValues != 0 || sequence || s.isOpaque(t.plan) {
		if conn := s.server.backend.Reacquire(s.last.ticket); conn != nil {
			s.lent = conn.Target()
			if !s.wantsPrimary(t.plan) || conn.Role() == wire.Primary && conn.MayWrite() == nil {
				t.same = true
				return conn, nil
			}
			conn.Release()
		}
		s.last.ticket = backend.Ticket{}
		if sequence && !onlyPrepares(r) {
			return s.findSequence(t)
		}
		if err := s.last.missed(t.plan); err != nil && r.Kind != wire.Prepare {
			return nil, err
		}
	}
	return s.acquire(t.plan, t)
}

// findSequence acquires a conn for a text that asks for the last values of sequences, and has taken them itself: a conn
// that knows of none before.
func (s *session) findSequence(t *try) (*backend.Conn, error) {
	if !t.plan.Advances {
		return nil, errNoSequence
	}
	conn, err := s.acquire(t.plan, t)
	if err != nil {
		return nil, err
	}
	if c, ok := conn.Conn.(wire.HoldingConn); ok {
		if err := c.ForgetSequences(); err != nil {
			s.giveBack(conn, err)
			return nil, unsent(err)
		}
	}
	return conn, nil
}

// errNoSequence refuses to answer with what another session did to a sequence.
var errNoSequence = wire.Errorf(wire.CodeNotSupported, "currval() and lastval() need the connection of the statement before, which may have served something else: use RETURNING, or one transaction")

// acquire takes a conn from the pool of the server that the router and the backend choose.
func (s *session) acquire(plan *router.Plan, t *try) (*backend.Conn, error) {
	w := s.world
	facts := s.readFacts()
	s.mu.Lock()
	user := s.user
	s.mu.Unlock()
	if now := w.users[user.Name]; now != nil {
		user = now // a session that runs on logs in to servers by what the config says now
	}
	route, err := w.router.Route(plan, &router.Want{
		Dialect: s.dialect, Database: s.state.Database(), Class: user.Class, ReadOnlyTx: facts.Mode&wire.ReadOnly != 0,
	}, w.shards)
	if err != nil {
		return nil, err
	}
	n := &s.need
	*n = backend.Need{
		Shard: route.Shard, Role: route.Role, Class: route.Class, State: s.stateOn(route.Shard), Flags: s.arrival.Flags,
		User: user.ServerUser, Password: user.ServerPassword, Database: s.arrival.Database,
	}
	if staysFree(plan) && n.Role == wire.Primary && !s.server.backend.HasPrimary(n.Shard) {
		n.Role = wire.Replica // a client can set up its session while there is no primary
	}
	if facts.Mode&wire.AutocommitOff != 0 && (facts.Mode&wire.ReadOnly == 0 || s.shunsReplica) {
		n.Role = wire.Primary // the read opens a transaction, which may go on to write
	}
	if s.shunsReplica && (plan.Kind == router.KindBegin || plan.Kind == router.KindBeginReadOnly) {
		n.Role = wire.Primary
	}
	if t != nil {
		n.Avoid = t.avoid
		if t.primary {
			n.Role = wire.Primary
		}
	}
	if n.Role == wire.Replica && s.level(plan) != eventual && len(s.fresh) > 0 {
		if f := s.freshOf(n.Shard); s.onPrimary(f) {
			n.Role = wire.Primary
		} else {
			n.Position, n.PositionSince = f.position, f.since
		}
	}
	defer s.wait.renew()
	conn, err := s.server.backend.Acquire(&s.wait, n)
	if err == nil {
		s.lent = conn.Target()
	}
	return conn, err
}

// staysFree reports whether a statement only sets up the session, which keeps no conn after it.
func staysFree(plan *router.Plan) bool {
	switch plan.Kind {
	case router.KindSet, router.KindUse, router.KindTrackerSet:
		return plan.Class == router.ClassSession && plan.Pin == ""
	}
	return plan.Rule == passthrough.Rule
}

const eventual = "eventual"

// level is the consistency that a request asks for.
func (s *session) level(plan *router.Plan) string {
	if plan.Hints.Consistency != "" {
		return plan.Hints.Consistency
	}
	return s.consistency
}

// requestOptions are the options of one request. They are valid until the next.
func (s *session) requestOptions(r *wire.Request, t *try) *wire.Options {
	s.options = wire.Options{
		LocalInfile: s.world.cfg.LocalInfile && t.plan.Kind == router.KindLoadLocal || t.plan.Statements > 1 && s.world.cfg.LocalInfile,
		Several:     t.plan.Statements != 1 || mayBeSeveral(r.SQL),
		Retriable:   t.plan.Retriable,
		Binary:      r.Kind == wire.Execute,
		Batch:       s.batch(),
		Names:       t.plan.Names,
		Drops:       t.plan.Drops,
		Begun:       t.conn.Begun(),
	}
	if len(t.plan.Bare) > 0 || t.plan.Needs&router.Diagnostics != 0 {
		s.options.Override = s.last.override(t.plan, s.id, t.same)
	}
	return &s.options
}

// mayBeSeveral reports whether something stands behind a semicolon, if only a comment: with multi-statements
// on, that is a statement of its own.
func mayBeSeveral(sql []byte) bool {
	i := bytes.IndexByte(sql, ';')
	return i >= 0 && i < len(sql)-1
}

// judge decides what a failed attempt means: try again, or the error to answer with.
func (s *session) judge(r *wire.Request, t *try, out *wire.Outcome, err error) (again bool, answer error) {
	mayRepeat := !out.Replied && !t.held && s.conn == nil && !r.Long() && t.count < maxAttempts && s.ctx.Err() == nil
	switch {
	case !out.Replied && s.lost == lostNothing && !r.Long() && t.count < maxAttempts && t.conn != nil && t.conn.Server() != t.freed && lacksStatements(r, out, err):
		t.freed = t.conn.Server()
		t.freed.FreeStatements(time.Now().Add(resetTimeout))
		return true, nil
	case err == nil && mayRepeat && t.plan.Retriable && goesAway(out.Err):
		t.avoid = t.conn.Server()
		return true, nil
	case err == nil:
		return mayRepeat && s.misplaced(r, t, out.Err), s.inOwnWords(t, out.Err)
	case errors.Is(err, wire.ErrClientGone), errors.Is(err, wire.ErrTooLarge):
		return false, err
	}
	var refused *wire.ServerError
	if errors.As(err, &refused) && t.conn != nil { // to prepare the statement
		return mayRepeat && s.misplaced(r, t, refused), s.inOwnWords(t, refused)
	}
	var lost *wire.SendError
	if !errors.As(err, &lost) {
		return false, err // refused before anything was sent
	}
	if t.conn != nil {
		t.avoid = t.conn.Server()
	}
	if mayRepeat && (!lost.Sent || t.plan.Retriable) && t.reason == notCancelled {
		return true, nil
	}
	s.server.log.LogAttrs(s.ctx, slog.LevelWarn, "lost a conn in a request", slog.String("server", t.server),
		slog.String("digest", digestText(t.plan.Digest)), slog.Bool("sent", lost.Sent), slog.Any("error", lost.Err))
	switch {
	case t.reason == cancelTimeout:
		return false, errQueryTimeout
	case t.plan.Class == router.ClassRead:
		return false, wire.Errorf(wire.CodeServerGone, "Lost connection to server %s during query", t.server)
	case !lost.Sent && !t.held:
		return false, wire.Errorf(wire.CodeServerGone, "Lost connection to server %s: nothing was sent, try again", t.server)
	case t.inTx && t.plan.Kind != router.KindCommit:
		return false, wire.Errorf(wire.CodeServerGone, "Lost connection to server %s during query: the transaction was rolled back, run it again", t.server)
	}
	return false, wire.Errorf(wire.CodeUnknownOutcome, "Lost connection to server %s during query: whether the statement took effect is unknown, look before you run it again", t.server)
}

// lacksStatements reports whether a server refused to prepare a statement since it has too many. What a
// statement that ran says of its own is none of that.
func lacksStatements(r *wire.Request, out *wire.Outcome, err error) bool {
	refused := out.Err
	if err != nil && !errors.As(err, &refused) || err == nil && r.Kind != wire.Prepare {
		return false
	}
	return refused.Condition() == wire.TooManyStatements
}

// misplaced reports whether a server refused a statement only because it takes no writes, so that it may be
// sent to the primary, or to the one that is about to become it. A statement that runs others may have written
// before one of them was refused, unless that was on a replica.
func (s *session) misplaced(r *wire.Request, t *try, e *wire.ServerError) bool {
	c := e.Condition()
	if !c.RefusesWrites() || t.role == wire.Primary && (c == wire.ReadOnlyTx || mayHalfWork(t.plan)) {
		return false
	}
	if t.role == wire.Replica && !t.primary {
		s.server.counters.misroutes.Add(1)
		s.rememberWrite(r, t.plan)
		s.txWrote = true // what the primary runs instead, though its plan is a read's
		s.server.log.LogAttrs(s.ctx, slog.LevelWarn, "a replica refused a statement that was taken for a read: it goes to the primary from now on",
			slog.String("digest", digestText(t.plan.Digest)), slog.String("server", t.server), slog.Uint64("code", uint64(e.Number)))
	}
	t.primary = true
	return true
}

// rememberWrite makes the router remember that a statement writes, and the prepared statement that it is of.
func (s *session) rememberWrite(r *wire.Request, plan *router.Plan) {
	if r.Stmt == nil {
		s.world.router.Misrouted(plan)
		return
	}
	r.Stmt.Plan = s.world.router.Misrouted(r.Stmt.Plan.(*router.Plan))
}

// goesAway reports whether an error says that the server, or just this conn, is being closed.
func goesAway(e *wire.ServerError) bool {
	c := e.Condition()
	return c == wire.GoingAway || c == wire.ConnClosed
}

var errQueryTimeout = wire.Errorf(wire.CodeQueryTimeout, "Query execution was interrupted, maximum statement execution time exceeded")

// inOwnWords replaces a server's error that a direct connection wouldn't get: of a statement that Leat itself
// stopped, and of a write in a READ ONLY transaction, which a replica refuses for being one. One that ends a
// connection of PostgreSQL's is the server's: a client that had nothing there but a transaction keeps its own.
func (s *session) inOwnWords(t *try, e *wire.ServerError) error {
	switch {
	case t.reason == cancelTimeout:
		return errQueryTimeout
	case s.tx == wire.TxReadOnly && t.held && t.role == wire.Replica && e.Condition().RefusesWrites():
		return &wire.Error{Code: wire.CodeReadOnlyTx, Message: s.readOnlyText()}
	case s.dialect != shard.Postgres || e.Condition() != wire.GoingAway || s.lost == lostState:
	case mayHalfWork(t.plan):
		return wire.Errorf(wire.CodeUnknownOutcome, "Server %s closed the connection (%s): how much of the statement took effect is unknown, look before you run it again", t.server, e.Message)
	case s.lost == lostTx:
		return wire.Errorf(wire.CodeServerGone, "Server %s closed the connection (%s): the transaction was rolled back, run it again", t.server, e.Message)
	default:
		return wire.Errorf(wire.CodeServerGone, "Server %s closed the connection (%s): the statement was rolled back, run it again", t.server, e.Message)
	}
	return e
}

func (s *session) readOnlyText() string {
	const text = "Cannot execute statement in a READ ONLY transaction"
	if s.readFacts().Flavor == wire.FlavorMySQL {
		return text + "."
	}
	return text
}

// fail answers a request that won't be tried again. An error ends the session.
func (s *session) fail(r *wire.Request, answer error, out *wire.Outcome) error {
	if errors.Is(answer, wire.ErrClientGone) || errors.Is(answer, wire.ErrTooLarge) {
		return answer
	}
	if out.Replied && out.Err != nil {
		return s.conclude(nil) // the error was passed on in its place
	}
	if s.client.Torn() {
		return errEnd
	}
	if r.Long() { // the answer comes behind the whole request
		if err := s.client.Finish(r); err != nil {
			return err
		}
	}
	s.sendAny(answer)
	return s.conclude(answer)
}

// errorOf is what the backend's passive health learns of a request.
func errorOf(out *wire.Outcome, err error) error {
	if err == nil && out.Err != nil {
		return out.Err
	}
	return err
}
