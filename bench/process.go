package main

// Processes under measurement: started, asked for their CPU time and memory, and ended.

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a child of this program, which dies with it.
type process struct {
	cmd *exec.Cmd
	log string
}

// startProcess runs a program with its output in a log file, and waits until it accepts connections at
// address, at most 20s.
func startProcess(ctx context.Context, log, address string, argv ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), log: log}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := waitListening(ctx, address, 20*time.Second); err != nil {
		p.stop()
		text, _ := os.ReadFile(log)
		return nil, fmt.Errorf("%s: %w; it said:\n%s", argv[0], err, text)
	}
	return p, nil
}

// stop ends the process at once.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func waitListening(ctx context.Context, address string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on %s after %s: %w", address, limit, err)
		case <-tick.C:
		}
	}
}

// cpuTime is what a process and its children have used so far, user and system, with ended threads but without ended
// children.
func cpuTime(pid int) (time.Duration, error) {
	sum, err := ownCPUTime(pid)
	if err != nil {
		return 0, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for child := range strings.FieldsSeq(string(children)) {
		n, err := strconv.Atoi(child)
		if err != nil {
			return 0, err
		}
		used, err := ownCPUTime(n)
		if err != nil {
			continue // it has ended
		}
		sum += used
	}
	return sum, nil
}

// ownCPUTime is a process's own. The scheduler counts it in nanoseconds, where /proc/PID/stat has ticks of 10 ms.
func ownCPUTime(pid int) (time.Duration, error) {
	const schedClock = 2
	var ts unix.Timespec
	clock := int32(^pid<<3 | schedClock) // clock_getcpuclockid(3)
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// residentBytes is a process's resident memory.
func residentBytes(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		if rest, ok := strings.CutPrefix(in.Text(), "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS of process %d", pid)
}
