package localdb

// Signals to a server's process and to those that it has started: PostgreSQL has one per connection, each in
// a process group of its own.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// signalTimeout is how long a process may take to stop, or to be gone.
const signalTimeout = 5 * time.Second

// signal ignores the error: the process may have ended by itself, which its done channel tells.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// signalAll signals the process and its children.
func (p *process) signalAll(sig syscall.Signal) {
	p.signal(sig)
	for _, pid := range p.children() {
		_ = syscall.Kill(pid, sig)
	}
}

// pause stops the process and its children, and waits until they stand. The parent comes first, so that no
// child is born meanwhile.
func (p *process) pause() error {
	p.signal(syscall.SIGSTOP)
	if err := awaitState(p.cmd.Process.Pid, 'T'); err != nil {
		return err
	}
	for _, pid := range p.children() {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		if err := awaitState(pid, 'T'); err != nil {
			return err
		}
	}
	return nil
}

// kill ends the process and its children, and waits until they are gone.
func (p *process) kill() {
	p.signal(syscall.SIGSTOP)
	_ = awaitState(p.cmd.Process.Pid, 'T') // it may be gone
	children := p.children()
	p.signal(syscall.SIGKILL)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.done
	for _, pid := range children {
		_ = awaitState(pid, 'Z')
	}
}

// children are the process's own.
func (p *process) children() []int {
	var all []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if _, parent := state(pid); parent == p.cmd.Process.Pid {
			all = append(all, pid)
		}
	}
	return all
}

// awaitState waits until a process is in a state, or gone.
func awaitState(pid int, want byte) error {
	deadline := time.Now().Add(signalTimeout)
	for {
		switch got, _ := state(pid); got {
		case want, 'Z', 0:
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d took too long to stop", pid)
		}
		time.Sleep(time.Millisecond)
	}
}

// state is the kernel's letter for what a process does (T: stopped, Z: dead, and not yet asked for by its parent), or
// 0 when it is gone, and its parent.
func state(pid int) (letter byte, parent int) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	end := bytes.LastIndexByte(stat, ')') // the program's name may hold anything
	if err != nil || end < 0 {
		return 0, 0
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 2 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(string(fields[1]))
	return fields[0][0], parent
}
