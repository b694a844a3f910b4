// Package router decides where a request goes. It is pure: a statement's text, what the session is
// in, and the map go in; a plan and a route come out. It opens no connection and reads no clock.
//
// The way: Scan (one pass of our own lexer) gives the normalised text and the literals; the plan is
// looked up by the normalised text; on a miss the parser reads it once and the plan is kept.
package router

import (
	"leat/proxy/wire"
	"leat/shard"
)

// Facts are what routing needs to know of the session that sends a statement.
type Facts struct {
	Flavor   wire.Flavor
	Database string
	Mode     Mode
}

// Mode is how the server reads the bytes of a statement in this session.
type Mode = wire.Mode

const (
	AnsiQuotes         = wire.AnsiQuotes
	NoBackslashEscapes = wire.NoBackslashEscapes
	UnsafeCharset      = wire.UnsafeCharset
	MultiStatements    = wire.MultiStatements
	Serializable       = wire.Serializable
)

// Class is what a statement does to data.
type Class uint8

const (
	ClassWrite   Class = iota // writes, locks, or can't be proven not to: the primary
	ClassRead                 // a pure read: any server that is fresh enough
	ClassSession              // touches only the session (SET, USE, COMMIT ...): where the session is
)

// Kind is what the session has to do about a statement beyond sending it.
type Kind uint8

const (
	KindPlain         Kind = iota // send it
	KindSet                       // SET of session state that the server's trackers report
	KindUse                       // USE db
	KindBegin                     // BEGIN, START TRANSACTION
	KindBeginReadOnly             // START TRANSACTION READ ONLY
	KindCommit                    // COMMIT, ROLLBACK and their CHAIN forms
	KindRelease                   // COMMIT RELEASE, ROLLBACK RELEASE: the server closes the connection
	KindKill                      // KILL [QUERY | CONNECTION] n: Plan.Kill; answered by Leat
	KindLeatSet                   // SET leat.x = ...: Plan.Leat; answered by Leat
	KindLeatShow                  // LEAT SHOW x: Plan.Leat; answered by Leat
	KindLeatExplain               // LEAT EXPLAIN stmt: Plan.Leat; answered by Leat
	KindTrackerSet                // SET session_track_*: kept by Leat, Plan.Trackers
	KindLoadLocal                 // LOAD DATA LOCAL INFILE: the server will ask for a file
	KindEmpty                     // nothing but comments and white space
)

// Value is something of the session's last statement that only the conn it ran on knows.
type Value uint8

const (
	ConnectionID Value = 1 << iota // CONNECTION_ID(), @@pseudo_thread_id
	LastInsertID                   // LAST_INSERT_ID(), @@identity, @@last_insert_id (or a SET of it)
	RowCount                       // ROW_COUNT()
	FoundRows                      // FOUND_ROWS()
	Diagnostics                    // SHOW WARNINGS, SHOW ERRORS, SHOW COUNT(*) ..., @@warning_count, @@error_count, GET DIAGNOSTICS
)

// Plan is what is known of all statements with the same normalised text. It is immutable and
// shared between sessions.
type Plan struct {
	// Text is the statement with its literals replaced by ?, safe to show and to log.
	Text string
	// Digest is a hash of Text, for people: logs, metrics, the digest table.
	Digest uint64

	Class Class
	Kind  Kind
	// Rule is why the statement has its class, in a few words an operator understands,
	// e.g. "pure read", "locking read", "function is not known to be pure: fw", "can't be parsed".
	Rule string
	// Parsed is false when the parser couldn't read the text: counted once per digest.
	Parsed bool

	// Pin is why the session must keep its conn after this statement; empty if it needn't.
	// One of the Pin... constants.
	Pin string
	// Unpin is the reason that this statement ends (UNLOCK TABLES ends PinLocks).
	Unpin string

	// Needs are the values of the last statement that this one reads (or, for LAST_INSERT_ID(expr), sets).
	Needs Value
	// Bare lists, for a SELECT of nothing but such values (SELECT ROW_COUNT(), CONNECTION_ID() AS id),
	// the value of each column in order; nil otherwise.
	Bare []Value
	// SetsInsertID: LAST_INSERT_ID(expr) with an argument, anywhere.
	SetsInsertID bool

	// Statements is how many statements the text holds. More than one: Class, Pin, Needs are the strictest.
	Statements int
	// Tables are those that the statement names, as written (database may be empty).
	Tables []Table
	// Hints are from a leading comment: /* leat: consistency=strong, class=batch */.
	Hints Hints
	// Kill, Leat and Trackers belong to their kinds.
	Kill     Kill
	Leat     LeatCommand
	Trackers []string // names, lower case, of session_track_* variables assigned

	// Locking or other statements that MUST NOT be retried on another server even as reads never have
	// ClassRead; Retriable is true when the statement may be sent again if no byte of a reply came.
	Retriable bool
}

// Reasons to pin. They are shown to operators and counted in metrics; keep the list short.
const (
	PinTx         = "transaction"
	PinUserVars   = "user variables"
	PinTempTable  = "temporary table"
	PinLocks      = "table locks"
	PinUserLock   = "named lock"
	PinHandler    = "open handler"
	PinCursor     = "open cursor"
	PinPrepare    = "text prepared statement"
	PinCall       = "stored procedure"
	PinXA         = "xa transaction"
	PinNextTx     = "next transaction's characteristics"
	PinRole       = "role"
	PinVariable   = "session variable that can't be restored"
	PinUnknown    = "statement that can't be read"
	PinDiagnostic = "found rows"
)

// Table is a table as a statement names it.
type Table struct{ Database, Name string }

// Hints are what a leading leat comment asks for. Empty strings are not given.
type Hints struct {
	Consistency string // eventual, bounded, session
	Class       string // online, batch
	Role        string // primary, replica
	// Err says what is wrong with the comment, in one sentence; empty if nothing.
	Err string
}

// Kill is a KILL statement.
type Kill struct {
	Query bool // KILL QUERY: the statement only
	// Literal is the index into Scan.Literals of the thread id; -1 when it is not a number.
	Literal int
}

// LeatCommand is a statement meant for Leat itself. Its texts are not normalised: it is never cached.
type LeatCommand struct {
	Name  string // "consistency" of SET leat.consistency; "servers" of LEAT SHOW SERVERS; lower case
	Value string // the value set, unquoted; the statement to explain
}

// Scan is the reusable scratch of one session: what the lexer found in the last statement.
// Its contents are valid until the next statement is planned with it.
type Scan struct {
	Normalized []byte
	Literals   []Literal
	// (lexer's own scratch follows)
}

// Literal is one literal of a statement. Raw aliases the statement's text.
type Literal struct {
	Raw []byte
}

// Config of a Router.
type Config struct {
	// PlanCacheBytes bounds the plan cache. Default 64 MiB.
	PlanCacheBytes int
	// MaxParse is the longest statement, in bytes, that is parsed on a miss. A longer one is
	// classified by its first word alone and is never a read. Default 256 KiB.
	MaxParse int
	// PureFunctions are functions, lower case, that an operator declares to be pure reads.
	PureFunctions []string
}

// Want is what the session asks for beside the plan.
type Want struct {
	Database string
	InTx     bool   // the session's transaction or pin decides: it stays where it is
	Class    string // the user's class: online or batch
	// ReadOnlyTx: a READ ONLY transaction begins (its BEGIN may go to a replica).
	ReadOnlyTx bool
	// Misrouted is true when a replica refused this digest before (see Router.Misrouted).
}

// Route is where one request goes.
type Route struct {
	Shard shard.ID
	Role  wire.Role
	Class string // class of replica: online or batch
	Rule  string // why
}
