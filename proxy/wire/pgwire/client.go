package pgwire

// client.go: one client's connection: answering it in its own terms.

import "net"

// Client is a client's connection.
type Client struct {
	nc    net.Conn
	in    reader
	out   writer
	limit int // longest message that is taken, in bytes

	accepted *accepted // what the client said when it logged in
}

// newClient makes a Client of an accepted connection, which waits for Admit or Refuse.
func newClient(a *accepted, maxPacket int) *Client {
	return &Client{nc: a.nc, in: a.in, out: a.out, limit: maxPacket, accepted: a}
}
