// Listening: TCP ports that an old and a new process share while one takes over from the other, and unix
// sockets that a new process takes over at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lastAccepts is how long a listener that stops takes what has connected already.
const lastAccepts = 50 * time.Millisecond

// listener is a listener that can stop without refusing those who have connected but aren't accepted yet.
type listener struct {
	stoppable
	once    sync.Once
	stopped chan struct{}
	cleanup func()
}

// stoppable is what TCP and unix listeners have in common.
type stoppable interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

// listen opens a TCP port or, for an address with a slash, a unix socket with that mode.
func listen(ctx context.Context, address string, mode fs.FileMode) (*listener, error) {
	if isSocketPath(address) {
		return listenUnix(address, mode)
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var opt error
		err := c.Control(func(fd uintptr) { opt = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(err, opt)
	}}
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; is something else listening there? Choose another address in the config", err)
	}
	return &listener{stoppable: l.(*net.TCPListener), stopped: make(chan struct{}), cleanup: func() {}}, nil
}

// listenUnix opens a socket under a name of its own and renames it over the path, so that there is
// always one that answers.
func listenUnix(path string, mode fs.FileMode) (*listener, error) {
	own := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(own) // of an earlier process with this pid
	l, err := net.Listen("unix", own)
	if err != nil {
		return nil, fmt.Errorf("%w; does the directory exist, and may Leat write to it?", err)
	}
	unixListener := l.(*net.UnixListener)
	unixListener.SetUnlinkOnClose(false)
	err = os.Chmod(own, mode)
	if err == nil {
		err = os.Rename(own, path)
	}
	if err != nil {
		l.Close()
		_ = os.Remove(own)
		return nil, err
	}
	ours, _ := os.Lstat(path)
	cleanup := func() { // unless another process has taken the path over
		if now, err := os.Lstat(path); err == nil && ours != nil && os.SameFile(ours, now) {
			_ = os.Remove(path)
		}
	}
	return &listener{stoppable: unixListener, stopped: make(chan struct{}), cleanup: cleanup}, nil
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

// Stop lets no more connect, has Accept return those that have, and then closes. A second process that shares the port takes the rest; Linux moves even connections that are being
// made over to it if net.ipv4.tcp_migrate_req is 1.
func (l *listener) Stop() {
	if raw, err := l.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Listen(int(fd), 0) })
	}
	_ = l.SetDeadline(time.Now().Add(lastAccepts))
	select {
	case <-l.stopped:
	case <-time.After(10 * lastAccepts):
		l.Close() // nobody was accepting
	}
}
