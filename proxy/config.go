package proxy

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// Config of a Server. Zero values take the defaults named here; cmd/leat fills it from the file.
type Config struct {
	Users []User
	// TLS towards clients; nil offers none.
	TLS *tls.Config
	// TLSRequired refuses a client that logs in without TLS, before it sends a password.
	TLSRequired bool
	// MaxClients bounds client connections; one more is answered 1040 before it logs in. Default 10,000.
	MaxClients int
	// HandshakeTimeout bounds a log-in. Default 10s.
	HandshakeTimeout time.Duration
	// IdleTimeout closes a client that sent nothing for so long. Default 8h, as MySQL's wait_timeout.
	IdleTimeout time.Duration
	// QueryTimeout cancels a statement that runs longer. Default 0: none.
	QueryTimeout time.Duration
	// TxIdleTimeout ends a transaction whose client sent nothing for so long. Default 0: none beyond the server's own.
	TxIdleTimeout time.Duration
	// TxTimeout ends a transaction that is older. Default 0: none.
	TxTimeout time.Duration
	// SlowQuery logs statements that took longer, by digest. Default 1s; negative: never.
	SlowQuery time.Duration
	// MaxPacket is the longest client packet that is taken, in bytes. Default 64 MiB.
	MaxPacket int
	// MaxStatements bounds the prepared statements that one client holds open. Default 16,382, as MySQL's max_prepared_stmt_count.
	MaxStatements int
	// LocalInfile lets clients use LOAD DATA LOCAL. Default false.
	LocalInfile bool
	// ProxyNetworks are those from which a PROXY protocol header (v1, v2) is required; from others it is refused.
	ProxyNetworks []netip.Prefix
	// Consistency is the default level: session (default) or eventual.
	Consistency string
	// Digests bounds the table of digests. Default 1,000.
	Digests int
}

// User may log in to Leat.
type User struct {
	Name string
	// Password in clear; or Verifier: '*' and 40 hex digits (mysql_native_password), or '$A$005$...'
	// (caching_sha2_password), as in the server's mysql.user table.
	Password string
	Verifier string
	// ServerUser and ServerPassword log in to the servers. Default: Name and Password.
	ServerUser, ServerPassword string
	// From lists the networks the user may come from. Empty: anywhere.
	From []netip.Prefix
	// Class is online (default) or batch: which replicas take the user's reads.
	Class string
	// Admin may kill any client's statement.
	Admin bool
}
