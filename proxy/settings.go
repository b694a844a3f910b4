package proxy

// settings.go: a PostgreSQL session's settings. The server reports few of them, and takes them back with the
// transaction that set them: so they are asked for by name once the transaction has ended.

import (
	"slices"

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
	want := conn.State()
	for _, v := range s.initial.Vars() {
		if plan.ResetsAll || slices.Contains(plan.Resets, v.Name) {
			want = want.With(v.Name, v.Value)
		}
	}
	return conn.Adopt(want)
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
	s.state, s.pins, s.tainted = s.initial, nil, false
	s.consistency = s.world.cfg.Consistency
	s.showHeld()
	s.sendOK(r, "DISCARD ALL")
	return true
}
