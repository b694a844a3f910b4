// Listening: TCP ports that an old and a new process share while one takes over from the other (handover.go),
// and unix sockets that a new process takes over at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lastAccepts is how long a listener that stops takes what has connected already.
const lastAccepts = 50 * time.Millisecond

// listener is a listener that can stop without refusing those who have connected but aren't accepted yet.
type listener struct {
	stoppable
	path    string            // of a unix socket
	file    fs.FileInfo       // what was at path at first
	door    *net.UnixListener // where a new process asks for the socket; nil: nowhere
	given   atomic.Bool       // it did
	once    sync.Once
	stopped chan struct{}
}

// stoppable is what TCP and unix listeners have in common.
type stoppable interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

// listen opens a TCP port or, for an address with a slash, a unix socket with that mode. If a running Leat has
// it already, both share it until that one stops.
func listen(ctx context.Context, address string, mode fs.FileMode) (*listener, error) {
	l, err := inherit(address)
	switch {
	case err == nil:
	case isSocketPath(address):
		l, err = listenUnix(address, mode)
	default:
		l, err = listenTCP(ctx, address)
	}
	if err != nil {
		return nil, err
	}
	out := &listener{stoppable: l, door: openDoor(address), stopped: make(chan struct{})}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // it may be another process's by then: see cleanup
		out.path = address
		out.file, _ = os.Lstat(address)
	}
	return out, nil
}

func listenTCP(ctx context.Context, address string) (stoppable, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var opt error
		err := c.Control(func(fd uintptr) { opt = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(err, opt)
	}}
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; is something else listening there? Choose another address in the config", err)
	}
	return l.(*net.TCPListener), nil
}

// listenUnix opens a socket under a name of its own and renames it over the path: what an earlier process
// left there goes, and there is always one that answers.
func listenUnix(path string, mode fs.FileMode) (stoppable, error) {
	own := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(own) // of an earlier process with this pid
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: own, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("%w; does the directory exist, and may Leat write to it?", err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(own, mode)
	if err == nil {
		err = os.Rename(own, path)
	}
	if err != nil {
		l.Close()
		_ = os.Remove(own)
		return nil, err
	}
	return l, nil
}

// cleanup removes the path of a unix socket, unless another process has it now.
func (l *listener) cleanup() {
	if l.door != nil {
		l.door.Close()
	}
	if l.path == "" || l.file == nil || l.given.Load() {
		return
	}
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(l.file, now) {
		_ = os.Remove(l.path)
	}
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.stoppable.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.Close()
		return nil, net.ErrClosed
	}
	return conn, err
}

// Close stops at once.
func (l *listener) Close() error {
	err := l.stoppable.Close()
	l.once.Do(func() {
		l.cleanup()
		close(l.stopped)
	})
	return err
}

// Stop ends accepting without refusing those who have connected: they are the new process's if there is one;
// else Accept returns them before the listener closes.
func (l *listener) Stop() {
	if l.given.Load() {
		l.Close()
		return
	}
	_ = l.SetDeadline(time.Now().Add(lastAccepts))
	select {
	case <-l.stopped:
	case <-time.After(10 * lastAccepts):
		l.Close() // nobody was accepting
	}
}
