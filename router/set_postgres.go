package router

import "strings"

// This file reads PostgreSQL's SET, RESET and DISCARD. A setting that is set is session state, whose value is
// asked for afterwards by its name.

const (
	settingRole = "role"
	settingAuth = "session_authorization"
	settingPath = "search_path"
	settingZone = "timezone"
)

// assigns notes that a setting gets another value.
func (p *Plan) assigns(names ...string) {
	for _, name := range names {
		switch name = strings.ToLower(name); {
		case name == "seed":
			p.pin(PinSeed)
		case strings.HasPrefix(name, "transaction_"): // of the transaction that is open
		case name == settingAuth: // it resets the role as well
			p.Untracked = append(p.Untracked, settingAuth, settingRole)
		default:
			p.Untracked = append(p.Untracked, name)
		}
	}
}

// resets notes that a setting goes back to what the session began with.
func (p *Plan) resets(name string) {
	p.assigns(name)
	switch {
	case name == settingAuth:
		p.Resets = append(p.Resets, settingAuth, settingRole)
	case name != "seed" && !strings.HasPrefix(name, "transaction_"):
		p.Resets = append(p.Resets, name)
	}
}

// pgSetStmt reads a SET statement.
func pgSetStmt(s stmt, p *Plan) {
	session(p, KindPlain, ruleSet)
	i := 1
	local := s.word(i) == "LOCAL"
	switch {
	case s.word(i) == "CONSTRAINTS":
		p.Class, p.Rule = ClassWrite, "checks constraints"
		return
	case s.words(i, "SESSION", "CHARACTERISTICS"):
		p.Kind = KindSet
		p.assigns("default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable")
		return
	case local, s.word(i) == "SESSION" && s.word(i+1) != "AUTHORIZATION":
		i++
	}
	if s.word(i) == "TRANSACTION" {
		setTransaction(s, p)
		return
	}
	name, used := settingAt(s, i)
	value := s.from(i + used)
	if value.op(0) == "=" || value.word(0) == "TO" {
		value = value[1:]
	}
	switch {
	case name == "":
		unknown(s, p)
	case strings.HasPrefix(name, "leat."):
		p.Kind, p.Leat.Name = KindLeatSet, strings.TrimPrefix(name, "leat.")
	case local:
		p.Rule = "sets the transaction's state"
		if name == "seed" {
			p.pin(PinSeed)
		}
	case value.word(0) == "DEFAULT":
		p.Kind = KindSet
		p.resets(name)
	default:
		p.Kind = KindSet
		p.assigns(name)
	}
	if name == settingPath && len(value) > 0 && createsTemporary(value[0]) {
		p.pin(PinTempTable)
	}
	if strings.HasPrefix(name, "transaction_") {
		p.Kind = KindSetTx
	}
}

// createsTemporary reports whether the first name of a search_path makes the tables that follow temporary.
func createsTemporary(first tok) bool {
	name, ok := first.plainText()
	if !ok {
		name = first.ident()
	}
	return strings.EqualFold(name, "pg_temp")
}

// settingAt reads the name of a setting, in the words that some have of their own; empty if there is none.
func settingAt(s stmt, i int) (name string, used int) {
	switch {
	case s.words(i, "SESSION", "AUTHORIZATION"):
		return settingAuth, 2
	case s.words(i, "TIME", "ZONE"):
		return settingZone, 2
	case s.words(i, "XML", "OPTION"):
		return "xmloption", 2
	case s.words(i, "TRANSACTION", "ISOLATION"):
		return "transaction_isolation", 3
	case s.word(i) == "NAMES":
		return "client_encoding", 1
	case s.word(i) == "SCHEMA":
		return settingPath, 1
	}
	parts, used := s.idents(i)
	return strings.ToLower(strings.Join(parts, ".")), used
}

// setTransaction reads SET TRANSACTION. A snapshot is on the server that exported it.
func setTransaction(s stmt, p *Plan) {
	p.Kind, p.Rule = KindSetTx, "sets the transaction"
	readOnly, serializable := false, false
	for i := range s {
		switch {
		case s.words(i, "READ", "ONLY"):
			readOnly = true
		case s.words(i, "READ", "WRITE"):
			readOnly = false
			p.locks = true // not on a standby
		case s.word(i) == "SERIALIZABLE":
			serializable = true
			p.locks = true
		case s.word(i) == "SNAPSHOT":
			p.Class = ClassWrite
			return
		}
	}
	if readOnly && !serializable {
		p.Kind = KindSetTxReadOnly
	}
}

// pgReset reads a RESET statement.
func pgReset(s stmt, p *Plan) {
	session(p, KindSet, ruleSet)
	if s.word(1) == "ALL" && len(s) == 2 {
		p.ResetsAll = true
		return
	}
	name, used := settingAt(s, 1)
	switch {
	case name == "" || len(s) != 1+used:
		p.Kind = KindPlain
		unknown(s, p)
	case strings.HasPrefix(name, "leat."):
		p.Kind, p.Leat.Name = KindLeatSet, strings.TrimPrefix(name, "leat.")
	default:
		p.resets(name)
	}
}

// pgDiscard reads a DISCARD statement.
func pgDiscard(s stmt, p *Plan) {
	session(p, KindPlain, "discards session state")
	switch s.word(1) {
	case "ALL":
		p.Kind, p.ResetsAll = KindDiscardAll, true
	case "TEMP", "TEMPORARY":
		p.Unpin = PinTempTable
	case "SEQUENCES":
		p.Unpin = PinSequence
	}
}
