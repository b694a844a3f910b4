package main

// PostgreSQL's servers and the load from pgbench, whose client is libpq: its own SELECT (pgbench -S), one row by
// primary key out of 100,000, and replies of 100 rows.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"leat/internal/localdb"
)

// Modes of pgbench: its -M. Prepared is as for MySQL.
const (
	modeSimple   = "simple"
	modeExtended = "extended"
)

// hundredRows is a transaction of pgbench: a range of the key.
const hundredRows = `\set first random(1, 99901)
SELECT aid, bid, abalance, filler FROM pgbench_accounts WHERE aid BETWEEN :first AND :first + 99;
`

// startPostgres runs a lone primary with pgbench's tables. There is room for the pools of all targets.
func startPostgres(ctx context.Context, flavor localdb.Flavor) (*localdb.Topology, error) {
	t, err := localdb.StartTopologyWith(ctx, localdb.TopologyOptions{Flavor: flavor, Extra: []string{"--max-connections=500"}})
	if err != nil {
		return nil, err
	}
	cmd := pgbenchCommand(ctx, t.Primary().Addr(), "-i", "-s", "1", "-q")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Close()
		return nil, fmt.Errorf("fill pgbench's tables: %w\n%s", err, out)
	}
	return t, nil
}

func pgbenchCommand(ctx context.Context, address string, args ...string) *exec.Cmd {
	host, port, _ := strings.Cut(address, ":")
	cmd := exec.CommandContext(ctx, "pgbench", append(args, "-h", host, "-p", port, "-U", localdb.AppUser, localdb.AppDatabase)...)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+localdb.AppPassword, "PGSSLMODE=disable", "PGGSSENCMODE=disable")
	return cmd
}

// pgbench runs it, with its files in a directory.
type pgbench struct{ dir string }

// errNoProgress is of a run that was too short: pgbench's time goes by while it logs in.
var errNoProgress = errors.New("pgbench showed too little progress")

// run runs a workload. CPU time is taken from pgbench's first line of progress to its last: it logs in and warms up
// for the second before. A run that was too short, on a busy machine, is followed by longer ones.
func (p *pgbench) run(ctx context.Context, t *target, w workload, length time.Duration) (s sample, err error) {
	const loginsPerSecond = 16
	seconds := max(2, int(length.Seconds())+1) + w.conns/loginsPerSecond
	for range 3 {
		if s, err = p.runOnce(ctx, t, w, seconds); !errors.Is(err, errNoProgress) {
			return s, err
		}
		seconds *= 2
	}
	return s, err
}

func (p *pgbench) runOnce(ctx context.Context, t *target, w workload, seconds int) (sample, error) {
	dir, err := os.MkdirTemp(p.dir, "pgbench-")
	if err != nil {
		return sample{}, err
	}
	defer os.RemoveAll(dir)
	args := []string{
		"-n", "-M", w.mode, "-c", strconv.Itoa(w.conns), "-T", strconv.Itoa(seconds), "-P", "1",
		"-l", "--log-prefix=" + filepath.Join(dir, "log"),
	}
	if w.rows <= 1 {
		args = append(args, "-S")
	} else {
		script := filepath.Join(dir, "rows.sql")
		if err := os.WriteFile(script, []byte(hundredRows), 0o644); err != nil {
			return sample{}, err
		}
		args = append(args, "-f", script)
	}
	cmd := pgbenchCommand(ctx, t.address, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return sample{}, err
	}
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	progress, text, err := watchPgbench(stderr, t.pid())
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return sample{}, fmt.Errorf("pgbench against %s: %w\n%s", t.name, err, text)
	}
	latencies, err := readPgbenchLogs(dir)
	if err != nil {
		return sample{}, fmt.Errorf("pgbench against %s: %w", t.name, err)
	}
	s, err := pgbenchSample(progress, latencies)
	if err != nil {
		return sample{}, fmt.Errorf("pgbench against %s: %w", t.name, err)
	}
	return s, nil
}

// progressPoint is a line of pgbench's progress: the rate since the line before.
type progressPoint struct {
	at        time.Time
	cpu       time.Duration // that the proxy has used so far
	perSecond float64
}

var progressLine = regexp.MustCompile(`^progress: [\d.]+ s, ([\d.]+) tps, .* (\d+) failed`)

// watchPgbench reads what pgbench says while it runs, and notes the proxy's CPU time at each line of progress.
func watchPgbench(stderr io.Reader, pid int) (points []progressPoint, text string, err error) {
	var other strings.Builder
	in := bufio.NewScanner(stderr)
	for in.Scan() {
		m := progressLine.FindStringSubmatch(in.Text())
		if m == nil {
			other.WriteString(in.Text() + "\n")
			continue
		}
		p := progressPoint{at: time.Now()}
		if p.perSecond, err = strconv.ParseFloat(m[1], 64); err != nil {
			return nil, "", err
		}
		if m[2] != "0" {
			return nil, "", fmt.Errorf("%s transactions failed", m[2])
		}
		if pid != 0 {
			if p.cpu, err = cpuTime(pid); err != nil {
				return nil, "", err
			}
		}
		points = append(points, p)
	}
	return points, other.String(), in.Err()
}

// pgbenchSample sums up. The CPU time is scaled from the time between first and last point to all queries.
func pgbenchSample(points []progressPoint, latencies *histogram) (sample, error) {
	if len(points) < 2 || latencies.count == 0 {
		return sample{}, fmt.Errorf("%w: %d lines, %d queries", errNoProgress, len(points), latencies.count)
	}
	first, last := points[0], points[len(points)-1]
	var queries float64
	for i, p := range points[1:] {
		queries += p.perSecond * p.at.Sub(points[i].at).Seconds()
	}
	if queries == 0 {
		return sample{}, fmt.Errorf("%w: its queries came to a stop", errNoProgress)
	}
	s := sample{
		queries: latencies.count, perSecond: queries / last.at.Sub(first.at).Seconds(),
		cpu: time.Duration(float64(last.cpu-first.cpu) / queries * float64(latencies.count)),
	}
	s.percentiles(latencies)
	return s, nil
}

// readPgbenchLogs reads the latencies of all transactions: the third word of a line, in µs.
func readPgbenchLogs(dir string) (*histogram, error) {
	files, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil {
		return nil, err
	}
	var h histogram
	for _, name := range files {
		if err := readPgbenchLog(name, &h); err != nil {
			return nil, err
		}
	}
	return &h, nil
}

func readPgbenchLog(name string, h *histogram) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		words := strings.Fields(in.Text())
		if len(words) < 3 {
			return fmt.Errorf("pgbench's log has a line %q", in.Text())
		}
		micros, err := strconv.Atoi(words[2])
		if err != nil {
			return fmt.Errorf("pgbench's log has a line %q", in.Text())
		}
		h.add(time.Duration(micros)*time.Microsecond, 1)
	}
	return in.Err()
}
