// Package wire holds the words that both dialects share: requests, what came of them, session
// state, roles and errors. A codec, such as mysqlwire, turns bytes into these words and back.
//
// It does not know a pool, a route or a config file, and it never looks into a row.
package wire

import (
	"context"
	"crypto/tls"
	"time"

	"leat/shard"
)

// Dialect is the wire protocol and SQL dialect that a listener, a server and a shard speak.
type Dialect = shard.Dialect

// Flavor tells the members of one dialect apart.
type Flavor uint8

const (
	FlavorUnknown Flavor = iota
	FlavorMySQL
	FlavorMariaDB
	FlavorPostgres
)

func (f Flavor) String() string {
	switch f {
	case FlavorMySQL:
		return "mysql"
	case FlavorMariaDB:
		return "mariadb"
	case FlavorPostgres:
		return "postgres"
	}
	return "unknown"
}

// Role is what a server does in its shard, or what a request needs.
type Role uint8

const (
	// Primary takes writes. It is the zero value: what isn't proven to be a read goes there.
	Primary Role = iota
	// Replica follows the primary and takes reads.
	Replica
)

func (r Role) String() string {
	if r == Replica {
		return "replica"
	}
	return "primary"
}

// TxState is where a conn stands in a transaction, by the server's own word.
type TxState uint8

const (
	TxIdle     TxState = iota // no transaction
	TxOpen                    // a transaction that may write
	TxReadOnly                // a READ ONLY transaction
	TxFailed                  // PostgreSQL: only ROLLBACK is accepted
	TxUnknown                 // the last reply didn't say (a MySQL error carries no flags)
)

func (s TxState) String() string {
	return [...]string{"idle", "open", "read only", "failed", "unknown"}[s]
}

// Login is how Leat logs in to a server.
type Login struct {
	User     string
	Password string
	Database string
	TLS      *tls.Config // nil: no TLS
	// Flags are the dialect's client flags that can't be changed on a live conn
	// (MySQL: FOUND_ROWS and others). They are part of the pool's key.
	Flags uint64
	// ReadOnly opens the conn so that a write on it fails: for conns to replicas.
	ReadOnly bool
	// Attributes are sent as connection attributes (MySQL).
	Attributes map[string]string
}

// Greeting is what a server says of itself when a conn is opened.
type Greeting struct {
	Version string // as sent, e.g. "8.4.6" or "5.5.5-10.11.19-MariaDB-deb12"
	Flavor  Flavor
	Charset uint16 // default collation id (MySQL)
	// Params are what the server reported of its settings at log-in (PostgreSQL's ParameterStatus).
	Params []Var
	// Defaults are the values that a new session's variables have, as far as Leat needs them.
	Defaults *State
}

// Dialer opens conns of one dialect. mysqlwire.Dialer implements it.
type Dialer interface {
	// Dial connects and logs in. The error is a *ServerError when the server refused.
	Dial(ctx context.Context, address string, login Login) (Conn, error)
	// Cancel asks the server, over a side connection, to stop what the conn with this id runs.
	Cancel(ctx context.Context, address string, login Login, id ConnID) error
}

// ConnID names a conn on its server: MySQL's thread id, PostgreSQL's process id with its cancel key.
type ConnID struct {
	ID  uint64
	Key []byte
}

// Conn is one logged-in connection to a server. It is used by one goroutine at a time.
type Conn interface {
	// ID names the conn on its server, for Cancel.
	ID() ConnID
	Greeting() Greeting
	// State is the session state that the conn is in now, by the server's own trackers.
	State() *State
	// Tx is the transaction state after the last reply.
	Tx() TxState
	// Idle reports whether an idle conn is still good to use: open, with no byte waiting.
	// It costs one non-blocking system call.
	Idle() bool
	// IdleTimeout is how long the server leaves the conn open while nothing is sent; 0: not known.
	IdleTimeout() time.Duration
	// Adopt puts the conn into a session's state. A *ServerError is the server's refusal: the conn is still
	// good then, and in the state that State tells.
	Adopt(want *State) error
	// Do sends a request and passes its reply on to the client. The conn must be in the session's
	// state. A *ServerError or *Error means that nothing was sent; after any other error (*SendError,
	// ErrClientGone) the conn must be discarded.
	Do(r *Request, c Client, o *Options) (Outcome, error)
	// Ping learns the transaction state after an error, which didn't tell it.
	Ping() error
	// Exec runs a statement of Leat's own that returns no rows. A *ServerError is the server's refusal.
	Exec(sql string) error
	// Learn asks for what replies don't tell: the values of session variables that were set in a way that the
	// server may not have reported, and what it reported only in part. State tells them afterwards. It is to be
	// called after each reply; it costs nothing when there is nothing to ask for.
	Learn(names []string) error
	// Reset drops all session state (transaction, temporary tables, locks, variables,
	// prepared statements); the conn is as new afterwards.
	Reset(deadline time.Time) error
	// SetDeadline bounds every read and write that follows; the zero time removes the bound.
	SetDeadline(t time.Time) error
	// Close says goodbye without waiting for an answer.
	Close() error
}

// Held is something of a session's that a conn keeps and that no other can be given.
type Held uint8

const (
	HeldLocks      Held = iota // advisory locks
	HeldCursors                // cursors WITH HOLD
	HeldChannels               // that it listens to
	HeldTables                 // temporary ones
	HeldStatements             // prepared by SQL
)

// HoldingConn is a conn whose server says what it holds of a session, and speaks without being asked to one that
// listens (PostgreSQL).
type HoldingConn interface {
	Conn

	// Restart gives settings the values that the session began with, where a RESET has given them the server's. It
	// may be called inside a transaction. The client, which has heard of the server's, hears of them again.
	Restart(values []Var, c Client) error
	// Holds asks whether anything of a kind is left, outside a transaction.
	Holds(what Held) (bool, error)
	// ForgetSequences makes the conn forget the last values of sequences.
	ForgetSequences() error
	// Watch passes on what the server says while the session waits for its client's next request, until stop is
	// called, which must be before the conn or the client is used again but for ReadRequest. An error of stop is
	// that of a conn that is gone; why, as far as the server said so, the client has been told.
	Watch(c Client) (stop func() error)
}

// CommandConn is a conn to a server that tells of the last statement what only its conn knows (MySQL).
type CommandConn interface {
	Conn

	// CloseStatement ends a statement's cursor on the conn.
	CloseStatement(s *Statement) error
	// Warnings asks for the list of the last statement's warnings: level, code and message.
	Warnings() ([][]string, error)
	// LastInsertID asks what the conn's last generated id is, decimal, and SetLastInsertID sets it.
	LastInsertID() (string, error)
	SetLastInsertID(v string) error
	// KnownInsertID is what it was when it was last asked for or set. HasInsertID reports whether it is v beyond
	// doubt, unless a reply has told of another since.
	KnownInsertID() string
	HasInsertID(v string) bool
	// ClearCounts makes ROW_COUNT() and FOUND_ROWS() those of no session.
	ClearCounts() error
	// TakeTrackers tells the client's side which trackers it has just set on the conn, by name, and puts the
	// conn's own back (session_track_*).
	TakeTrackers(c Client, names []string) error
}
