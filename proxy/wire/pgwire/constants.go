package pgwire

// The protocol's numbers: message types, versions and what comes in the place of a version.

// The types of messages that a client sends once its startup message is over.
const (
	reqBind         = 'B'
	reqClose        = 'C'
	reqCopyFail     = 'f'
	reqDescribe     = 'D'
	reqExecute      = 'E'
	reqFlush        = 'H'
	reqFunctionCall = 'F'
	reqParse        = 'P'
	reqPassword     = 'p' // also a SASL message
	reqQuery        = 'Q'
	reqSync         = 'S'
	reqTerminate    = 'X'
)

// The types of messages that both sides send.
const (
	msgCopyData = 'd'
	msgCopyDone = 'c'
)

// The types of messages that a server sends.
const (
	repAuthentication       = 'R'
	repBackendKeyData       = 'K'
	repBindComplete         = '2'
	repCloseComplete        = '3'
	repCommandComplete      = 'C'
	repCopyBoth             = 'W'
	repCopyIn               = 'G'
	repCopyOut              = 'H'
	repDataRow              = 'D'
	repEmptyQuery           = 'I'
	repError                = 'E'
	repFunctionCall         = 'V'
	repNegotiateVersion     = 'v'
	repNoData               = 'n'
	repNotice               = 'N'
	repNotification         = 'A'
	repParameterDescription = 't'
	repParameterStatus      = 'S'
	repParseComplete        = '1'
	repPortalSuspended      = 's'
	repReadyForQuery        = 'Z'
	repRowDescription       = 'T'
)

// The transaction states that ReadyForQuery tells.
const (
	txIdle   = 'I'
	txOpen   = 'T'
	txFailed = 'E'
)

// What Bind, Describe and Close name.
const (
	targetStatement = 'S'
	targetPortal    = 'P'
)

// Protocol versions, major in the high half, and the codes that stand in their place in the first message.
const (
	version30         = 3 << 16
	version32         = 3<<16 | 2
	codeCancelRequest = 1234<<16 | 5678
	codeSSLRequest    = 1234<<16 | 5679
	codeGSSENCRequest = 1234<<16 | 5680
)

// What an Authentication message asks for, or says.
const (
	authOK           = 0
	authCleartext    = 3
	authMD5          = 5
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

const (
	// maxStartup is the longest startup message in bytes, as PostgreSQL bounds it.
	maxStartup = 10_000
	// maxLogin is the longest message of a log-in after that, in bytes, as PostgreSQL bounds it.
	maxLogin = 65_535
	// maxHeld bounds a server's message that is held as a whole: errors, settings, descriptions.
	maxHeld = 1 << 20
	// maxCancelKey is the longest key of a request to cancel, in bytes (protocol 3.2).
	maxCancelKey = 256
)
