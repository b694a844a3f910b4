package pgwire

// The log-in of Leat to a server.

import (
	"net"

	"leat/proxy/wire"
)

// loggedIn is a connection to a server on which Leat is logged in.
type loggedIn struct {
	nc     net.Conn // the one given to login, or TLS on it
	in     reader   // of nc
	out    writer   // of nc
	pid    uint32
	key    []byte
	params []wire.Var // what the server reported, names as it spells them, in the order of their coming
}

// version is what the server calls itself.
func (in *loggedIn) version() string {
	for _, p := range in.params {
		if p.Name == "server_version" {
			return p.Value
		}
	}
	return ""
}
