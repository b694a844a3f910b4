// Telling systemd how far Leat is (sd_notify), when it asked to be told.
package main

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// notify sends one state, as READY=1. Without systemd it does nothing; a systemd that can't be reached is
// no reason to stop.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}

// notifyReloading says that a reload begins, in the form that Type=notify-reload wants.
func notifyReloading() {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	notify(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", ts.Nano()/1000))
}
