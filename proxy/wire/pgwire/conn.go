package pgwire

// conn.go: one logged-in connection to a PostgreSQL server.

import (
	"net"

	"leat/proxy/wire"
)

// Conn is a connection to a server.
type Conn struct {
	nc       net.Conn
	in       reader
	out      writer
	pid      uint32 // of the server process
	key      []byte // for Cancel
	greeting wire.Greeting
	readOnly bool // opened for a replica: writes fail
	tx       wire.TxState
	state    *wire.State
}

// newConn makes a Conn of a connection on which Leat has logged in.
func newConn(in *loggedIn, l *wire.Login) *Conn {
	return &Conn{
		nc: in.nc, in: in.in, out: in.out, pid: in.pid, key: in.key, readOnly: l.ReadOnly, state: wire.NewState(l.Database),
		greeting: wire.Greeting{Version: in.version(), Flavor: wire.FlavorPostgres, Params: in.params},
	}
}
