package main

// Load from sysbench, whose client is libmariadb.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"leat/internal/localdb"
)

// runSysbench runs lookup.lua against a target. CPU time is taken from when all threads are logged in.
func runSysbench(ctx context.Context, script string, t *target, w workload, length time.Duration) (sample, error) {
	cmd := exec.CommandContext(ctx, "stdbuf", "-oL", "sysbench", script, "--db-driver=mysql",
		"--mysql-host=127.0.0.1", "--mysql-port="+t.port(), "--mysql-db="+database,
		"--mysql-user="+localdb.AppUser, "--mysql-password="+localdb.AppPassword,
		"--mode="+w.mode, "--users="+strconv.Itoa(usersPerTenant), "--rand-type=uniform",
		"--threads="+strconv.Itoa(w.conns), "--time="+fmt.Sprintf("%.0f", length.Seconds()),
		"--events=0", "--histogram=on", "run")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return sample{}, err
	}
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	text, cpu, err := watchSysbench(bufio.NewScanner(stdout), t.pid())
	err = errors.Join(err, cmd.Wait())
	if err != nil {
		return sample{}, fmt.Errorf("sysbench against %s: %w\n%s%s", t.name, err, text, stderr.String())
	}
	s, err := parseSysbench(text)
	if err != nil {
		return sample{}, fmt.Errorf("sysbench against %s: %w in its output:\n%s", t.name, err, text)
	}
	s.cpu = cpu
	return s, nil
}

// watchSysbench collects sysbench's output, and the CPU time that the proxy used while it ran.
func watchSysbench(out *bufio.Scanner, pid int) (string, time.Duration, error) {
	var text strings.Builder
	meter := meter{pid: pid}
	var errs []error
	for out.Scan() {
		text.WriteString(out.Text() + "\n")
		switch strings.TrimSpace(out.Text()) {
		case "Threads started!":
			errs = append(errs, meter.start())
		case "SQL statistics:":
			errs = append(errs, meter.stop())
		}
	}
	return text.String(), meter.used, errors.Join(append(errs, out.Err())...)
}

var (
	eventsLine = regexp.MustCompile(`(?m)^ *transactions: +(\d+) +\(([\d.]+) per sec\.\)`)
	bucketLine = regexp.MustCompile(`(?m)^ +([\d.]+) \|\** *(\d+)$`)
)

// parseSysbench reads the count of events, their rate, and percentiles out of the histogram.
func parseSysbench(text string) (sample, error) {
	m := eventsLine.FindStringSubmatch(text)
	if m == nil {
		return sample{}, errors.New("no line of transactions")
	}
	var s sample
	s.queries, _ = strconv.Atoi(m[1])
	s.perSecond, _ = strconv.ParseFloat(m[2], 64)
	var h histogram
	for _, m := range bucketLine.FindAllStringSubmatch(text, -1) {
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return sample{}, err
		}
		n, _ := strconv.Atoi(m[2])
		h.add(time.Duration(ms*float64(time.Millisecond)), n)
	}
	if s.queries == 0 || h.count == 0 {
		return sample{}, errors.New("no queries or no histogram")
	}
	s.percentiles(&h)
	return s, nil
}
