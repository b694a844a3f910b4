package stream

// socket.go: looking at a connection without reading from it.

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketOf finds the socket below TLS and compression; nil if there is none.
func socketOf(nc net.Conn) syscall.RawConn {
	for {
		if sc, ok := nc.(syscall.Conn); ok {
			raw, err := sc.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		}
		layer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = layer.NetConn()
	}
}

// Since is how long ago something began that a Reader's or Writer's Began was told of; 0: nothing did.
func Since(now time.Time, began *atomic.Int64) time.Duration {
	at := began.Load()
	if at == 0 {
		return 0
	}
	return max(0, now.Sub(time.Unix(0, at)))
}

// Gone reports whether the peer closed the connection, looking at the socket without reading: bytes may still wait
// in front of the end. It may be called beside a blocked read.
func (rd *Reader) Gone() bool {
	if rd.socket == nil {
		return false
	}
	gone := false
	err := rd.socket.Control(func(fd uintptr) {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds[:], 0)
		gone = err == nil && n > 0
	})
	return gone || err != nil
}

// Quiet reports whether the connection is open and nothing waits to be read.
func (rd *Reader) Quiet() bool {
	if rd.Buffered() > 0 {
		return false
	}
	quiet := true
	if rd.socket == nil {
		return quiet
	}
	err := rd.socket.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN || err == syscall.EINTR
	})
	return quiet && err == nil
}
