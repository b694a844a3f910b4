package wire

// What a server's error means for the proxy, in words that both dialects share.

import "strings"

// Condition is what an error of a server means for where the request, or the next one, may go. It says nothing of
// what the client gets: that is the error itself.
type Condition uint8

const (
	OtherCondition    Condition = iota // the statement's own failure
	ReadOnlyServer                     // the server takes no writes
	ReadOnlyTx                         // a write in a READ ONLY transaction: the session's own, or that of a conn to a replica
	Unreplicated                       // the server could not pass the write on to its group, and rolled it back
	Offline                            // the server has been closed to ordinary users
	GoingAway                          // the server is shutting down or starting up
	ConnClosed                         // just this conn is closed: killed, or idle for too long
	TooManyConns                       // the server, or the user on it, is at its limit of connections
	TooManyStatements                  // the server is at its limit of prepared statements
	SyntaxError                        // the server could not read the statement and did nothing of it
	TooLarge                           // the request is longer than the server takes; it closes the conn
)

// RefusesWrites reports whether the error came only of the server, or the conn, taking no writes: nothing of the
// statement was done, and the shard's primary may do it.
func (c Condition) RefusesWrites() bool {
	switch c {
	case ReadOnlyServer, ReadOnlyTx, Unreplicated, Offline:
		return true
	}
	return false
}

// Condition is what the error means. The number decides where there is one, which is in MySQL's dialect, else the
// SQLSTATE.
func (e *ServerError) Condition() Condition {
	if e.Number == 0 {
		return e.postgresCondition()
	}
	return e.mysqlCondition()
}

func (e *ServerError) postgresCondition() Condition {
	// feature_not_supported, but of a standby: an unlogged table has no rows there
	if e.SQLState == "0A000" && strings.Contains(e.Message, "unlogged relations during recovery") {
		return ReadOnlyServer
	}
	return postgresConditions[e.SQLState]
}

func (e *ServerError) mysqlCondition() Condition {
	switch e.Number {
	case 1290: // "... running with the --read-only option", but also --secure-file-priv and others
		m := strings.ToLower(e.Message)
		if strings.Contains(m, "read-only") || strings.Contains(m, "read_only") {
			return ReadOnlyServer
		}
	case 1836: // read-only mode
		return ReadOnlyServer
	case 1792:
		return ReadOnlyTx
	case 3100: // a replication hook failed: group replication could not send the transaction
		return Unreplicated
	case 3032: // offline_mode
		return Offline
	case 1053, 1079: // shutdown in progress, normal shutdown
		return GoingAway
	case 1927, 4031: // killed, closed for inactivity
		return ConnClosed
	case 1040, 1203, 1226: // max_connections, max_user_connections, another limit of the user's
		return TooManyConns
	case 1461: // max_prepared_stmt_count
		return TooManyStatements
	case 1064:
		return SyntaxError
	case 1153: // max_allowed_packet
		return TooLarge
	}
	return OtherCondition
}

var postgresConditions = map[string]Condition{
	"25006": ReadOnlyTx,   // read_only_sql_transaction: all that a standby runs is one
	"57P01": GoingAway,    // admin_shutdown
	"57P02": GoingAway,    // crash_shutdown
	"57P03": GoingAway,    // cannot_connect_now
	"53300": TooManyConns, // too_many_connections
	"42601": SyntaxError,  // syntax_error
	"57P05": ConnClosed,   // idle_session_timeout
	"25P03": ConnClosed,   // idle_in_transaction_session_timeout
	"25P04": ConnClosed,   // transaction_timeout
}
