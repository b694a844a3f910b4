// Bench measures what Leat costs, next to what it is compared with: no proxy at all, HAProxy in TCP mode,
// the least that a Go program can do (bench/relay), and for PostgreSQL the poolers PgBouncer and pgpool. All of them stand in front of the same database
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
	partLookups = "lookups" // sysbench or pgbench
	partEOF     = "eof"     // a client with DEPRECATE_EOF; sysbench's has it not. MySQL's kin only
	partRows    = "rows"    // replies of 100 rows, and allocations per request and row
	partLogins  = "logins"
	partIdle    = "idle" // memory of idle clients
)

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
	f.StringVar(&o.flavor, "flavor", string(localdb.MariaDB), "mariadb, mysql, postgres or postgres18")
	f.IntVar(&o.rounds, "rounds", 3, "rounds of each workload; medians are reported")
	f.IntVar(&seconds, "seconds", 2, "seconds of each target's turn in a round")
	f.StringVar(&conns, "conns", "1,16,64", "client connections of the lookups")
	f.StringVar(&targets, "targets", "", "any of "+strings.Join(allTargets, ",")+" (default: those that the flavor is usually compared with)")
	f.StringVar(&parts, "parts", "", "any of lookups,eof,rows,logins,idle (default: all that the flavor has)")
	f.IntVar(&o.idle, "idle", 5000, "clients of the part idle")
	f.IntVar(&o.pool, "pool", 0, "Leat's conns per server; 0: its default")
	f.StringVar(&o.programs, "programs", "bin", "directory of the programs leat and relay")
	f.StringVar(&o.script, "script", "bench/lookup.lua", "sysbench's script")
	f.StringVar(&o.profile, "profile", "", "write profiles of Leat under lookups of 16 clients to this file, .profile and .allocs, and measure nothing")
	f.StringVar(&o.profileMode, "profile-mode", "", "text or prepared; for PostgreSQL simple, extended or prepared (default: the first)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.length = time.Duration(seconds) * time.Second
	if !slices.Contains(slices.Concat(localdb.Flavors, localdb.PostgresFlavors), localdb.Flavor(o.flavor)) {
		return o, fmt.Errorf("no flavor is called %q", o.flavor)
	}
	d := dialectOf(o, "")
	o.targets, o.parts = listOr(targets, d.targets), listOr(parts, d.parts)
	for _, part := range o.parts {
		if !slices.Contains(d.parts, part) {
			return o, fmt.Errorf("no part of %s is called %q; there are %s", o.flavor, part, strings.Join(d.parts, ", "))
		}
	}
	if o.profileMode == "" {
		o.profileMode = d.modes[0]
	}
	if !slices.Contains(d.modes, o.profileMode) {
		return o, fmt.Errorf("no mode of %s is called %q; there are %s", o.flavor, o.profileMode, strings.Join(d.modes, ", "))
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

// listOr splits a list at its commas; an empty one is the default.
func listOr(list string, otherwise []string) []string {
	if list == "" {
		return otherwise
	}
	return strings.Split(list, ",")
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
	d := dialectOf(o, dir)
	servers, err := d.start(ctx, localdb.Flavor(o.flavor))
	if err != nil {
		return err
	}
	defer servers.Close()
	s := &starter{dialect: d, dir: dir, programs: o.programs, pool: o.pool}
	targets, err := s.startAll(ctx, o.targets, servers)
	if err != nil {
		return err
	}
	defer stopAll(targets)
	b := &bench{options: o, dialect: d, starter: s, targets: targets, out: out}
	if o.profile != "" {
		return b.profileLeat(ctx)
	}
	version, err := servers.Primary().Value(ctx, d.version)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s; %s %s; %d rounds of %s\n", machine(), o.flavor, version, o.rounds, o.length)
	return b.run(ctx)
}
