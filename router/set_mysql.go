package router

import (
	"slices"
	"strings"
)

// This file reads SET. What the server's trackers report and a SET restores is plain session state;
// what they don't, or what belongs to the next statement or transaction only, pins the session.

const ruleSet = "sets session state"

// variableKind is what assigning a system variable of the session means.
type variableKind uint8

const (
	variablePlain    variableKind = iota // tracked by the server and restored by SET
	variablePins                         // can't be restored, or matters for one statement
	variableInsertID                     // LAST_INSERT_ID() of the conn
	variableTracker                      // a client's own session_track_*
	variableLeat                         // leat.x
	variableNextTx                       // of the next transaction only when written @@x
)

// pinnedVariables are by lower-case name.
var pinnedVariables = map[string]bool{
	"timestamp": true, "insert_id": true, "rand_seed1": true, "rand_seed2": true,
	"character_set_database": true, "collation_database": true, // until the next USE
	"pseudo_thread_id": true, "pseudo_slave_mode": true, "pseudo_replica_mode": true,
	"gtid_next": true, "gtid_next_list": true, "gtid_domain_id": true, "gtid_seq_no": true,
	"server_id": true, "sql_log_bin": true, "sql_log_off": true, "binlog_direct_non_transactional_updates": true,
	"skip_replication": true, "skip_parallel_replication": true, "debug": true, "debug_sync": true, "debug_dbug": true,
	"original_commit_timestamp": true, "immediate_server_version": true, "original_server_version": true,
	"require_row_format": true, "rbr_exec_mode": true, "profiling": true, "wsrep_on": true,
}

func kindOfVariable(name string) variableKind {
	switch {
	case pinnedVariables[name]:
		return variablePins
	case name == "last_insert_id" || name == "identity":
		return variableInsertID
	case strings.HasPrefix(name, "session_track_"):
		return variableTracker
	case strings.HasPrefix(name, "leat."):
		return variableLeat
	case name == "transaction_isolation" || name == "tx_isolation" || name == "transaction_read_only" || name == "tx_read_only":
		return variableNextTx
	}
	return variablePlain
}

// set reads a SET statement.
func set(s stmt, p *Plan) {
	switch {
	case s.word(1) == "STATEMENT":
		setStatement(s, p)
		return
	case s.word(1) == "PASSWORD", s.words(1, "DEFAULT", "ROLE"):
		p.Rule = ruleDefinition
		return
	case s.word(1) == "ROLE":
		p.Pin, p.Rule = PinRole, "sets the role"
		return
	case s.words(1, "RESOURCE", "GROUP"):
		p.Pin, p.Rule = PinVariable, "sets the resource group"
		return
	case s.word(1) == "TRANSACTION":
		session(p, KindPlain, "sets the next transaction")
		p.Pin = PinNextTx
		return
	case s.word(2) == "TRANSACTION" && isScope(strings.ToLower(s.word(1))):
		session(p, KindSet, ruleSet)
		if s.word(1) == "GLOBAL" {
			p.Class, p.Kind, p.Rule = ClassWrite, KindPlain, ruleAdmin
		}
		return
	}
	p.Class, p.Rule = ClassSession, ruleSet
	pieces := s[1:].split(",")
	var kinds [variableNextTx + 1]int
	for _, piece := range pieces {
		if k, ok := assign(piece, p); ok {
			kinds[k]++
		}
	}
	p.setKind(s, pieces, kinds)
}

// setKind says what the session does about the whole.
func (p *Plan) setKind(s stmt, pieces []stmt, kinds [variableNextTx + 1]int) {
	switch {
	case kinds[variableLeat] == 1 && len(pieces) == 1:
		p.Kind = KindLeatSet
	case kinds[variableTracker] > 0 && kinds[variableTracker] == len(pieces):
		p.Kind = KindTrackerSet
	case slices.Contains(p.Trackers, "session_track_system_variables"):
		p.Kind = KindSet
		p.pin(PinVariable) // what is set beside it may go untracked
	case kinds != [variableNextTx + 1]int{}:
		p.Kind = KindSet
	}
	if rule, calls := expressions(s); rule != "" {
		p.Class, p.Rule = ClassWrite, rule
		if calls {
			p.pin(PinCall)
		}
	}
}

// assign reads one assignment. It returns the kind of the session variable that is assigned; false if
// it isn't one.
func assign(s stmt, p *Plan) (variableKind, bool) {
	switch {
	case s[0].kind == tokUserVar:
		p.pin(PinUserVars)
		return 0, false
	case s.word(0) == "NAMES", s.word(0) == "CHARSET", s.words(0, "CHARACTER", "SET"):
		return variablePlain, true
	}
	scope, name := target(s)
	switch scope {
	case "global", "persist", "persist_only":
		p.Class, p.Rule = ClassWrite, ruleAdmin
		return 0, false
	}
	kind := kindOfVariable(name)
	switch kind {
	case variablePins:
		p.pin(PinVariable)
		p.Class = ClassWrite
	case variableInsertID:
		p.Needs |= LastInsertID
		p.SetsInsertID = true
	case variableTracker:
		p.Trackers = append(p.Trackers, name)
	case variableLeat:
		p.Leat.Name = strings.TrimPrefix(name, "leat.")
	case variableNextTx:
		if scope == "@@" {
			p.pin(PinNextTx)
			return 0, false
		}
	case variablePlain:
		if scope == "@@" && strings.Trim(name, nameChars) == "" {
			p.Untracked = append(p.Untracked, name)
		}
	}
	return kind, true
}

// nameChars are what the names of the servers' own variables are made of.
const nameChars = "abcdefghijklmnopqrstuvwxyz0123456789_"

// target reads the name in front of = and its scope, both in lower case; "@@" is the scope of a bare @@x.
func target(s stmt) (scope, name string) {
	if s[0].kind == tokSysVar {
		scope = "@@"
		s = append(stmt{{kind: tokName, text: s[0].text[2:]}}, s[1:]...)
	}
	if first := strings.ToLower(s[0].name()); isScope(first) && (s.op(1) == "." || len(s) > 1 && s[1].isName()) {
		scope = first
		s = s[1:]
		if s.op(0) == "." {
			s = s[1:]
		}
	}
	var b strings.Builder
	for _, t := range s {
		if t.kind == tokOp && t.text != "." {
			break
		}
		b.WriteString(strings.ToLower(t.name()))
	}
	return scope, b.String()
}

// beforeParen are words that may stand before a ( without being a function.
var beforeParen = wordSet(`
	ALL AND ANY AS BETWEEN BY CASE DISTINCT DIV ELSE EXISTS FROM HAVING IN INTERVAL IS JOIN LIKE LIMIT MOD NOT
	ON OR OVER REGEXP RLIKE SELECT SOME THEN UNION USING WHEN WHERE XOR
`)

// expressions is why the expressions of a SET or DO can't be computed just anywhere; empty if they can.
// Calls is whether one of them is a function that isn't known to be pure.
func expressions(s stmt) (rule string, calls bool) {
	for i, t := range s {
		switch {
		case t.word == "SELECT" && rule == "":
			rule = "has a query"
		case t.isName() && s.op(i+1) == "(" && !beforeParen[t.word]:
			name := strings.ToLower(t.name())
			known := pureFunctions[name] || functionEffects[name] != effect{}
			if s.op(i-1) == "." || !known {
				return ruleImpure + name, true
			}
			if r := functionEffects[name].rule; r != "" && rule == "" {
				rule = r
			}
		}
	}
	return rule, false
}

// setStatement is MariaDB's SET STATEMENT x=y FOR statement: it executes the statement, and the
// variables are back afterwards.
func setStatement(s stmt, p *Plan) {
	p.Rule, p.Pin = "SET STATEMENT", PinUnknown
	depth := 0
	for i := range s {
		switch {
		case s.op(i) == "(":
			depth++
		case s.op(i) == ")":
			depth--
		case depth == 0 && s.word(i) == "FOR":
			if inner := byWords(s[i+1:]); inner.Kind == KindPlain && inner.Statements == 1 {
				p.Pin, p.Unpin = inner.Pin, inner.Unpin
			}
			return
		}
	}
}
