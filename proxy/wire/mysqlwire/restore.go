package mysqlwire

// restore.go: the SQL that puts a conn into a session's state, and a new conn into Leat's own.

import (
	"encoding/hex"
	"strings"

	"leat/proxy/wire"
)

// baseState is what a conn is in after init, whatever the server's defaults are.
func baseState() *wire.State {
	return wire.NewState("").
		With("character_set_client", "utf8mb4").
		With("character_set_results", "utf8mb4").
		With("collation_connection", "utf8mb4_general_ci")
}

// ownTrackers are the settings of the trackers that Leat reads a session's state from.
var ownTrackers = []wire.Var{
	{Name: "session_track_schema", Value: "1"},
	{Name: "session_track_state_change", Value: "1"},
	{Name: "session_track_transaction_info", Value: "CHARACTERISTICS"},
	{Name: "session_track_system_variables", Value: "*"},
	{Name: "session_track_gtids", Value: "OWN_GTID"}, // MySQL alone has it
}

// trackersOf are those of them that a flavor has.
func trackersOf(f wire.Flavor) []wire.Var {
	if f == wire.FlavorMySQL {
		return ownTrackers
	}
	return ownTrackers[:len(ownTrackers)-1]
}

// trackSQL is the SET that gives trackers these settings.
func trackSQL(trackers []wire.Var) string {
	list := make([]string, len(trackers))
	for i, t := range trackers {
		list[i] = "SESSION " + t.Name + "=" + literal(t)
	}
	return "SET " + strings.Join(list, ", ")
}

// initSQL switches on the trackers that Leat reads the session's state from, and puts a new conn
// into the base state. Conns to replicas are opened read-only, so that a write sent there by mistake fails.
func initSQL(f wire.Flavor, readOnly bool, base *wire.State) string {
	var b strings.Builder
	b.WriteString(trackSQL(trackersOf(f)))
	if readOnly {
		name := "transaction_read_only"
		if f == wire.FlavorMariaDB {
			name = "tx_read_only"
		}
		b.WriteString(", SESSION " + name + "=1")
	}
	names := namesSQL(base)
	if names != "" {
		b.WriteString(", " + names)
	}
	for _, v := range base.Vars() {
		if names == "" || !isNames(v.Name) {
			b.WriteString(", SESSION " + v.Name + "=" + literal(v))
		}
	}
	return b.String()
}

// isNames reports whether a variable is one of those that SET NAMES sets.
func isNames(name string) bool {
	return name == "character_set_client" || name == "character_set_results" || name == "collation_connection"
}

// namesSQL is the SET NAMES that leads to a state; empty if none does. It is how a log-in and most clients set
// the charset, and MySQL then describes columns with that very collation, not with the charset's default.
func namesSQL(to *wire.State) string {
	charset, _ := to.Get("character_set_client")
	results, _ := to.Get("character_set_results")
	collation, _ := to.Get("collation_connection")
	of, _, _ := strings.Cut(collation, "_")
	if charset == "" || charset != results || charset != of || strings.Trim(collation, plain) != "" {
		return ""
	}
	return "NAMES '" + charset + "' COLLATE '" + collation + "'"
}

// restoreSQL is the SET that takes a conn from one state to another, the database aside; empty if
// nothing differs. All of it is applied or nothing.
func restoreSQL(from, to *wire.State, readOnly bool) string {
	if from == to || from.Key() == to.Key() {
		return ""
	}
	var b strings.Builder
	names := namesSQL(to)
	if names != "" && names != namesSQL(from) {
		b.WriteString("SET " + names)
	}
	add := func(name, value string) {
		if names != "" && isNames(name) {
			return
		}
		if readOnly && (name == "transaction_read_only" || name == "tx_read_only") {
			return
		}
		if b.Len() == 0 {
			b.WriteString("SET SESSION ")
		} else {
			b.WriteString(", SESSION ")
		}
		b.WriteString(name + "=" + value)
	}
	for _, v := range from.Vars() {
		if _, ok := to.Get(v.Name); !ok {
			add(v.Name, initial(v.Name))
		}
	}
	for _, v := range to.Vars() {
		if old, ok := from.Get(v.Name); !ok || old != v.Value {
			add(v.Name, literal(v))
		}
	}
	return b.String()
}

// initial is the expression for the value that a new session's variable has.
func initial(name string) string {
	if name == "foreign_key_checks" || name == "unique_checks" {
		return "@@GLOBAL." + name // their DEFAULT, in MySQL, is OFF whatever the global value is
	}
	return "DEFAULT"
}

// mayBeNull are the variables whose reported value "" stands for NULL.
var mayBeNull = map[string]bool{"character_set_results": true, "default_tmp_storage_engine": true, "enforce_storage_engine": true}

// literal writes a variable's value so that it means the same in every sql_mode and charset.
func literal(v wire.Var) string {
	if v.Value == "" && mayBeNull[v.Name] {
		return "NULL"
	}
	if isNumber(v.Value) {
		return v.Value
	}
	if strings.Trim(v.Value, plain) == "" {
		return "'" + v.Value + "'"
	}
	return "CONVERT(0x" + hex.EncodeToString([]byte(v.Value)) + " USING utf8mb4)"
}

// plain are characters that need no escape anywhere.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+,.:/ =@*"

func isNumber(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	whole, frac, _ := strings.Cut(digits, ".")
	return whole != "" && strings.Trim(whole, "0123456789") == "" && strings.Trim(frac, "0123456789") == "" && !strings.HasSuffix(s, ".")
}
