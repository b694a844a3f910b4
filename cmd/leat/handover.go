// Handing a listening socket from an old process to a new one, so that no client is refused while one takes
// over from the other: both accept from the same socket until the old one has drained. The new process asks under a
// name in Linux's abstract namespace; only a process of the same user gets an answer.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// handoverWait bounds the exchange; without an answer the new process opens the port itself.
const handoverWait = 2 * time.Second

// handoverAddr is where the socket of an address is asked for.
func handoverAddr(address string) *net.UnixAddr {
	if isSocketPath(address) {
		if path, err := filepath.Abs(address); err == nil {
			address = path
		}
	}
	return &net.UnixAddr{Name: "@leat/" + address, Net: "unix"}
}

// inherit asks a running Leat for its listener on an address. The error says why there is none.
func inherit(address string) (stoppable, error) {
	conn, err := net.DialUnix("unix", nil, handoverAddr(address))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := sameUser(conn); err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(handoverWait))
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.New("no socket came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("no socket came")
	}
	unix.CloseOnExec(fds[0])
	f := os.NewFile(uintptr(fds[0]), "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	out, ok := l.(stoppable)
	if !ok {
		l.Close()
		return nil, errors.New("what came can't be accepted from")
	}
	return out, nil
}

// openDoor is where a new process may ask for the socket of an address; nil if another Leat has the port too,
// or nobody could know the address: a new process can open the port by itself as well.
func openDoor(address string) *net.UnixListener {
	if _, port, _ := net.SplitHostPort(address); port == "0" {
		return nil
	}
	door, err := net.ListenUnix("unix", handoverAddr(address))
	if err != nil {
		return nil
	}
	return door
}

// Offer waits for a new process to ask for the port, gives it the socket, and returns; or returns when ctx
// ends or the listener is closed.
func (l *listener) Offer(ctx context.Context) {
	if l.door == nil {
		return
	}
	defer l.door.Close()
	defer context.AfterFunc(ctx, func() { l.door.Close() })()
	for !l.given.Load() {
		conn, err := l.door.AcceptUnix()
		if err != nil {
			return
		}
		if sameUser(conn) == nil {
			l.give(conn)
		}
		conn.Close()
	}
}

// give sends the socket. The door is closed before: it is for the new process to offer the port from now on.
func (l *listener) give(conn *net.UnixConn) {
	l.door.Close()
	raw, err := l.SyscallConn()
	if err != nil {
		return // closed: there is nothing to give
	}
	l.given.Store(true)
	_ = conn.SetDeadline(time.Now().Add(handoverWait))
	_ = raw.Control(func(fd uintptr) {
		if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(int(fd)), nil); err != nil {
			l.given.Store(false)
		}
	})
}

// sameUser refuses a peer that is somebody else's process.
func sameUser(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var asked error
	err = raw.Control(func(fd uintptr) { cred, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, asked); err != nil {
		return err
	}
	if int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("a process of user %d is at the other end", cred.Uid)
	}
	return nil
}
