package router

import "strings"

// This file finds, anywhere in a statement, the functions and variables that belong to the session's
// conn: locks, the last insert id, user variables. It goes by the words alone, so it works on what no
// parser reads; the name of a column can't be taken for a function, for ( must follow.

// effect is what a function or variable means for the session beside its value.
type effect struct {
	pin, unpin string
	needs      Value
	rule       string // why a query with it isn't a pure read; empty if it is one
	mayUnpin   string // see Plan.MayUnpin
	taints     bool   // it runs what nobody sees
	settings   bool   // it sets a setting that its first argument names
}

const (
	ruleNamedLock = "named lock"
	ruleSequence  = "sequence"
	ruleWaits     = "waits for a position"
)

// functionEffects are by lower-case name.
var functionEffects = map[string]effect{
	"get_lock":                          {pin: PinUserLock, rule: ruleNamedLock},
	"release_lock":                      {rule: ruleNamedLock},
	"release_all_locks":                 {unpin: PinUserLock, rule: ruleNamedLock},
	"is_free_lock":                      {rule: ruleNamedLock},
	"is_used_lock":                      {rule: ruleNamedLock},
	"service_get_read_locks":            {pin: PinUnknown, rule: ruleNamedLock},
	"service_get_write_locks":           {pin: PinUnknown, rule: ruleNamedLock},
	"service_release_locks":             {rule: ruleNamedLock},
	"version_tokens_lock_shared":        {pin: PinUnknown, rule: ruleNamedLock},
	"version_tokens_lock_exclusive":     {pin: PinUnknown, rule: ruleNamedLock},
	"version_tokens_unlock":             {rule: ruleNamedLock},
	"nextval":                           {pin: PinSequence, rule: ruleSequence},
	"lastval":                           {pin: PinSequence, rule: ruleSequence},
	"setval":                            {pin: PinSequence, rule: ruleSequence},
	"last_insert_id":                    {needs: LastInsertID},
	"row_count":                         {needs: RowCount},
	"found_rows":                        {needs: FoundRows},
	"connection_id":                     {needs: ConnectionID},
	"load_file":                         {rule: "reads a file of the server"},
	"ps_current_thread_id":              {rule: "the server's own"},
	"ps_thread_id":                      {rule: "the server's own"},
	"master_pos_wait":                   {rule: ruleWaits},
	"source_pos_wait":                   {rule: ruleWaits},
	"master_gtid_wait":                  {rule: ruleWaits},
	"wait_for_executed_gtid_set":        {rule: ruleWaits},
	"wait_until_sql_thread_after_gtids": {rule: ruleWaits},
}

// effectOf looks a function up by its name as written. It allocates nothing.
func effectOf(name []byte) effect { return effectIn(functionEffects, name) }

// effectIn does so in a table whose names are in lower case and no longer than 64 bytes.
func effectIn(table map[string]effect, name []byte) effect {
	if len(name) > 1 && classOf[name[0]] == chQuote {
		name = name[1 : len(name)-1]
	}
	var lower [64]byte
	if len(name) > len(lower) {
		return effect{}
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	return table[string(lower[:len(name)])]
}

// variableNeeds are system variables that tell of the last statement, by lower-case name.
var variableNeeds = map[string]Value{
	"identity": LastInsertID, "last_insert_id": LastInsertID, "pseudo_thread_id": ConnectionID,
	"warning_count": Diagnostics, "error_count": Diagnostics,
}

// effects adds to the plan what the statement's functions and variables do.
func effects(s stmt, p *Plan) {
	_, p.Opaque = expressions(s) // until the parser knows better
	for i, t := range s {
		switch {
		case t.kind == tokSysVar:
			p.Needs |= variableNeeds[s.variableAt(i)]
		case t.kind == tokUserVar && (s.op(i+1) == ":=" || s.word(i-1) == "INTO"):
			p.pin(PinUserVars)
			p.needsPrimary("assigns user variables")
		case t.word == "SQL_CALC_FOUND_ROWS":
			p.pin(PinDiagnostic)
		case s.words(i, "VALUE", "FOR") && (s.word(i-1) == "NEXT" || s.word(i-1) == "PREVIOUS"):
			p.apply(functionEffects["nextval"])
		case t.isName() && s.op(i+1) == "(":
			name := strings.ToLower(t.name())
			p.apply(functionEffects[name])
			if name == "last_insert_id" && s.op(i+2) != ")" {
				p.SetsInsertID = true
			}
		}
	}
}

func (p *Plan) apply(e effect) {
	p.Needs |= e.needs
	if e.pin != "" {
		p.pin(e.pin)
	}
	if e.unpin != "" {
		p.Unpin = e.unpin
	}
	if e.mayUnpin != "" {
		p.MayUnpin = e.mayUnpin
	}
	p.Taints = p.Taints || e.taints
	if e.rule != "" {
		p.needsPrimary(e.rule)
		p.locks = p.locks || e.rule == ruleNamedLock || e.rule == ruleAdvisory
	}
}

// pin adds a reason to pin. Of two the one is kept that lasts longer; two that end at different times
// become one that doesn't end.
func (p *Plan) pin(reason string) {
	p.Opaque = p.Opaque || hides(reason)
	switch {
	case p.Pin == "" || p.Pin == reason || p.Pin == PinDiagnostic:
		p.Pin = reason
	case reason == PinDiagnostic || lasts(p.Pin):
	case lasts(reason):
		p.Pin = reason
	default:
		p.Pin = PinUnknown
	}
}

// hides reports whether what is pinned for does what its text doesn't show.
func hides(pin string) bool { return pin == PinCall || pin == PinUnknown || pin == PinPrepare }

// lasts reports whether no statement ends a pin.
func lasts(pin string) bool {
	switch pin {
	case PinLocks, PinReadLock, PinInstance, PinUserLock, PinXA, PinNextTx, PinSavepoint:
		return false
	}
	return true
}

// variableAt is the lower-case name of the system variable at i, without its scope: @@x, @@session.x.
func (s stmt) variableAt(i int) string {
	name := strings.ToLower(tok{kind: tokName, text: s[i].text[2:]}.name())
	if isScope(name) && s.op(i+1) == "." && i+2 < len(s) {
		return strings.ToLower(s[i+2].name())
	}
	return name
}

func isScope(name string) bool {
	switch name {
	case "session", "local", "global", "persist", "persist_only":
		return true
	}
	return false
}

// bareFunctions and bareVariables are what a bare SELECT may consist of.
var bareFunctions = map[string]Value{
	"last_insert_id": LastInsertID, "row_count": RowCount, "found_rows": FoundRows, "connection_id": ConnectionID,
}

// bare reads SELECT LAST_INSERT_ID(), ROW_COUNT() AS n [FROM DUAL] [LIMIT 1]: nil, nil for anything else.
func bare(s stmt) ([]Value, []string) {
	if s.word(0) != "SELECT" {
		return nil, nil
	}
	var values []Value
	var names []string
	s = s[1:]
	for {
		v, name, rest := bareColumn(s)
		if v == 0 {
			return nil, nil
		}
		values, names = append(values, v), append(names, name)
		s = rest
		if s.op(0) != "," {
			break
		}
		s = s[1:]
	}
	if s.words(0, "FROM", "DUAL") {
		s = s[2:]
	}
	if s.word(0) == "LIMIT" && len(s) == 2 && s[1].text == "1" {
		s = s[2:]
	}
	if len(s) > 0 {
		return nil, nil
	}
	return values, names
}

// bareColumn reads one column of a bare SELECT.
func bareColumn(s stmt) (v Value, name string, rest stmt) {
	if len(s) == 0 {
		return 0, "", nil
	}
	used := 0
	switch {
	case s[0].kind == tokWord && s.op(1) == "(" && s.op(2) == ")":
		v, used, name = bareFunctions[strings.ToLower(s[0].text)], 3, s[0].text+"()"
	case s[0].kind == tokSysVar:
		v, used, name = variableNeeds[s.variableAt(0)], 1, s[0].text
		if s.op(1) == "." && len(s) > 2 {
			used, name = 3, s[0].text+"."+s[2].text
		}
	}
	if v == 0 || v == Diagnostics {
		return 0, "", nil
	}
	rest = s[used:]
	switch {
	case rest.word(0) == "AS" && len(rest) > 1 && rest[1].isName():
		return v, rest[1].name(), rest[2:]
	case len(rest) > 0 && rest[0].isName() && rest[0].word != "FROM" && rest[0].word != "LIMIT":
		return v, rest[0].name(), rest[1:]
	}
	return v, name, rest
}
