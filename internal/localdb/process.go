package localdb

// The life of a server's process: started, paused, killed, started again.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// process is one run of a server program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has exited
	err  error         // why; to be read after done
}

// spawn starts the server program. The kernel kills it when this process dies.
func (in *Install) spawn(args []string, logFile string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := in.command(context.Background(), in.server, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", in.server, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID of the running server, or 0 while it is down.
func (s *Server) PID() int {
	if p := s.running(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

// running returns the process, or nil when the server is down.
func (s *Server) running() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	select {
	case <-s.proc.done:
		s.proc = nil
	default:
	}
	return s.proc
}

// Stop shuts the server down in order, closing its connections, and waits for its end. It is killed when ctx
// or StartTimeout ends first; the error says so.
func (s *Server) Stop(ctx context.Context) error {
	p := s.running()
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	p.signalAll(syscall.SIGCONT)
	p.signal(s.install.family.stopSignal())
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		s.Kill()
		return fmt.Errorf("%s on port %d didn't stop in time and was killed: %w", s.opts.Flavor, s.Port, ctx.Err())
	}
}

// Kill ends the server with SIGKILL, and waits until it is gone.
func (s *Server) Kill() {
	if p := s.running(); p != nil {
		p.kill()
		s.install.family.killed(s)
	}
}

// Pause stops the server with SIGSTOP: it keeps its connections and answers nothing.
func (s *Server) Pause() error {
	p := s.running()
	if p == nil {
		return errors.New("the server is down")
	}
	return p.pause()
}

// Resume lets a paused server go on.
func (s *Server) Resume() error {
	p := s.running()
	if p == nil {
		return errors.New("the server is down")
	}
	p.signalAll(syscall.SIGCONT)
	return nil
}

// Restart starts the server again on the same port and data, after stopping it if it runs.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.start(ctx)
}

// Close kills the server, and removes its directory if Start made it.
func (s *Server) Close() {
	s.Kill()
	if s.ownDir {
		os.RemoveAll(s.dir)
	}
}

// FreePort finds a port on 127.0.0.1 that nobody listens on. It is below the range that the kernel takes the
// ports of outgoing connections from, so that a server that is down doesn't lose it to one.
func FreePort() (int, error) {
	for range 200 {
		port := 15000 + rand.IntN(17000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port on 127.0.0.1")
}

// logTail is the end of a file, at most n bytes.
func logTail(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-n), io.SeekStart)
	}
	b, _ := io.ReadAll(io.LimitReader(f, n))
	return string(b)
}
