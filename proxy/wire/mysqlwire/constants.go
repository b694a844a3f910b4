package mysqlwire

// The protocol's numbers: capabilities, status flags and commands.

// Capability is a set of features that a client or a server offers when they meet; what both
// offer is in force.
type Capability uint32

const (
	ClientLongPassword              Capability = 1 << iota // MariaDB: CLIENT_MYSQL, clear in its own greeting
	ClientFoundRows                                        // affected rows are the rows found, not those changed
	ClientLongFlag                                         // two bytes of column flags
	ClientConnectWithDB                                    // a database in the handshake
	ClientNoSchema                                         // db.table.column is refused
	ClientCompress                                         // zlib
	ClientODBC                                             // no meaning any more
	ClientLocalFiles                                       // LOAD DATA LOCAL
	ClientIgnoreSpace                                      // the parser ignores a space before '('
	ClientProtocol41                                       // the protocol since 4.1
	ClientInteractive                                      // interactive_timeout in place of wait_timeout
	ClientSSL                                              // TLS after a short request
	ClientIgnoreSigpipe                                    // no meaning on the wire
	ClientTransactions                                     // status flags in OK packets
	ClientReserved                                         // no meaning any more
	ClientSecureConnection                                 // authentication since 4.1
	ClientMultiStatements                                  // several statements in one query
	ClientMultiResults                                     // several results in one reply
	ClientPSMultiResults                                   // the same for prepared statements
	ClientPluginAuth                                       // named authentication methods
	ClientConnectAttrs                                     // connection attributes
	ClientPluginAuthLenenc                                 // authentication data over 255 bytes
	ClientCanHandleExpiredPasswords                        // sandbox mode for an expired password
	ClientSessionTrack                                     // session state changes in OK packets
	ClientDeprecateEOF                                     // OK in place of EOF
	ClientOptionalResultsetMetadata                        // MySQL 8: column definitions may be left out
	ClientZstd                                             // MySQL 8: zstd compression
	ClientQueryAttributes                                  // MySQL 8: attributes in COM_QUERY and COM_STMT_EXECUTE
	ClientMultiFactorAuth                                  // MySQL 8: more than one authentication method
	ClientCapabilityExtension                              // reserved for the next 32
	ClientSSLVerifyServerCert                              // never on the wire
	ClientRememberOptions                                  // never on the wire
)

// MariaDBCapability are the capabilities of MariaDB alone: the bits 32 and up of its 64, which
// stand where MySQL has filler bytes, and are valid only when ClientLongPassword is clear.
type MariaDBCapability uint32

const (
	MariaDBProgress         MariaDBCapability = 1 << iota // progress reports
	MariaDBComMulti                                       // reserved, once COM_MULTI
	MariaDBStmtBulk                                       // COM_STMT_BULK_EXECUTE
	MariaDBExtendedMetadata                               // extended type information of columns
	MariaDBCacheMetadata                                  // column definitions may be left out
	MariaDBBulkUnitResults                                // a result for each row of a bulk execute
)

// Status flags of OK and EOF packets.
const (
	StatusInTrans            uint16 = 1 << iota // a transaction is open
	StatusAutocommit                            // autocommit is on
	_                                           // no meaning
	StatusMoreResults                           // another result follows
	StatusNoGoodIndexUsed                       // for the slow log
	StatusNoIndexUsed                           // for the slow log
	StatusCursorExists                          // a cursor was opened; rows by COM_STMT_FETCH
	StatusLastRowSent                           // the cursor is at its end
	StatusDBDropped                             // a database was dropped
	StatusNoBackslashEscapes                    // sql_mode has NO_BACKSLASH_ESCAPES
	StatusMetadataChanged                       // a statement was prepared again and has other columns
	StatusQueryWasSlow                          // for the slow log
	StatusPSOutParams                           // the result holds a procedure's OUT parameters
	StatusInTransReadOnly                       // the open transaction is READ ONLY
	StatusSessionChanged                        // the OK packet carries session state changes
	StatusAnsiQuotes                            // MariaDB: sql_mode has ANSI_QUOTES
)

// Types of session state changes in an OK packet.
const (
	TrackSystemVariables  = 0
	TrackSchema           = 1
	TrackStateChange      = 2
	TrackGTIDs            = 3
	TrackTxCharacteristic = 4
	TrackTxState          = 5
)

// Commands: the first byte of what a client sends once it is logged in.
const (
	ComSleep            = 0x00
	ComQuit             = 0x01
	ComInitDB           = 0x02
	ComQuery            = 0x03
	ComFieldList        = 0x04
	ComCreateDB         = 0x05
	ComDropDB           = 0x06
	ComRefresh          = 0x07
	ComShutdown         = 0x08
	ComStatistics       = 0x09
	ComProcessInfo      = 0x0a
	ComConnect          = 0x0b
	ComProcessKill      = 0x0c
	ComDebug            = 0x0d
	ComPing             = 0x0e
	ComTime             = 0x0f
	ComDelayedInsert    = 0x10
	ComChangeUser       = 0x11
	ComBinlogDump       = 0x12
	ComTableDump        = 0x13
	ComConnectOut       = 0x14
	ComRegisterReplica  = 0x15
	ComStmtPrepare      = 0x16
	ComStmtExecute      = 0x17
	ComStmtSendLongData = 0x18
	ComStmtClose        = 0x19
	ComStmtReset        = 0x1a
	ComSetOption        = 0x1b
	ComStmtFetch        = 0x1c
	ComDaemon           = 0x1d
	ComBinlogDumpGTID   = 0x1e
	ComResetConnection  = 0x1f
	ComClone            = 0x20

	ComStmtBulkExecute = 0xfa // MariaDB
)
