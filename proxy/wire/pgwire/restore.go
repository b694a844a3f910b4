package pgwire

// restore.go: the SQL that puts a conn into a session's state, asks for what it is in, and makes it as new.

import (
	"encoding/hex"
	"strings"

	"leat/proxy/wire"
)

// Settings that are set last, in this order, since what comes before may need the rights of the user who logged in.
const (
	settingAuthorization = "session_authorization"
	settingRole          = "role"
	settingEncoding      = "client_encoding"
	settingReadOnly      = "default_transaction_read_only"
)

// resetSQL makes a conn as new. As one simple query it works as a whole or not at all.
const resetSQL = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; DEALLOCATE ALL; UNLISTEN *; " +
	"SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"

// restoreSQL is the query that takes a conn from one state to another; empty if nothing differs. All of it is
// applied or nothing. Values are in encoding where the state doesn't name its own.
func restoreSQL(from, to *wire.State, readOnly bool, encoding string) string {
	if from == to || from.Key() == to.Key() {
		return ""
	}
	if v, ok := to.Get(settingEncoding); ok {
		encoding = v
	}
	q := settings{encoding: encoding}
	asUser := changes(from, to, settingAuthorization)
	asRole := changes(from, to, settingRole) || asUser
	if asUser { // back to the user who logged in, who may do what the state asks for
		q.set(settingAuthorization, nil)
	}
	if asRole {
		q.set(settingRole, nil)
	}
	differences(from, to, func(name string, value *string) {
		switch {
		case name == settingAuthorization, name == settingRole:
		case name == settingReadOnly && readOnly: // the conn's own
		default:
			q.set(name, value)
		}
	})
	if v, ok := to.Get(settingAuthorization); ok && asUser {
		q.set(settingAuthorization, &v)
	}
	if v, ok := to.Get(settingRole); ok && asRole {
		q.set(settingRole, &v)
	}
	return q.sql()
}

// changes reports whether a setting differs between two states.
func changes(from, to *wire.State, name string) bool {
	a, hasA := from.Get(name)
	b, hasB := to.Get(name)
	return hasA != hasB || a != b
}

// differences tells each setting that differs, and its new value: nil is the default.
func differences(from, to *wire.State, tell func(name string, value *string)) {
	for _, v := range from.Vars() {
		if _, ok := to.Get(v.Name); !ok {
			tell(v.Name, nil)
		}
	}
	for _, v := range to.Vars() {
		if old, ok := from.Get(v.Name); !ok || old != v.Value {
			tell(v.Name, &v.Value)
		}
	}
}

// settings gathers a query that sets some.
type settings struct {
	b        strings.Builder
	encoding string
}

func (q *settings) set(name string, value *string) {
	if q.b.Len() == 0 {
		q.b.WriteString("SELECT ")
	} else {
		q.b.WriteString(", ")
	}
	q.b.WriteString("pg_catalog.set_config(" + literal(name, q.encoding) + ", ")
	if value == nil {
		q.b.WriteString("NULL")
	} else {
		q.b.WriteString(literal(*value, q.encoding))
	}
	q.b.WriteString(", false)")
}

func (q *settings) sql() string { return q.b.String() }

// learnSQL is the query for the values of settings; NULL is one that there isn't.
func learnSQL(names []string, encoding string) string {
	var b strings.Builder
	for i, name := range names {
		if i == 0 {
			b.WriteString("SELECT ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString("pg_catalog.current_setting(" + literal(name, encoding) + ", true)")
	}
	return b.String()
}

// ownSQL is the query for the values of settings that the session has set itself. NULL is one that has another's: the
// server's, or the user's. Those that no view shows, as an application's own, are told whoever set them.
func ownSQL(names []string, encoding string) string {
	var b strings.Builder
	for i, name := range names {
		if i == 0 {
			b.WriteString("SELECT ")
		} else {
			b.WriteString(", ")
		}
		name = literal(name, encoding)
		b.WriteString("CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_settings WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) pg_catalog.lower(" +
			name + ") AND source OPERATOR(pg_catalog.<>) 'session') THEN NULL ELSE pg_catalog.current_setting(" + name + ", true) END")
	}
	return b.String()
}

// literal writes a text so that it means the same whatever the conn's settings are: what is not plain goes as
// hexadecimal digits.
func literal(s, encoding string) string {
	if strings.Trim(s, plain) == "" {
		return "'" + s + "'"
	}
	if strings.Trim(encoding, plain) != "" {
		encoding = "UTF8"
	}
	return "pg_catalog.convert_from(pg_catalog.decode('" + hex.EncodeToString([]byte(s)) + "', 'hex'), '" + encoding + "')"
}

// plain are characters that need no escape anywhere.
const plain = `abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+,.:;/ =@*$"()`
