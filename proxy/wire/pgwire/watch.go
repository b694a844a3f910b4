package pgwire

// watch.go: what a server says while nobody asks it: notifications that a pinned session listens for, notices, and that
// the conn is closed.

import (
	"sync/atomic"
	"time"

	"leat/proxy/wire"
)

// Watch implements wire.HoldingConn, from a goroutine of its own. The conn must be outside of a transaction, where servers say nothing of their own.
func (c *Conn) Watch(client wire.Client) (stop func() error) {
	w := &watch{conn: c, to: client.(*Client), done: make(chan struct{})}
	go w.run()
	return w.end
}

// watch is one wait.
type watch struct {
	conn    *Conn
	to      *Client
	stopped atomic.Bool
	done    chan struct{}
}

func (w *watch) end() error {
	w.stopped.Store(true)
	w.conn.nc.SetReadDeadline(past)
	<-w.done
	w.conn.nc.SetReadDeadline(time.Time{})
	return w.conn.broken
}

func (w *watch) run() {
	defer close(w.done)
	for !w.stopped.Load() {
		kind, p, err := w.conn.in.frame(maxHeld)
		switch {
		case err != nil && isTimeout(err) && w.stopped.Load():
			return
		case err != nil:
			w.conn.broken = cutOff(err)
		case kind == repError:
			e := parseError(p)
			w.tell(appendServerFatal(nil, e))
			w.conn.broken = closedBy(e)
		case !isAsync(kind):
			w.conn.broken = malformed("a message that nobody asked for")
		default:
			w.async(kind, p)
		}
		if w.conn.broken != nil {
			w.to.Interrupt() // the session learns of it
			return
		}
		w.conn.in.discard(p)
	}
}

// async passes on a message that servers send at any time.
func (w *watch) async(kind byte, p []byte) {
	if kind == repParameterStatus {
		tell, err := w.conn.note(p)
		if err != nil {
			w.conn.broken = err
		}
		if !tell {
			return
		}
	}
	w.tell(w.conn.in.Bytes()[:headerSize+len(p)])
}

func (w *watch) tell(message []byte) {
	w.to.sending.Lock()
	defer w.to.sending.Unlock()
	w.to.out.Write(message)
	w.to.out.Flush()
}
