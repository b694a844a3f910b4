package pgwire

// Accept: the log-in of a client to Leat.

import (
	"net"

	"leat/proxy/wire"
)

// accepted is a client that has proven who it is, and waits to hear whether it may come in.
type accepted struct {
	nc       net.Conn // the one that was given, or TLS on it
	in       reader   // of nc; may hold what the client has sent ahead
	out      writer   // of nc; may hold the end of the authentication
	version  uint32   // of the protocol, version30 or version32
	user     string
	database string
	// params are the settings that the client asked for, names in lower case, the last value of each.
	params []wire.Var
	id     uint32 // for a request to cancel
	key    []byte
}
