package main

// What is measured: the server itself, and the proxies in front of it.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"leat/internal/localdb"
)

// Names of targets, in the order of the report.
const (
	direct    = "direct"
	haproxy   = "haproxy" // in TCP mode
	relay     = "relay"   // bench/relay
	splice    = "splice"  // bench/relay -splice
	leat      = "leat"
	base      = "base" // another build of Leat, the program leat-base, to tell what a change costs
	pgbouncer = "pgbouncer"
	pgpool    = "pgpool"
)

var allTargets = []string{direct, haproxy, relay, splice, leat, base, pgbouncer, pgpool}

// target is one way to the server.
type target struct {
	name    string
	address string
	proc    *process // nil for direct
	admin   string   // Leat's admin port; else empty
	pools   bool     // clients log in to it, not to the server behind it
}

// pid of the proxy, 0 for direct.
func (t *target) pid() int {
	if t.proc == nil {
		return 0
	}
	return t.proc.cmd.Process.Pid
}

func (t *target) port() string { return t.address[strings.LastIndexByte(t.address, ':')+1:] }

// starter starts targets with files in a directory.
type starter struct {
	*dialect
	dir      string // logs and configs
	programs string // where the programs leat and relay are
	pool     int    // of Leat; 0: its default
}

// start starts one target in front of the servers.
func (s *starter) start(ctx context.Context, name string, servers *localdb.Topology) (*target, error) {
	to := s.reads(servers).Addr()
	switch name {
	case leat:
		return s.startLeat(ctx, leat, "leat", servers)
	case base:
		return s.startLeat(ctx, base, "leat-base", servers)
	case pgbouncer:
		return s.startPgBouncer(ctx, to)
	case pgpool:
		return s.startPgpool(ctx, to)
	}
	return s.startTCP(ctx, name, to)
}

// startTCP starts a target that knows no protocol, in front of any address.
func (s *starter) startTCP(ctx context.Context, name, to string) (*target, error) {
	if name == direct {
		return &target{name: direct, address: to}, nil
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	var argv []string
	switch name {
	case haproxy:
		config := filepath.Join(s.dir, "haproxy.cfg")
		if err := os.WriteFile(config, []byte(haproxyConfig(address, to)), 0o644); err != nil {
			return nil, err
		}
		argv = []string{"haproxy", "-db", "-f", config}
	case relay:
		argv = []string{filepath.Join(s.programs, "relay"), "-listen", address, "-to", to}
	case splice:
		argv = []string{filepath.Join(s.programs, "relay"), "-splice", "-listen", address, "-to", to}
	default:
		return nil, fmt.Errorf("no target is called %q; there are %s", name, strings.Join(allTargets, ", "))
	}
	p, err := startProcess(ctx, filepath.Join(s.dir, name+".log"), address, argv...)
	if err != nil {
		return nil, err
	}
	return &target{name: name, address: address, proc: p}, nil
}

func haproxyConfig(listen, to string) string {
	return fmt.Sprintf(`global
    maxconn 6000
    no strict-limits
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen database
    bind %s
    server main %s
`, listen, to)
}

func (s *starter) startLeat(ctx context.Context, name, program string, servers *localdb.Topology) (*target, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(s.dir, name+".yaml")
	if err := os.WriteFile(config, []byte(s.leatConfig(address, admin, servers)), 0o600); err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, filepath.Join(s.dir, name+".log"), address, filepath.Join(s.programs, program), "serve", "--config", config)
	if err != nil {
		return nil, err
	}
	return &target{name: name, address: address, admin: admin, proc: p, pools: true}, nil
}

// leatConfig is what a user would write, with the defaults for all that matters to speed.
func (s *starter) leatConfig(address, admin string, servers *localdb.Topology) string {
	pool := ""
	if s.pool > 0 {
		pool = fmt.Sprintf("    pool: {size: %d}\n", s.pool)
	}
	replicas := ""
	for _, r := range servers.Replicas() {
		replicas += fmt.Sprintf("    replicas: [%q]\n", r.Addr())
	}
	return fmt.Sprintf(`listen: {%s: %q, admin: %q}
users:
  - {name: %s, password: %s}
monitor: {user: %s, password: %s}
limits: {clients: 10000}
shards:
  - name: main
    dialect: %s
    primary: %s
`, s.name, address, admin, localdb.AppUser, localdb.AppPassword, localdb.MonitorUser, localdb.MonitorPassword,
		s.name, servers.Primary().Addr()) + replicas + pool
}

func freeAddress() (string, error) {
	port, err := localdb.FreePort()
	return "127.0.0.1:" + strconv.Itoa(port), err
}

// startAll starts targets by name; a pooler that this machine hasn't is left out, with a line. When one fails those
// before it are stopped.
func (s *starter) startAll(ctx context.Context, names []string, servers *localdb.Topology) ([]*target, error) {
	var all []*target
	for _, name := range names {
		t, err := s.start(ctx, name, servers)
		if errors.Is(err, errNoPooler) {
			fmt.Fprintf(os.Stderr, "%v; it is left out\n", err)
			continue
		}
		if err != nil {
			stopAll(all)
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func stopAll(targets []*target) {
	for _, t := range targets {
		if t.proc != nil {
			t.proc.stop()
		}
	}
}

// find is the target of a name, or nil.
func find(targets []*target, name string) *target {
	i := slices.IndexFunc(targets, func(t *target) bool { return t.name == name })
	if i < 0 {
		return nil
	}
	return targets[i]
}
