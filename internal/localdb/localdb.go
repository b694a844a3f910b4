// Package localdb runs real MySQL, MariaDB and PostgreSQL servers on loopback, alone or as a primary with
// replicas, for the demo, the end-to-end tests and the benchmarks. A server can be killed, stopped,
// restarted and promoted, as happens to servers in production.
//
// It installs nothing (scripts/install-servers.sh does), and it is not for data that matters:
// nothing is synced to disk, and the passwords are public.
package localdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Flavor is the family of a server.
type Flavor string

// The flavors that can be started.
const (
	MySQL      Flavor = "mysql"
	MariaDB    Flavor = "mariadb"
	Postgres   Flavor = "postgres"   // the system's version
	Postgres18 Flavor = "postgres18" // or later
)

// Flavors are those of MySQL's dialect, for tests that run on each.
var Flavors = []Flavor{MariaDB, MySQL}

// PostgresFlavors are those of PostgreSQL's.
var PostgresFlavors = []Flavor{Postgres, Postgres18}

// Users that every server has, from any address. Root may log in without a password: from loopback on MySQL's kin,
// over the unix socket in Server.Dir on PostgreSQL.
const (
	AppUser         = "app" // may do everything with data, and is bound by read_only
	AppPassword     = "app-secret"
	MonitorUser     = "leat_monitor" // may read the state of replication
	MonitorPassword = "monitor-secret"
	ReplUser        = "repl" // replicas read the primary's log with it
	ReplPassword    = "repl-secret"
)

// StartTimeout bounds one start of a server, with crash recovery, and one graceful stop.
const StartTimeout = 90 * time.Second

// ErrNotInstalled is returned by Find and Start where the machine has no server of the flavor.
var ErrNotInstalled = errors.New("not installed; scripts/install-servers.sh installs it")

// Options say what to start.
type Options struct {
	Flavor Flavor
	// Dir holds the server's data and error log. Default: a temporary one, removed by Close.
	// A Dir that holds data already is used as it is.
	Dir string
	// Port on 127.0.0.1. Default 0: a free one.
	Port int
	// ServerID for replication. Default 1.
	ServerID int
	// ReadOnly starts the server with read_only (and super_read_only on MySQL). PostgreSQL starts as a standby that
	// follows nobody yet.
	ReadOnly bool
	// Extra are further options of the server program, e.g. --max-connections=20, in the same form for each flavor.
	// They stand last, so they win over the defaults here.
	Extra []string
}

// Server is one database server on loopback. Its methods may be used by several goroutines, except
// that those which start and stop it are for one at a time.
type Server struct {
	// Port on 127.0.0.1. It stays the same over restarts.
	Port int

	opts    Options
	install *Install
	dir     string
	ownDir  bool

	// mu guards proc.
	mu   sync.Mutex
	proc *process // nil while down
}

// Start starts a server and waits until it answers, at most StartTimeout. The server dies with this
// process. An error carries the end of the server's log.
func Start(ctx context.Context, opts Options) (*Server, error) {
	install, err := Find(ctx, opts.Flavor)
	if err != nil {
		return nil, err
	}
	if opts.ServerID == 0 {
		opts.ServerID = 1
	}
	s := &Server{opts: opts, install: install, dir: opts.Dir, Port: opts.Port}
	if s.dir == "" {
		if s.dir, err = tempDir(); err != nil {
			return nil, err
		}
		s.ownDir = true
	}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.startOnFreePort(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// prepare fills an empty directory with the template's data.
func (s *Server) prepare(ctx context.Context) error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	s.dir = dir
	if _, err := os.Stat(s.dataDir()); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := giveTo(s.install.family.owner(), dir); err != nil {
		return err
	}
	if err := s.install.copyTemplate(ctx, s.dataDir()); err != nil || !s.opts.ReadOnly {
		return err
	}
	return s.install.family.asReplica(s)
}

// startOnFreePort starts the server. A free port may be lost to another process before the server
// binds it, so it is tried on several.
func (s *Server) startOnFreePort(ctx context.Context) error {
	if s.Port != 0 {
		return s.start(ctx)
	}
	var err error
	for range 5 {
		if s.Port, err = FreePort(); err != nil {
			return err
		}
		if err = s.start(ctx); err == nil || !s.portTaken() {
			return err
		}
	}
	return err
}

// portTaken reports whether the server's log says that it couldn't bind its port.
func (s *Server) portTaken() bool {
	log := logTail(s.logFile(), 4096)
	return slices.ContainsFunc(s.install.family.portTaken(), func(text string) bool { return strings.Contains(log, text) })
}

func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	proc, err := s.install.spawn(s.install.family.args(s), s.logFile())
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proc = proc
	s.mu.Unlock()
	if err := s.waitReady(ctx, proc); err != nil {
		s.Kill()
		return fmt.Errorf("start %s on port %d: %w; its log ends:\n%s", s.opts.Flavor, s.Port, err, logTail(s.logFile(), 3000))
	}
	return nil
}

// waitReady waits until the server answers. It asks for the data directory, since another server
// may have taken the port.
func (s *Server) waitReady(ctx context.Context, proc *process) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-proc.done:
			return fmt.Errorf("it exited: %v", proc.err)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		dir, err := s.install.family.dataDir(ctx, s)
		if err == nil && filepath.Clean(dir) == s.dataDir() {
			return nil
		}
	}
}

// Flavor of the server.
func (s *Server) Flavor() Flavor { return s.opts.Flavor }

// Dir holds the server's data directory ("data") and error log ("error.log").
func (s *Server) Dir() string { return s.dir }

// Addr is the server's host:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// Log is the end of the server's error log, at most 16 KiB.
func (s *Server) Log() string { return logTail(s.logFile(), 16<<10) }

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "error.log") }
