package pgwire

// errors.go: errors on the wire: a server's, read and passed on verbatim, and Leat's own in PostgreSQL's terms.

import (
	"bytes"
	"errors"

	"leat/proxy/wire"
)

// The severities of an error, as they are sent.
const (
	severityError = "ERROR"
	severityFatal = "FATAL" // the connection ends
)

// The fields of an ErrorResponse that Leat looks at.
const (
	fieldSeverity    = 'S' // may be translated
	fieldSeverityRaw = 'V' // never is
	fieldSQLState    = 'C'
	fieldMessage     = 'M'
)

// parseError reads the payload of an ErrorResponse, or of a notice, and keeps all of it. What breaks the
// protocol is still an error, with SQLSTATE 08P01.
func parseError(p []byte) *wire.ServerError {
	e := &wire.ServerError{}
	r := fieldReader{p: p}
	for !r.bad {
		kind := r.uint8()
		if kind == 0 {
			break
		}
		switch v := r.nul(); kind {
		case fieldSQLState:
			e.SQLState = string(v)
		case fieldMessage:
			e.Message = string(v)
		}
	}
	if !r.done() || len(e.SQLState) != 5 {
		return &wire.ServerError{SQLState: "08P01", Message: "malformed error from the server"}
	}
	e.Fields = bytes.Clone(p)
	return e
}

// appendServerError appends a server's error, verbatim.
func appendServerError(dst []byte, e *wire.ServerError) []byte {
	if len(e.Fields) > 0 {
		return appendMessage(dst, repError, e.Fields)
	}
	return appendError(dst, severityError, e.SQLState, e.Message)
}

// appendServerFatal appends a server's error as the end of the client's connection, whatever it was to the server.
func appendServerFatal(dst []byte, e *wire.ServerError) []byte {
	start := len(dst)
	dst = appendHeader(dst, repError, 0)
	dst = appendNul(append(dst, fieldSeverity), severityFatal)
	dst = appendNul(append(dst, fieldSeverityRaw), severityFatal)
	if len(e.Fields) == 0 {
		dst = appendNul(append(dst, fieldSQLState), e.SQLState)
		dst = appendNul(append(dst, fieldMessage), e.Message)
	}
	for r := (fieldReader{p: e.Fields}); len(r.p) > 0; {
		kind := r.uint8()
		if kind == 0 {
			break
		}
		v := r.nul()
		if !r.bad && kind != fieldSeverity && kind != fieldSeverityRaw {
			dst = appendNul(append(dst, kind), v)
		}
	}
	return endMessage(append(dst, 0), start)
}

// appendOwnError appends an error of Leat's own, with that severity.
func appendOwnError(dst []byte, severity string, e *wire.Error) []byte {
	return appendError(dst, severity, sqlState(e.Code), messageOf(e))
}

// messageOf is an error's text, in PostgreSQL's own words where there are some that a client may look for.
func messageOf(e *wire.Error) string {
	if e.Code == wire.CodeIdle {
		return "terminating connection due to idle-session timeout"
	}
	return e.Message
}

// appendFatal appends any error as the end of the client's connection. An error that a client may not see is
// sent without its text.
func appendFatal(dst []byte, err error) []byte {
	var own *wire.Error
	var servers *wire.ServerError
	switch {
	case errors.As(err, &own):
		return appendOwnError(dst, severityFatal, own)
	case errors.As(err, &servers):
		return appendServerFatal(dst, servers)
	}
	return appendError(dst, severityFatal, "XX000", "internal error")
}

func appendError(dst []byte, severity, state, message string) []byte {
	if len(state) != 5 {
		state = "XX000"
	}
	start := len(dst)
	dst = appendHeader(dst, repError, 0)
	dst = appendNul(append(dst, fieldSeverity), severity)
	dst = appendNul(append(dst, fieldSeverityRaw), severity)
	dst = appendNul(append(dst, fieldSQLState), state)
	dst = append(dst, fieldMessage)
	for i := range len(message) { // a zero byte would end the text, and break the message
		if message[i] != 0 {
			dst = append(dst, message[i])
		}
	}
	return endMessage(append(dst, 0, 0), start)
}

// sqlState is PostgreSQL's SQLSTATE for an error of Leat's own.
func sqlState(code wire.Code) string {
	if int(code) < len(sqlStates) && sqlStates[code] != "" {
		return sqlStates[code]
	}
	return "XX000"
}

var sqlStates = [...]string{
	wire.CodeInternal:          "XX000", // internal_error
	wire.CodeAccessDenied:      "28P01", // invalid_password
	wire.CodeTooManyClients:    "53300", // too_many_connections
	wire.CodeNoDatabase:        "3D000", // invalid_catalog_name
	wire.CodeUnknownCommand:    "08P01", // protocol_violation
	wire.CodeMalformed:         "08P01",
	wire.CodeTooLarge:          "08P01",
	wire.CodeUnavailable:       "57P03", // cannot_connect_now
	wire.CodePoolTimeout:       "53300",
	wire.CodeServerGone:        "08006", // connection_failure
	wire.CodeUnknownOutcome:    "08007", // transaction_resolution_unknown
	wire.CodeCancelled:         "57014", // query_canceled
	wire.CodeQueryTimeout:      "57014",
	wire.CodeShutdown:          "57P01", // admin_shutdown
	wire.CodeNotSupported:      "0A000", // feature_not_supported
	wire.CodeNoSuchThread:      "42704", // undefined_object
	wire.CodeKillDenied:        "42501", // insufficient_privilege
	wire.CodeNoSuchStatement:   "26000", // invalid_sql_statement_name
	wire.CodeIdle:              "57P05", // idle_session_timeout
	wire.CodeTLSRequired:       "28000", // invalid_authorization_specification
	wire.CodeBadValue:          "22023", // invalid_parameter_value
	wire.CodeTooManyStatements: "53400", // configuration_limit_exceeded
	wire.CodeTxTimeout:         "25P03", // idle_in_transaction_session_timeout
	wire.CodeReadOnlyTx:        "25006", // read_only_sql_transaction
	wire.CodeConnKilled:        "57P01",
}
