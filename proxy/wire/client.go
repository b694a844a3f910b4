package wire

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"
)

// Client is one client's connection, speaking its dialect. It is used by the session's goroutine,
// but for Gone, Stalled, Interrupt and Close.
type Client interface {
	// Admit tells a client that has logged in that it may come in, and what its session is in: the state, and
	// what the server of its first conn says of itself. Refuse tells it that it may not.
	Admit(g *Greeting, now *State) error
	Refuse(err error)

	// ReadRequest waits for the next request. It holds no buffer while it waits. ErrTooLarge is a
	// request over the limit: the connection can't go on. ErrInterrupted is Interrupt's doing: the
	// wait may be taken up again.
	ReadRequest(r *Request) error
	// Finish drops what is left of a request; its slices are not valid any more. Done before a request is
	// answered, it reads what is still on its way, as an answer must follow that. Done again it does nothing.
	Finish(r *Request) error
	// Buffered reports whether another request has already arrived.
	Buffered() bool

	// SendError answers the request with an error, SendServerError with a server's, verbatim.
	SendError(e *Error)
	SendServerError(e *ServerError)
	// SendGoodbye tells a client, between requests, why its connection is closed.
	SendGoodbye(e *Error)
	// SendOK answers the request with success, in the form that its kind expects.
	SendOK(r *Request, d Done)
	// SendRows answers the request with a result set of texts.
	SendRows(r *Request, columns []string, rows [][]string)
	// Torn reports that a reply broke off inside a frame: nothing more can be sent.
	Torn() bool
	// Flush sends what is buffered. Its error is ErrClientGone.
	Flush() error

	// Gone reports, without blocking, that the client closed its connection.
	Gone() bool
	// Stalled is how long the client has not taken what is being sent; 0: nothing is stuck. It may be called
	// from another goroutine.
	Stalled(now time.Time) time.Duration
	// Withheld is how long the client has not sent more of a request that has begun; 0: none is waited for. It may
	// be called from another goroutine.
	Withheld(now time.Time) time.Duration
	// Interrupt ends a wait for the client's next request, from another goroutine.
	Interrupt()
	Close() error
}

// Done is what an answer of Leat's own tells of the session.
type Done struct {
	Tx         TxState
	Autocommit bool   // MySQL
	Tag        string // PostgreSQL: the command, as SET
	Settings   []Var  // PostgreSQL: those that the client is to hear of
}

// NamingClient is a client whose prepared statements have names that SQL knows too (PostgreSQL).
type NamingClient interface {
	Client

	// Deallocate forgets a prepared statement, and tells whether the client had one of that name.
	Deallocate(name string) bool
	// DeallocateAll forgets them all.
	DeallocateAll()
}

// CommandClient is a client whose protocol has commands of their own for prepared statements and for the
// session's state, where others have SQL (MySQL). Requests of these kinds come from such a client only.
type CommandClient interface {
	Client

	// Relogin runs the client's wish to be another user (COM_CHANGE_USER).
	Relogin(r *Request) (*Arrival, error)
	// ResetState is the session's state after a request to reset it.
	ResetState(now *State) *State
	// Batch is whether the client may send several statements in one text; SetBatch switches it.
	Batch() bool
	SetBatch(on bool)
	// SetTracker notes what of its session's changes the client wants to be told (session_track_*).
	SetTracker(name, value string)

	// SendNoStatement answers a request for a prepared statement that the client doesn't have.
	SendNoStatement(r *Request)
	// Identify fixes what a statement means: its text, prepared in the session's state.
	Identify(s *Statement, text string, state *State)
	// Keep adds a prepared statement to those that the client may run, Drop forgets it.
	Keep(s *Statement)
	Drop(s *Statement)
	// DropStatements forgets them all. Statements is how many there are, and how many bytes their texts have.
	DropStatements()
	Statements() (n, bytes int)
	// KeepLong keeps a piece of a parameter for the statement's next run, DropLong forgets them.
	KeepLong(r *Request)
	DropLong(s *Statement)
	// Executed forgets the long data of a statement that was run, or failed to be.
	Executed(s *Statement)
}

// Welcome is what a new client is told and asked.
type Welcome struct {
	Greeting    Greeting // what the servers say of themselves
	ID          uint32   // the client's thread id, or process id
	Key         []byte   // what it must show to cancel a request, beside ID: 32 random bytes (PostgreSQL)
	From        netip.Addr
	TLS         *tls.Config // nil: not offered
	TLSRequired bool
	LocalInfile bool // LOAD DATA LOCAL is allowed
	MaxPacket   int  // longest request, in bytes
	// Lookup finds a user's credential.
	Lookup func(user string, from netip.Addr) (Credential, bool)
}

// Credential is what a user proves to know: a password, or the verifier that a server stores of one.
type Credential struct{ Password, Verifier string }

// Arrival is what a client said when it logged in.
type Arrival struct {
	User  string
	State *State // the database it named and the charset it speaks
	// Flags are the client flags that its conns must be opened with (see Login.Flags), and Database is the
	// database, where a conn can't change it: empty otherwise.
	Flags    uint64
	Database string
	// Attributes are the client's connection attributes.
	Attributes map[string]string
}

// CancelRequest is the error of an Accept whose client came only to have another one's request cancelled.
type CancelRequest struct {
	ID  uint32
	Key []byte // to be compared with Welcome.Key, as far as the other's protocol made it long: in constant time
}

func (*CancelRequest) Error() string { return "a request to cancel" }

// Acceptor logs clients of one dialect in. mysqlwire.Acceptor and pgwire.Acceptor implement it.
type Acceptor interface {
	// Accept logs a client in, up to the point where it waits for Admit or Refuse. On an error the
	// client has been told; a *CancelRequest is none. A deadline on nc bounds it.
	Accept(nc net.Conn, w *Welcome) (Client, *Arrival, error)
	// TurnAway tells a client, before it logs in, why it can't come in.
	TurnAway(nc net.Conn, e *Error)
	// ReadMode is how the dialect's session state changes the way that statements are read.
	ReadMode(state, defaults *State) Mode
	// Schemas are where a session's names without a schema are looked up, in order; nil: it isn't known, or the
	// dialect has none.
	Schemas(state, defaults *State, user string) []string
	// IdleTimeout is how long the client may be silent by the session's own state; 0: it doesn't say.
	IdleTimeout(state *State) time.Duration
	// ReadTimeout is how long the client may not go on with a request that it has begun to send; 0: as long as it may
	// be silent between requests.
	ReadTimeout(state *State) time.Duration
}

// Mode is how the server reads the bytes of a statement in a session.
type Mode uint8

const (
	AnsiQuotes         Mode = 1 << iota // "x" is a name, not a string
	NoBackslashEscapes                  // \ is an ordinary character in a string
	UnsafeCharset                       // a byte of a character may look like a quote or a backslash
	MultiStatements                     // more than one statement may come in one request
	Serializable                        // the session's isolation level is SERIALIZABLE: its reads lock
	ReadOnly                            // transactions are READ ONLY unless they say otherwise
	AutocommitOff                       // statements open a transaction
	BackslashEscapes                    // PostgreSQL: \ escapes in every string (standard_conforming_strings is off)
)
