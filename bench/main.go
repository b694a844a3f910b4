// Bench measures what Leat costs, next to what it is compared with: no proxy at all, HAProxy in TCP mode,
// and the least that a Go program can do (bench/relay). All of them stand in front of the same database
// server, started for the purpose, and take turns of a few seconds, so that a noisy machine is noisy for
// all. bench/run.sh builds and runs it; docs/benchmarks.md explains the columns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"leat/internal/localdb"
)

// options are the command line.
type options struct {
	flavor   string
	rounds   int
	length   time.Duration
	conns    []int
	targets  []string
	parts    []string
	idle     int
	pool     int
	programs string
	script   string
	profile  string

	profileMode string
}

// The parts of the benchmark, in their order.
const (
	partLookups = "lookups" // sysbench
	partEOF     = "eof"     // a client with DEPRECATE_EOF; sysbench's has it not
	partRows    = "rows"    // replies of 100 rows, and allocations per request and row
	partLogins  = "logins"
	partIdle    = "idle" // memory of idle clients
)

var allParts = []string{partLookups, partEOF, partRows, partLogins, partIdle}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	var conns, targets, parts string
	var seconds int
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.flavor, "flavor", "mariadb", "mariadb or mysql")
	f.IntVar(&o.rounds, "rounds", 3, "rounds of each workload; medians are reported")
	f.IntVar(&seconds, "seconds", 2, "seconds of each target's turn in a round")
	f.StringVar(&conns, "conns", "1,16,64", "client connections of the lookups")
	f.StringVar(&targets, "targets", "direct,haproxy,relay,leat", "any of "+strings.Join(allTargets, ","))
	f.StringVar(&parts, "parts", strings.Join(allParts, ","), "any of them")
	f.IntVar(&o.idle, "idle", 5000, "clients of the part idle")
	f.IntVar(&o.pool, "pool", 0, "Leat's conns per server; 0: its default")
	f.StringVar(&o.programs, "programs", "bin", "directory of the programs leat and relay")
	f.StringVar(&o.script, "script", "bench/lookup.lua", "sysbench's script")
	f.StringVar(&o.profile, "profile", "", "write profiles of Leat under lookups of 16 clients to this file, .profile and .allocs, and measure nothing")
	f.StringVar(&o.profileMode, "profile-mode", modeText, "text or prepared")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.length = time.Duration(seconds) * time.Second
	o.targets, o.parts = strings.Split(targets, ","), strings.Split(parts, ",")
	for _, part := range o.parts {
		if !slices.Contains(allParts, part) {
			return o, fmt.Errorf("no part is called %q; there are %s", part, strings.Join(allParts, ", "))
		}
	}
	for s := range strings.SplitSeq(conns, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-conns: %q is no number of connections", s)
		}
		o.conns = append(o.conns, n)
	}
	if o.rounds < 1 || o.length <= 0 {
		return o, errors.New("-rounds and -seconds must be above 0")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseFlags(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "leat-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	servers, err := startServers(ctx, localdb.Flavor(o.flavor))
	if err != nil {
		return err
	}
	defer servers.Close()
	s := &starter{dir: dir, programs: o.programs, pool: o.pool}
	targets, err := s.startAll(ctx, o.targets, servers)
	if err != nil {
		return err
	}
	defer stopAll(targets)
	b := &bench{options: o, starter: s, targets: targets, out: out}
	if o.profile != "" {
		return b.profileLeat(ctx)
	}
	version, err := servers.Primary().Value(ctx, "SELECT VERSION()")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s; server %s; %d rounds of %s\n", machine(), version, o.rounds, o.length)
	return b.run(ctx)
}
