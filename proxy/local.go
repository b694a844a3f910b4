package proxy

// local.go: what Leat answers itself: KILL, SET leat.x, LEAT SHOW, LEAT EXPLAIN, and what needs no server.

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/router"
	"leat/shard"
)

// isLocal reports whether statements of a kind are answered by Leat.
func isLocal(k router.Kind) bool {
	switch k {
	case router.KindKill, router.KindLeatSet, router.KindLeatShow, router.KindLeatExplain:
		return true
	}
	return false
}

// answer answers a statement that no server needs to see.
func (s *session) answer(r *wire.Request, plan *router.Plan) (answered bool, err error) {
	if plan.Hints.Err != "" {
		s.client.SendError(wire.Errorf(wire.CodeBadValue, "%s", plan.Hints.Err))
		return true, nil
	}
	switch plan.Kind {
	case router.KindKill:
		return s.answerKill(r, plan)
	case router.KindLeatSet:
		s.setLeat(r, plan.Leat)
	case router.KindLeatShow:
		s.show(r, plan.Leat.Name)
	case router.KindLeatExplain:
		s.explain(r, plan.Leat.Value)
	case router.KindDeallocate:
		return s.deallocate(r, plan), nil
	case router.KindDiscardAll:
		return s.discardAll(r), nil
	case router.KindCommit:
		if s.commands == nil {
			return false, nil // PostgreSQL warns
		}
		if _, set := s.state.Get(completionType); set || s.conn != nil || plan.Pin != "" {
			return false, nil
		}
		s.last.note(plan, &wire.Outcome{})
		s.last.countNone()
		s.last.ticket = backend.Ticket{}
		s.sendOK(r, "") // no transaction is open
	default:
		return false, nil
	}
	return true, nil
}

// answerKill reads the id out of a KILL. An id that isn't a plain number is the server's to judge.
func (s *session) answerKill(r *wire.Request, plan *router.Plan) (bool, error) {
	i := plan.Kill.Literal
	if strings.HasSuffix(strings.ToUpper(plan.Text), "CONNECTION_ID()") {
		return true, s.kill(r, s.id, plan.Kill.Query)
	}
	if i < 0 || i >= len(s.scan.Literals) {
		s.client.SendError(wire.Errorf(wire.CodeNotSupported, "KILL takes the number of a client of Leat: see CONNECTION_ID()"))
		return true, nil
	}
	id, err := strconv.ParseUint(string(s.scan.Literals[i].Raw), 10, 32)
	if err != nil {
		id = 0
	}
	return true, s.kill(r, uint32(id), plan.Kill.Query)
}

// setLeat serves SET leat.x = value.
func (s *session) setLeat(r *wire.Request, c router.LeatCommand) {
	value := strings.ToLower(c.Value)
	switch {
	case c.Name != "consistency":
		s.client.SendError(wire.Errorf(wire.CodeBadValue, "Unknown setting leat.%s: there is leat.consistency", c.Name))
		return
	case value == "default":
		value = s.world.cfg.Consistency
	case value != eventual && value != "session":
		s.client.SendError(wire.Errorf(wire.CodeBadValue, "Variable 'leat.consistency' takes 'session' or 'eventual'"))
		return
	}
	s.consistency = value
	s.sendOK(r, "SET")
}

// show serves LEAT SHOW x.
func (s *session) show(r *wire.Request, what string) {
	switch what {
	case "servers":
		var rows [][]string
		for _, sv := range s.server.backend.Status() {
			rows = append(rows, []string{string(sv.Shard), sv.Address, sv.Role, sv.Class, sv.State, sv.Lag.String(), strconv.Itoa(sv.Lent), fmt.Sprintf("%.2f", sv.Availability)})
		}
		s.client.SendRows(r, []string{"shard", "server", "role", "class", "state", "lag", "lent", "availability"}, rows)
	case "pinned":
		var rows [][]string
		for _, ss := range s.server.Sessions() {
			if ss.Pinned != "" && (ss.User == s.userName() || s.isAdmin()) {
				rows = append(rows, []string{utoa(ss.ID), ss.User, ss.Database, ss.Server, ss.Pinned})
			}
		}
		sort.Slice(rows, func(i, j int) bool { return rows[i][0] < rows[j][0] })
		s.client.SendRows(r, []string{"id", "user", "database", "server", "reason"}, rows)
	case "position":
		var rows [][]string
		for _, f := range s.fresh {
			rows = append(rows, []string{string(f.shard), f.position.String()})
		}
		s.client.SendRows(r, []string{"shard", "position"}, rows)
	default:
		s.client.SendError(wire.Errorf(wire.CodeBadValue, "LEAT SHOW takes SERVERS, PINNED or POSITION"))
	}
}

func (s *session) isAdmin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user.Admin
}

// explain serves LEAT EXPLAIN <statement>: where it would go, without running it.
func (s *session) explain(r *wire.Request, sql string) {
	var scan router.Scan
	plan := s.world.router.Plan([]byte(sql), s.readFacts(), &scan)
	if err := unexplainable(plan); err != nil {
		s.client.SendError(err)
		return
	}
	e := s.server.explain(s.world, plan, s.dialect, s.state.Database(), s.user.Class, s.readFacts().Mode)
	if s.conn != nil {
		e.Server, e.Rule = s.conn.Server().Address(), "the session holds its conn: "+s.shown.pinned
		e.Role = s.conn.Role().String()
	} else if e.Role == wire.Replica.String() && s.onPrimary(s.freshOf(shard.ID(e.Shard))) {
		e.Role, e.Rule = wire.Primary.String(), "the session wrote and its position isn't known"
	}
	s.client.SendRows(r, []string{"property", "value"}, e.rows())
}

// longPlan is the plan of a text too long to be read: it goes to the primary, and pins the session
// unless its first word says that it changes rows and nothing else.
func longPlan(head []byte, batch bool) *router.Plan {
	p := &router.Plan{Text: "(a statement of more than 1 MiB)", Class: router.ClassWrite, Rule: "too long to be read", Pin: router.PinUnknown, Statements: 1}
	word := bytes.ToLower(bytes.TrimLeft(head[:min(len(head), 256)], " \t\r\n("))
	for _, w := range []string{"insert", "replace", "update", "delete", "load"} {
		if bytes.HasPrefix(word, []byte(w)) && !batch {
			p.Pin = ""
		}
	}
	if batch {
		p.Statements = 2
	}
	return p
}

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
