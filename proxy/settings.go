package proxy

// settings.go: a PostgreSQL session's settings. The server reports few of them, and takes them back with the
// transaction that set them: so they are asked for by name once the transaction has ended.

import (
	"slices"
	"strings"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
)

// learnSettings asks for the settings that a statement may have changed.
func (s *session) learnSettings(conn *backend.Conn, r *wire.Request, plan *router.Plan, out *wire.Outcome) error {
	if onlyPrepares(r) {
		return conn.Learn(nil) // of a transaction that ended with it
	}
	names := plan.Untracked
	s.async = s.async || slices.Contains(names, synchronousCommit)
	if plan.Taints {
		s.tainted = true
	}
	if plan.ResetsAll || plan.Taints {
		names = slices.Clone(names)
		for _, v := range s.state.Vars() {
			names = append(names, v.Name)
		}
	}
	if err := conn.Learn(names); err != nil {
		return err
	}
	if out.Err != nil || out.Unsynced || s.tx == wire.TxFailed || len(plan.Resets) == 0 && !plan.ResetsAll {
		return nil
	}
	return s.startOver(conn, plan)
}

// startOver gives settings that were reset the values that the client's log-in asked for: the server has gone back
// to its own.
func (s *session) startOver(conn *backend.Conn, plan *router.Plan) error {
	c, ok := conn.Conn.(wire.HoldingConn)
	if !ok {
		return nil
	}
	var values []wire.Var
	for _, v := range s.initial.Vars() {
		if plan.ResetsAll || slices.Contains(plan.Resets, v.Name) {
			values = append(values, v)
		}
	}
	return c.Restart(values, s.client)
}

// synchronousCommit is the setting by which commits are acknowledged before they are durable.
const synchronousCommit = "synchronous_commit"

// holdable are the reasons to hold a conn of which the server says whether they still are.
var holdable = map[string]wire.Held{
	router.PinAdvisory: wire.HeldLocks, router.PinHoldCursor: wire.HeldCursors, router.PinListen: wire.HeldChannels,
	router.PinTempTable: wire.HeldTables, router.PinPrepare: wire.HeldStatements,
}

// askWhatIsLeft ends pins whose reason is gone: by a statement that may have ended it, or with the transaction that
// it began in. Inside a transaction nothing is asked.
func (s *session) askWhatIsLeft(conn *backend.Conn, plan *router.Plan, wasInTx bool) error {
	c, ok := conn.Conn.(wire.HoldingConn)
	if !ok || s.tx != wire.TxIdle || len(s.pins) == 0 || !wasInTx && plan.MayUnpin == "" {
		return nil
	}
	for _, reason := range slices.Clone(s.pins) {
		what, ok := holdable[reason]
		if !ok || !wasInTx && reason != plan.MayUnpin {
			continue
		}
		held, err := c.Holds(what)
		if err != nil {
			return err
		}
		s.setPin(reason, held)
	}
	return nil
}

// deallocate serves DEALLOCATE of statements that the client prepared by the protocol: their names are its own, and
// no server knows them. Those prepared by SQL are the server's.
func (s *session) deallocate(r *wire.Request, plan *router.Plan) (answered bool) {
	client, ok := s.client.(wire.NamingClient)
	if !ok || s.tx == wire.TxFailed {
		return false
	}
	tag := "DEALLOCATE"
	switch {
	case plan.Deallocate != "":
		if !client.Deallocate(plan.Deallocate) {
			return false
		}
	default:
		client.DeallocateAll()
		if s.hasPin(router.PinPrepare) {
			return false
		}
		tag = "DEALLOCATE ALL"
	}
	s.sendOK(r, tag)
	return true
}

// discardAll serves DISCARD ALL outside a transaction: the session is as it was when the client had logged in.
func (s *session) discardAll(r *wire.Request) (answered bool) {
	client, ok := s.client.(wire.NamingClient)
	if !ok || s.tx != wire.TxIdle {
		return false
	}
	client.DeallocateAll()
	s.dropConn()
	told := s.reportedChanges(s.state, s.initial)
	s.state, s.pins, s.tainted = s.initial, nil, false
	s.consistency = s.world.cfg.Consistency
	s.showHeld()
	s.client.SendOK(r, wire.Done{Tx: s.tx, Tag: "DISCARD ALL", Settings: told})
	return true
}

// reportedChanges are the settings that servers report of themselves and that differ between two states of the
// session, with their values in the second.
func (s *session) reportedChanges(from, to *wire.State) (told []wire.Var) {
	for _, p := range s.greeting.Params {
		name := strings.ToLower(p.Name)
		before, ok := from.Get(name)
		if !ok {
			before = p.Value
		}
		now, ok := to.Get(name)
		if !ok {
			now = p.Value
		}
		if now != before {
			told = append(told, wire.Var{Name: p.Name, Value: now})
		}
	}
	return told
}
