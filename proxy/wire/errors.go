package wire

import (
	"errors"
	"fmt"
)

// Error is an error that a client may see, in no dialect's spelling. The codec turns Code into
// its own number and SQLSTATE. Message is one sentence that says what happened and what to do;
// it never carries a literal, a parameter or a password.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// Code is the kind of an Error.
type Code uint8

const (
	CodeInternal          Code = iota // MySQL 1105 HY000
	CodeAccessDenied                  // 1045 28000
	CodeTooManyClients                // 1040 08004
	CodeNoDatabase                    // 1049 42000
	CodeUnknownCommand                // 1047 08S01
	CodeMalformed                     // 1835 HY000
	CodeTooLarge                      // 1153 08S01
	CodeUnavailable                   // no server can take the request: 1105 HY000 (names the shard and why)
	CodePoolTimeout                   // waited too long for a conn: 1203 42000
	CodeServerGone                    // the server went away; a read, or nothing was sent: 2013 HY000
	CodeUnknownOutcome                // a write was sent and its reply never came: 2013 HY000
	CodeCancelled                     // killed by a user or Leat: 1317 70100
	CodeQueryTimeout                  // 3024 HY000
	CodeShutdown                      // 1053 08S01
	CodeNotSupported                  // 1235 42000
	CodeNoSuchThread                  // 1094 HY000
	CodeKillDenied                    // 1095 HY000
	CodeNoSuchStatement               // 1243 HY000
	CodeIdle                          // 4031 HY000: closed for inactivity
	CodeTLSRequired                   // 3159 HY000
	CodeBadValue                      // a leat.* setting with a wrong value: 1231 42000
	CodeTooManyStatements             // 1461 42000
	CodeTxTimeout                     // a transaction idle or running too long: 1105 HY000... the conn was reset
	CodeReadOnlyTx                    // a write in a READ ONLY transaction: 1792 25006
	CodeConnKilled                    // a client killed itself, as MariaDB says it: 1927 70100
)

// ServerError is an error that a server sent, verbatim. See Condition for what it means.
type ServerError struct {
	Number   uint16 // MySQL's number; 0 for PostgreSQL
	SQLState string
	Message  string
	// Fields are all that the error tells, as the server sent them (PostgreSQL's ErrorResponse without its
	// header); empty: the three above are all.
	Fields []byte
}

func (e *ServerError) Error() string {
	if e.Number == 0 {
		return e.SQLState + ": " + e.Message
	}
	return fmt.Sprintf("%d (%s): %s", e.Number, e.SQLState, e.Message)
}

// SendError is a failure to talk to a server. It says what may be done about it.
type SendError struct {
	Err error
	// Sent is whether any byte of the request may have reached the server.
	Sent bool
}

func (e *SendError) Error() string { return e.Err.Error() }
func (e *SendError) Unwrap() error { return e.Err }

// ErrClientGone is returned when the client's side of a relay failed: the server is not to blame.
var ErrClientGone = errors.New("client went away")

// ErrInterrupted is returned by a wait that another goroutine ended.
var ErrInterrupted = errors.New("interrupted")

// ErrTooLarge is returned by a decoder for a length over its bound.
var ErrTooLarge = errors.New("too large")

// ErrMalformed is returned by a decoder for bytes that break the protocol.
var ErrMalformed = errors.New("malformed packet")
