package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
	"leat/shard"
)

// session is one client and all that Leat keeps for it.
type session struct {
	// set at log-in, then read-only
	server   *Server
	id       uint32
	key      [32]byte // with which the client may cancel its requests, beside its id
	dialect  shard.Dialect
	acceptor wire.Acceptor
	ctx      context.Context // ends with the session: a client that went away waits for nothing
	cancel   context.CancelFunc
	wait     waitContext // for a conn: it ends with the session, or with the request
	client   wire.Client
	commands wire.CommandClient // the client, where its protocol has such commands; else nil
	remote   netip.AddrPort
	defaults *wire.State
	initial  *wire.State   // that the client was let in with
	greeting wire.Greeting // of the server that the client was let in by

	// owned by run
	world   *world // of the current request
	arrival *wire.Arrival
	state   *wire.State // what the client's conn is in, whichever that is
	modeOf  *wire.State // the state that facts.Mode was read from
	limitOf *wire.State // the state that idleLimit and readLimit were read from
	facts   router.Facts
	scan    router.Scan
	conn    *backend.Conn  // held: in a transaction, or pinned
	lent    backend.Target // the conn that was borrowed last, given back or not
	// connDatabase is the current database of the last conn that was used. It differs from the session's on a shard
	// that doesn't hold that one.
	connDatabase string
	pins         []string // why conn is held beyond a transaction
	tx           wire.TxState
	txWrote      bool   // the open transaction changed rows
	begun        string // the text that began the open transaction on a replica, if nothing else was run in it
	// shunsReplica keeps READ ONLY transactions on the primary, since one did what a replica can't.
	shunsReplica bool
	cursors      map[*wire.Statement]bool
	consistency  string
	last         lastStatement
	fresh        []freshness // by shard; a handful at most
	lost         lost        // went away in the current request
	tainted      bool        // conn may be in a state that nobody knows
	async        bool        // some commit may have been acknowledged before it was durable (synchronous_commit=off)
	prepared     bool        // the current request prepared a statement
	need         backend.Need
	options      wire.Options

	// busy is whether a request is handled, active when that began or ended, in ns since 1970
	busy   atomic.Bool
	active atomic.Int64
	// idleLimit is how long the client may be silent by its own wish, in ns; 0: it has none.
	idleLimit atomic.Int64
	// readLimit is how long the client may not go on with a request, in ns; 0: as long as it may be idle.
	readLimit atomic.Int64

	// mu guards what the watcher, KILL and the admin page read
	mu      sync.Mutex
	user    *User
	flight  flight
	flights uint64 // how many there were
	shown   shown
	ending  *wire.Error // why the session has to end, when it isn't the client's wish
}

// shown is what others may see of a session.
type shown struct {
	program  string // at most maxProgram bytes
	database string
	pinned   string // the reasons to hold the conn, in words
	server   string // the address of the conn that is held or in use
	since    time.Time
	txSince  time.Time // zero outside a transaction
	digest   uint64
}

// freshness is what the session must be able to read of a shard.
type freshness struct {
	shard    shard.ID
	position shard.Position // of its last write
	since    time.Time      // when that was taken
	// wrote is when it wrote what no position is known of yet (PostgreSQL).
	wrote time.Time
	// primaryUntil keeps reads on the primary after a write whose position isn't known.
	primaryUntil time.Time
}

var (
	errQuit = errors.New("client said goodbye")
	errEnd  = errors.New("session ends")
)

// login logs the client in and checks the database it asks for.
func (s *session) login(nc net.Conn) error {
	cfg := &s.world.cfg
	nc.SetDeadline(time.Now().Add(cfg.HandshakeTimeout))
	from, err := s.origin(nc)
	if err != nil {
		return err
	}
	greeting, ok := s.server.backend.Greeting(s.dialect)
	if !ok {
		e := wire.Errorf(wire.CodeUnavailable, "Leat has not reached any %s server since it started: check the servers' addresses and the monitor user", s.dialect)
		s.acceptor.TurnAway(nc, e)
		return e
	}
	s.defaults = greeting.Defaults
	s.client, s.arrival, err = s.acceptor.Accept(nc, &wire.Welcome{
		Greeting: greeting, ID: s.id, Key: s.key[:], From: from, TLS: cfg.TLS, TLSRequired: cfg.TLSRequired,
		LocalInfile: cfg.LocalInfile, MaxPacket: cfg.MaxPacket,
		Lookup: func(user string, from netip.Addr) (wire.Credential, bool) { // also when it changes its user, later
			return s.server.world.Load().lookup(user, from)
		},
	})
	if err != nil {
		return err
	}
	s.commands, _ = s.client.(wire.CommandClient)
	s.greeting = greeting
	if err = s.begin(s.arrival); err == nil {
		err = s.checkDatabase()
	}
	nc.SetDeadline(time.Now().Add(cfg.HandshakeTimeout)) // a wait for a conn isn't the client's
	if err != nil {
		s.client.Refuse(err)
		return err
	}
	return nc.SetDeadline(time.Time{})
}

// admit lets a client in who has logged in.
func (s *session) admit(nc net.Conn) error {
	nc.SetWriteDeadline(time.Now().Add(s.world.cfg.HandshakeTimeout))
	if err := s.client.Admit(&s.greeting, s.state); err != nil {
		return err
	}
	return nc.SetWriteDeadline(time.Time{})
}

// origin reads a PROXY header where one must come, and tells where the client is.
func (s *session) origin(nc net.Conn) (netip.Addr, error) {
	addr, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, nil
	}
	s.remote = addr.AddrPort()
	from := s.remote.Addr().Unmap()
	for _, p := range s.world.cfg.ProxyNetworks {
		if p.Contains(from) {
			real, err := wire.ReadProxyHeader(nc)
			if err == nil && real.IsValid() {
				s.remote, from = real, real.Addr().Unmap()
			}
			return from, err
		}
	}
	return from, nil
}

// begin starts the session over for a user who has just logged in.
func (s *session) begin(a *wire.Arrival) error {
	s.world = s.server.world.Load()
	user := s.world.users[a.User]
	if user == nil {
		return wire.Errorf(wire.CodeAccessDenied, "Access denied: the user was removed from Leat's config")
	}
	s.arrival, s.state, s.initial = a, a.State, a.State
	s.consistency = s.world.cfg.Consistency
	s.pins, s.cursors, s.last, s.shunsReplica = nil, nil, lastStatement{insertID: "0"}, false
	s.noteLimits()
	s.mu.Lock()
	s.user = user
	s.shown = shown{program: program(a), database: a.State.Database(), since: time.Now()}
	s.active.Store(time.Now().UnixNano())
	s.mu.Unlock()
	return nil
}

// maxProgram bounds what is kept of a client's name for itself, in bytes.
const maxProgram = 64

// program is what a client calls itself.
func program(a *wire.Arrival) string {
	name := a.Attributes["program_name"]
	return strings.ToValidUTF8(name[:min(len(name), maxProgram)], "?")
}

func (s *session) userName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user.Name
}

// checkDatabase makes sure that the database named at log-in is there, by the server's own word.
func (s *session) checkDatabase() error {
	if s.state.Database() == "" {
		return nil
	}
	t := try{plan: &passthrough}
	for {
		err := s.visitDatabase(&t)
		var lost *wire.SendError
		if t.count++; !errors.As(err, &lost) || t.count == maxAttempts {
			return err
		}
		t.avoid = t.conn.Server()
	}
}

// visitDatabase puts a conn into the session's state, and takes over what that became.
func (s *session) visitDatabase(t *try) (err error) {
	if t.conn, err = s.acquire(t.plan, t); err != nil {
		return err
	}
	if err := s.adopt(t.conn); err != nil {
		s.giveBack(t.conn, err)
		return unsent(err)
	}
	s.state, s.greeting = t.conn.State(), t.conn.Greeting()
	s.initial = s.state
	if s.greeting.Defaults != nil {
		s.defaults = s.greeting.Defaults
	}
	t.conn.Release()
	return nil
}

// run serves the client's requests until it leaves or has to.
func (s *session) run() {
	defer s.finish()
	defer s.survive()
	var r wire.Request
	for {
		err := s.read(&r)
		if err == nil {
			s.setBusy(true)
			s.world = s.server.world.Load()
			err = s.handle(&r)
			if e := s.client.Finish(&r); err == nil {
				err = e
			}
			if e := s.client.Flush(); err == nil {
				err = e
			}
			s.setBusy(false)
		}
		if err == nil || errors.Is(err, wire.ErrInterrupted) {
			if err = s.mayGoOn(); err == nil {
				continue
			}
			s.say(err, s.client.SendGoodbye)
			return
		}
		s.say(err, s.client.SendError)
		return
	}
}

// read waits for the client's next request. What the server says meanwhile goes to a session that listens.
func (s *session) read(r *wire.Request) error {
	if !s.hasPin(router.PinListen) || s.conn == nil || s.tx != wire.TxIdle {
		return s.client.ReadRequest(r)
	}
	c, ok := s.conn.Conn.(wire.HoldingConn)
	if !ok {
		return s.client.ReadRequest(r)
	}
	stop := c.Watch(s.client)
	err := s.client.ReadRequest(r)
	if gone := stop(); gone != nil {
		s.lose(s.conn)
		return errEnd
	}
	return err
}

// mayGoOn tells whether the session may wait for another request.
func (s *session) mayGoOn() error {
	s.mu.Lock()
	ending := s.ending
	s.mu.Unlock()
	if ending != nil {
		return ending
	}
	if s.server.draining.Load() && s.conn == nil && !s.client.Buffered() && s.mayLeave() {
		return errShutdown
	}
	return nil
}

// say tells the client why its session ends, where it isn't the client's own doing, in place of an answer or
// as a goodbye between requests.
func (s *session) say(err error, send func(*wire.Error)) {
	var e *wire.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, wire.ErrTooLarge):
		e = wire.Errorf(wire.CodeTooLarge, "Got a packet bigger than 'max_allowed_packet' bytes")
	default:
		return
	}
	if e.Code == wire.CodeIdle && s.readFacts().Flavor == wire.FlavorMariaDB {
		return // it closes without a word: clients don't expect one
	}
	if !s.client.Torn() {
		send(e)
		s.client.Flush()
	}
}

// survive keeps one client's trouble from the others: a bug that it met ends its session, and its conn.
func (s *session) survive() {
	r := recover()
	if r == nil {
		return
	}
	s.server.log.LogAttrs(s.ctx, slog.LevelError, "a session was ended by a bug in Leat: please report it",
		slog.Uint64("client", uint64(s.id)), slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
	if s.conn != nil && !s.lent.Of(s.conn) {
		s.conn.Discard("panic")
	}
	s.lent.Abandon("panic")
	s.conn = nil
}

// finish gives back what the session holds.
func (s *session) finish() {
	s.cancel()
	s.client.Close()
	if s.conn == nil {
		return
	}
	conn := s.conn
	s.conn = nil
	if s.hasPin(router.PinRun) {
		conn.Discard("its client left in the middle of a run")
		return
	}
	if s.hasPin(router.PinXA) {
		conn.Discard("xa transaction") // a prepared one outlives its conn; a reset might end it
		return
	}
	s.resetAndRelease(conn)
}

// resetTimeout bounds the reset of a conn that its session left.
const resetTimeout = 5 * time.Second

// resetAndRelease makes a conn as new and gives it back: transaction, locks and tables of the session are gone.
func (s *session) resetAndRelease(conn *backend.Conn) {
	if s.hasPin(router.PinSeed) {
		conn.Discard("its random() is a session's") // no reset takes a seed back
		return
	}
	if err := conn.Reset(time.Now().Add(resetTimeout)); err != nil {
		conn.Discard("reset failed")
		return
	}
	conn.Release()
}

// setBusy notes for the watcher that a request is handled.
func (s *session) setBusy(busy bool) {
	s.active.Store(time.Now().UnixNano())
	if !busy && s.limitOf != s.state {
		s.noteLimits()
	}
	s.busy.Store(busy)
}

// noteLimits reads from the session's state how long the watcher is to be patient.
func (s *session) noteLimits() {
	s.limitOf = s.state
	s.idleLimit.Store(int64(s.acceptor.IdleTimeout(s.state)))
	s.readLimit.Store(int64(s.acceptor.ReadTimeout(s.state)))
}

// end makes the session end as soon as it is between requests.
func (s *session) end(why *wire.Error) {
	s.mu.Lock()
	if s.ending == nil {
		s.ending = why
	}
	s.mu.Unlock()
	s.client.Interrupt()
}

// cut ends the session at once: the request under way breaks off, and none takes off any more.
func (s *session) cut() {
	s.cancel()
	s.client.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight.endBy(time.Unix(1, 0))
}

// handle answers one request. An error ends the session.
func (s *session) handle(r *wire.Request) error {
	s.server.counters.requests.Add(1)
	switch r.Kind {
	case wire.Query:
		return s.query(r)
	case wire.Execute:
		return s.execute(r)
	case wire.Run:
		return s.extended(r)
	case wire.Prepare:
		return s.prepare(r)
	case wire.Fetch, wire.ResetStmt:
		return s.continueStatement(r)
	case wire.CloseStmt:
		return s.closeStatement(r)
	case wire.LongData:
		s.commands.KeepLong(r)
		return nil
	case wire.UseDatabase:
		return s.useDatabase(r)
	case wire.Passthrough:
		return s.forward(r, &passthrough)
	case wire.Ping:
		s.last.countNone()
		s.sendOK(r, "")
	case wire.SetOption:
		return s.setOption(r)
	case wire.KillClient:
		return s.kill(r, r.Target, false)
	case wire.ResetSession:
		return s.reset(r)
	case wire.ChangeUser:
		return s.changeUser(r)
	case wire.Quit:
		return errQuit
	default:
		s.client.SendError(wire.Errorf(wire.CodeUnknownCommand, "Unknown command"))
	}
	return nil
}

// passthrough is the plan of commands that carry no SQL.
var passthrough = router.Plan{Class: router.ClassSession, Rule: "command", Statements: 1}

// useDatabase changes the current database, on the shard that holds the next one.
func (s *session) useDatabase(r *wire.Request) error {
	plan := passthrough
	plan.Tables = []router.Table{{Database: string(r.SQL)}}
	return s.forward(r, &plan)
}

// query plans and sends a text of one or more statements.
func (s *session) query(r *wire.Request) error {
	plan := s.plan(r)
	if answered, err := s.answer(r, plan); answered || err != nil {
		return err
	}
	return s.forward(r, plan)
}

// plan is the router's view of a request's text.
func (s *session) plan(r *wire.Request) *router.Plan {
	if r.Long() {
		p := longPlan(r.SQL, s.batch())
		p.Opaque, p.SetsInsertID = s.commands != nil, s.commands != nil
		return p
	}
	return s.world.router.Plan(r.SQL, s.readFacts(), &s.scan)
}

// readFacts are what the router needs to know of the session. They are kept while the state stays the same.
func (s *session) readFacts() *router.Facts {
	if s.modeOf != s.state {
		s.modeOf = s.state
		s.facts = router.Facts{Database: s.state.Database(), Mode: s.acceptor.ReadMode(s.state, s.defaults)}
		if g, ok := s.server.backend.Greeting(s.dialect); ok {
			s.facts.Flavor = g.Flavor
		}
		s.facts.Schemas = s.acceptor.Schemas(s.state, s.defaults, s.arrival.User)
	}
	if s.facts.Schemas != nil {
		id, _ := s.world.shards.Shard(s.dialect, s.state.Database())
		s.facts.Catalog = s.server.backend.Functions(id, s.state.Database())
	}
	s.facts.Mode &^= router.MultiStatements
	if s.batch() {
		s.facts.Mode |= router.MultiStatements
	}
	return &s.facts
}

func (s *session) autocommit() bool {
	s.readFacts()
	return s.facts.Mode&wire.AutocommitOff == 0
}

// batch is whether the client may send several statements in one text by its own choice (MySQL).
func (s *session) batch() bool { return s.commands != nil && s.commands.Batch() }

// sendOK answers a request that Leat serves itself. The tag is PostgreSQL's name of the command.
func (s *session) sendOK(r *wire.Request, tag string) {
	s.client.SendOK(r, wire.Done{Tx: s.tx, Autocommit: s.autocommit(), Tag: tag})
}

func (s *session) setOption(r *wire.Request) error {
	if r.Target > 1 {
		s.client.SendError(wire.Errorf(wire.CodeUnknownCommand, "Unknown command"))
		return nil
	}
	s.commands.SetBatch(r.Target == 0)
	s.sendOK(r, "")
	return nil
}

// reset forgets the session's state, as a new log-in would, but for the database.
func (s *session) reset(r *wire.Request) error {
	s.dropConn()
	s.commands.DropStatements()
	s.commands.SetTracker("", "")
	s.state = s.commands.ResetState(s.state)
	s.pins, s.cursors, s.last = nil, nil, lastStatement{insertID: "0"}
	s.consistency = s.world.cfg.Consistency
	s.tx = wire.TxIdle
	s.showHeld()
	s.sendOK(r, "")
	return nil
}

// dropConn gives a held conn back, reset.
func (s *session) dropConn() {
	if s.conn != nil {
		conn := s.conn
		s.conn = nil
		s.resetAndRelease(conn)
		s.showHeld()
	}
}

// changeUser logs the client in as another user on the same connection.
func (s *session) changeUser(r *wire.Request) error {
	a, err := s.commands.Relogin(r)
	if err != nil {
		s.server.log.LogAttrs(s.ctx, slog.LevelInfo, "change of user refused", slog.Uint64("client", uint64(s.id)), slog.Any("error", err))
		s.sendAny(err)
		return errEnd
	}
	s.dropConn()
	s.commands.DropStatements()
	s.commands.SetTracker("", "")
	s.tx = wire.TxIdle
	if err = s.begin(a); err == nil {
		s.last.rowCount = -1 // as a server says behind it
		err = s.checkDatabase()
	}
	if err != nil {
		s.sendAny(err)
		return errEnd
	}
	s.sendOK(r, "")
	return nil
}

// sendAny answers with an error of any kind.
func (s *session) sendAny(err error) {
	var own *wire.Error
	var servers *wire.ServerError
	switch {
	case errors.As(err, &own):
		s.client.SendError(own)
	case errors.As(err, &servers):
		s.client.SendServerError(servers)
	default:
		s.server.log.LogAttrs(s.ctx, slog.LevelWarn, "request failed", slog.Uint64("client", uint64(s.id)), slog.Any("error", err))
		s.client.SendError(wire.Errorf(wire.CodeInternal, "Leat could not serve the request: its log says why"))
	}
}
