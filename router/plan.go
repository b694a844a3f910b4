package router

// Class is what a statement does to data.
type Class uint8

const (
	ClassWrite   Class = iota // writes, locks, or can't be proven not to: the primary
	ClassRead                 // a pure read: any server that is fresh enough
	ClassSession              // touches only the session (SET, USE, COMMIT ...): where the session is
)

func (c Class) String() string { return [...]string{"write", "read", "session"}[c] }

// Kind is what the session has to do about a statement beyond sending it.
type Kind uint8

const (
	KindPlain          Kind = iota // send it
	KindSet                        // SET of session state that the server's trackers report
	KindUse                        // USE db: Plan.Tables[0].Database
	KindBegin                      // BEGIN, START TRANSACTION
	KindBeginReadOnly              // START TRANSACTION READ ONLY
	KindCommit                     // COMMIT, ROLLBACK and their CHAIN forms
	KindRelease                    // COMMIT RELEASE, ROLLBACK RELEASE: the server closes the connection
	KindKill                       // KILL [QUERY | CONNECTION] n: Plan.Kill; answered by Leat
	KindLeatSet                    // SET leat.x = ...: Plan.Leat; answered by Leat
	KindLeatShow                   // LEAT SHOW x: Plan.Leat; answered by Leat
	KindLeatExplain                // LEAT EXPLAIN stmt: Plan.Leat; answered by Leat
	KindTrackerSet                 // SET session_track_*: Plan.Trackers, to be told to the client alone
	KindLoadLocal                  // LOAD DATA LOCAL INFILE: the server will ask for a file
	KindEmpty                      // nothing but comments and white space
	KindDeallocate                 // DEALLOCATE x, DEALLOCATE ALL: Plan.Deallocate (PostgreSQL)
	KindDiscardAll                 // DISCARD ALL (PostgreSQL)
	KindBeginReadWrite             // BEGIN that only the primary serves, whatever the session's default: READ WRITE, SERIALIZABLE
	KindSetTx                      // SET TRANSACTION of the transaction that is open (PostgreSQL)
	KindSetTxReadOnly              // SET TRANSACTION READ ONLY (PostgreSQL)
	KindCopy                       // COPY FROM STDIN, COPY TO STDOUT: rows travel outside of frames for rows (PostgreSQL)
)

func (k Kind) String() string {
	return [...]string{
		"plain", "set", "use", "begin", "begin read only", "commit", "release", "kill",
		"leat set", "leat show", "leat explain", "tracker set", "load local", "empty", "deallocate", "discard all",
		"begin read write", "set transaction", "set transaction read only", "copy",
	}[k]
}

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
	// Digest is a hash of Text, for people: logs, metrics, the digest table. It is the same in every
	// process.
	Digest uint64

	Class Class
	Kind  Kind
	// Rule is why the statement has its class, in a few words an operator understands,
	// e.g. "pure read", "locking read", "function is not known to be pure: fw", "can't be parsed".
	Rule string
	// Parsed is false when the parser couldn't read the text: counted once per digest. Statements that
	// need no parser (SET, COMMIT, GRANT ...) count as parsed.
	Parsed bool

	// Pin is why the session must keep its conn after this statement; empty if it needn't.
	// One of the Pin... constants. Of several reasons it is the one that lasts longest.
	Pin string
	// Unpin is the reason that this statement ends (UNLOCK TABLES ends PinLocks).
	Unpin string
	// MayUnpin is the reason that this statement may have ended, or not have begun: the server knows whether
	// anything is left of it (PostgreSQL: CLOSE x, UNLISTEN x, pg_advisory_unlock, a failed pg_try_advisory_lock,
	// DROP TABLE, DEALLOCATE x).
	MayUnpin string

	// Needs are the values of the last statement that this one reads (or, for LAST_INSERT_ID(expr), sets).
	Needs Value
	// Bare lists, for a SELECT of nothing but such values (SELECT ROW_COUNT(), CONNECTION_ID() AS id),
	// the value of each column in order; nil otherwise. Diagnostics is never among them: the two
	// variables that read it differ.
	Bare []Value
	// BareNames are the names of those columns: the alias, or the expression with its spacing normalised.
	BareNames []string
	// Opaque is set when the statement may read, or set, such values where its text doesn't show it: a routine, a
	// statement prepared by SQL, a text that can't be read (MySQL).
	Opaque bool
	// SetsInsertID: LAST_INSERT_ID(expr) with an argument, anywhere, or SET last_insert_id.
	SetsInsertID bool

	// Statements is how many statements the text holds. More than one: Class, Pin, Needs are the
	// strictest, and Kind is KindPlain (or KindKill, refused, if one of them is a KILL).
	Statements int
	// Tables are those that the statement names, as written (database may be empty): what a query or
	// an INSERT, REPLACE, UPDATE or DELETE names if the parser could read it, the database of USE.
	Tables []Table
	// Hints are from a leading comment: /* leat: consistency=eventual, class=batch */.
	Hints Hints
	// Kill, Leat and Trackers belong to their kinds.
	Kill     Kill
	Leat     LeatCommand
	Trackers []string // names, lower case, of session_track_* variables assigned; also beside KindSet
	// Untracked are the names, lower case, of plain session variables assigned as @@x: a server may not report them
	// (PostgreSQL: of all settings that are set or reset).
	Untracked []string
	// Resets are the names, lower case, of the settings that go back to what the client's log-in said; ResetsAll
	// says that all do (PostgreSQL: RESET x, SET x TO DEFAULT; RESET ALL).
	Resets    []string
	ResetsAll bool
	// Taints is set when the statement may change the session's state in a way that nobody sees: DO, CALL, a
	// function that isn't known (PostgreSQL). Its conn is reset before another session gets it.
	Taints bool
	// Deallocate is the prepared statement that a KindDeallocate names; empty means all.
	Deallocate string
	// Advances is set when the text takes a value from a sequence, or may do so in one of several statements: then
	// it may ask for the last one itself (PostgreSQL: nextval beside currval).
	Advances bool
	// Names are the prepared statements that the text names, Drops those of them that it drops, in its order
	// (PostgreSQL: EXECUTE x, DEALLOCATE x, PREPARE x).
	Names, Drops []string
	// MixesTx is set when one of several statements begins or ends a transaction.
	MixesTx bool

	// Unknown is how many of the statements nobody can read, where nothing else is a reason for Pin; else 0.
	Unknown int

	// Retriable is true when the statement may be sent again to any server of its role if no byte of a
	// reply came: pure reads, also those that only the primary answers.
	Retriable bool

	defines bool // one of several statements is a definition
	locks   bool // it locks, or names a lock, for the time of its transaction or for longer

	key   string // what the cache knows it by; empty if it isn't kept
	proof proof
	// calls are the functions that a session's catalog is asked about, and ifPure is the plan when it says that
	// those which aren't the dialect's own do nothing; nil if there are none of them.
	calls  []call
	ifPure *Plan
}

// Defines reports whether the statement makes, changes or drops what a catalog tells of.
func (p *Plan) Defines() bool { return p.defines || p.Rule == ruleDefinition }

// Keeps reports whether a statement locks, or leaves on its conn what outlives its transaction: in a READ ONLY one too it
// belongs on the primary.
func (p *Plan) Keeps() bool {
	switch p.Pin {
	case "", PinTx, PinSavepoint, PinNextTx, PinDiagnostic:
		return p.locks
	}
	return true
}

// proof is what the parser has to do for a statement.
type proof uint8

const (
	proofNone  proof = iota
	proofQuery       // prove that it is a pure read, name its tables
	proofWrite       // name its tables
)

// Reasons to pin. They are shown to operators and counted in metrics; keep the list short.
const (
	PinTx         = "transaction"
	PinSavepoint  = "savepoint" // set while autocommit is off, ahead of the transaction
	PinUserVars   = "user variables"
	PinTempTable  = "temporary table"
	PinLocks      = "table locks"
	PinReadLock   = "global read lock"
	PinInstance   = "backup lock"
	PinUserLock   = "named lock"
	PinHandler    = "open handler"
	PinCursor     = "open cursor"
	PinPrepare    = "text prepared statement"
	PinCall       = "stored procedure"
	PinSequence   = "last value of a sequence"
	PinXA         = "xa transaction"
	PinNextTx     = "next transaction's characteristics"
	PinRole       = "role"
	PinVariable   = "session variable that can't be restored"
	PinUnknown    = "statement that can't be read"
	PinDiagnostic = "found rows"
	PinRun        = "unfinished run of messages" // PostgreSQL: a Flush without its Sync
	PinListen     = "listen"
	PinAdvisory   = "advisory lock"
	PinHoldCursor = "cursor with hold"
	PinSeed       = "seed of random()"
)

// Table is a table as a statement names it. MySQL's have a database, PostgreSQL's a schema; empty if not named.
type Table struct{ Database, Schema, Name string }

// Hints are what a leading leat comment asks for. Empty strings are not given.
type Hints struct {
	Consistency string // eventual, session
	Class       string // online, batch
	Role        string // primary, replica
	// Err says what is wrong with the comment, in one sentence; empty if nothing.
	Err string
}

// Kill is a KILL statement.
type Kill struct {
	Query bool // KILL QUERY: the statement only
	// Literal is the index into Scan.Literals of the thread id; -1 when it is not a plain literal, or
	// when other statements stand beside the KILL: Leat refuses those, for the number would be taken
	// as a server's. The literal need not be a number, and is ? in a prepared statement.
	Literal int
}

// LeatCommand is a statement meant for Leat itself. Its texts are not normalised: it is never cached.
type LeatCommand struct {
	Name  string // "consistency" of SET leat.consistency; "servers" of LEAT SHOW SERVERS; lower case
	Value string // the value set, unquoted; the statement to explain
}

// Scan is the reusable scratch of one session: what the lexer found in the last statement.
// Its contents are valid until the next statement is planned with it. The zero value is ready to use.
type Scan struct {
	// Normalized is the statement's normalised text; cut off for one longer than Config.MaxParse.
	Normalized []byte
	// Literals are the statement's literals and parameters: one for each ? of Normalized. A list behind
	// IN is one; the rows of a VALUES list behind the first are none if they are nothing but literals.
	Literals []Literal

	key    []byte
	pass   normalizer
	pgPass pgNormalizer
}

// Literal is one literal of a statement. Raw aliases the statement's text: a string with its quotes
// (and the pieces that are concatenated to it), a number, ?, or the inside of a list.
type Literal struct {
	Raw []byte
}

// begin readies the scratch for a pass over a MySQL statement.
func (s *Scan) begin(limit int) *normalizer {
	s.trim()
	s.pass = normalizer{out: s.Normalized[:0], literals: s.Literals[:0], limit: limit}
	return &s.pass
}

func (s *Scan) end(n *normalizer) {
	s.Normalized, s.Literals = n.out, n.literals
}

// beginPg and endPg are the same for PostgreSQL.
func (s *Scan) beginPg(limit int) *pgNormalizer {
	s.trim()
	s.pgPass = pgNormalizer{out: s.Normalized[:0], literals: s.Literals[:0], limit: limit}
	return &s.pgPass
}

func (s *Scan) endPg(n *pgNormalizer) {
	s.Normalized, s.Literals = n.out, n.literals
}

// trim lets go of what only a large statement needs.
func (s *Scan) trim() {
	if cap(s.Normalized) > maxScratch {
		s.Normalized, s.key = nil, nil
	}
	if cap(s.Literals) > maxScratch/16 {
		s.Literals = nil
	}
}
