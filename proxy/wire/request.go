package wire

import "sync/atomic"

// Kind is what a client asks for, in words that both dialects share.
type Kind uint8

const (
	Query        Kind = iota // one or more statements as text
	Prepare                  // prepare a statement
	Execute                  // run a prepared statement
	Fetch                    // more rows of a cursor
	CloseStmt                // forget a prepared statement; no reply
	ResetStmt                // forget its long data and its cursor
	LongData                 // a piece of a parameter; no reply
	UseDatabase              // change the current database: Request.SQL is its name
	Ping                     // are you there
	ResetSession             // forget the session's state
	ChangeUser               // log in again on this connection
	SetOption                // switch multi-statements on or off
	KillClient               // MySQL's old COM_PROCESS_KILL: Request.Target
	Passthrough              // a rare command that a server answers
	Run                      // PostgreSQL: messages of the extended protocol, up to Sync or Flush
	Quit                     // goodbye
	Unknown                  // a command that Leat doesn't speak
)

// Request is what the client waits for: one MySQL command, or a run of PostgreSQL messages up to
// Sync or Flush. Its slices alias the client's read buffer: valid until the reply has been sent.
type Request struct {
	Kind Kind
	// SQL is the text to route: of the statement, or of the prepared one that is run.
	SQL []byte
	// Stmt is the client's prepared statement; nil for an id that it doesn't have.
	Stmt *Statement
	// Stmts are the statements that a Run prepares or runs, in the order of its messages.
	Stmts []*Statement
	// Executes is whether a Run has an Execute: one without only prepares.
	Executes bool
	// Unsynced is set for a Run that ends in a Flush, or in the middle because it is long: more of the same
	// implicit transaction follows, which may write.
	Unsynced bool
	// Frames is the request as it came, headers included, as far as it is in memory.
	Frames []byte
	// Rest is how many bytes of the request are still on the client's socket: it is long, streamed,
	// and can't be sent twice. -1 means that their number isn't known yet.
	Rest int
	// Cursor asks for rows by Fetch.
	Cursor bool
	// Target is the client to kill, or the option's value.
	Target uint32
}

// Long reports whether part of the request is still on the client's socket.
func (r *Request) Long() bool { return r.Rest != 0 }

// Statement is a client's prepared statement. The codec owns Wire, the session owns Plan.
type Statement struct {
	ID   uint32 // the client's id
	Text string
	// Long is set for one whose text isn't held, and that is on one conn only (PostgreSQL).
	Long bool
	// Plan is what the session's router knows of the text.
	Plan any
	// Wire is what the codec keeps: parameter types, long data.
	Wire any
}

// Outcome is what came of a request, read off the reply while it was passed on.
type Outcome struct {
	Tx TxState
	// Err is the server's error, if the reply was or ended in one.
	Err *ServerError
	// Replied is whether anything of the reply went to the client. An error that is the whole
	// reply isn't passed on: the session decides whether to send it or to try elsewhere.
	Replied bool
	// Warnings, Affected and Rows are those of the last result, InsertID is of the last that generated one.
	Warnings uint16
	Affected uint64
	InsertID uint64
	Rows     uint64
	// HasRows is whether the last result was a result set.
	HasRows bool
	// Position is the position that the server reported for what was written (GTID text); empty if none.
	Position string
	// StateChanged is set when the server reported a change of session state that State can't express
	// (a user variable, a temporary table, ...).
	StateChanged bool
	// NextTx is set while characteristics for the next transaction are pending.
	NextTx bool
	// Locked is set while LOCK TABLES holds.
	Locked bool
	// Unsynced is set when a Run ended in a Flush: what follows belongs to the same conn.
	Unsynced bool
	// CursorOpen is set when the server keeps a cursor for the statement.
	CursorOpen bool
	// Prepared is set when a statement was prepared.
	Prepared *Statement
	// Bytes is how much of the reply went to the client.
	Bytes int
}

// Override replaces values in the rows of a reply: for functions whose value only the session knows.
type Override struct {
	// Columns holds one text per column; a nil entry leaves the server's value.
	Columns [][]byte
	// NoRows is for a question after warnings of which there are none: it drops all rows, and makes the value
	// of a reply that has a single column, a count, 0.
	NoRows bool
	// Rows are put in the place of those that NoRows drops.
	Rows [][]string
}

// Options of one request.
type Options struct {
	// Override changes the row that the reply carries; nil passes all on.
	Override *Override
	// LocalInfile lets the server ask for a file (MySQL's LOAD DATA LOCAL).
	LocalInfile bool
	// Several is whether the text looks like several statements, and Batch whether the client may send
	// such a text (MySQL).
	Several, Batch bool
	// Retriable is whether the request may run twice: it reads and does nothing else.
	Retriable bool
	// Binary is whether the reply's rows come in the binary protocol.
	Binary bool
	// Names are the prepared statements that the text names, Drops those of them that it drops, in its order
	// (PostgreSQL).
	Names, Drops []string
	// Begun is set when the first of the reply goes to the client; nil: nobody asks.
	Begun *atomic.Bool
}
