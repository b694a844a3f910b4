package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const sysbenchOutput = `Threads started!

Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.099 |**                                       10
       0.200 |**************************************** 80
       1.000 |**                                       8
      12.500 |                                         2
 
SQL statistics:
    queries performed:
        read:                            100
    transactions:                        100   (1234.50 per sec.)
    queries:                             100   (1234.50 per sec.)
`

func TestParseSysbench(t *testing.T) {
	s, err := parseSysbench(sysbenchOutput)
	if err != nil {
		t.Fatal(err)
	}
	if s.queries != 100 || s.perSecond != 1234.5 {
		t.Errorf("got %d queries, %v per second, want 100 and 1234.5", s.queries, s.perSecond)
	}
	for _, tt := range []struct {
		name      string
		got, want time.Duration
	}{
		{"p50", s.p50, 200 * time.Microsecond},
		{"p95", s.p95, time.Millisecond},
		{"p99", s.p99, 12500 * time.Microsecond},
	} {
		if off := float64(tt.got)/float64(tt.want) - 1; max(off, -off) > 0.011 {
			t.Errorf("%s: got %v, want %v within a bucket", tt.name, tt.got, tt.want)
		}
	}
	for _, broken := range []string{"", "FATAL: unable to connect", strings.ReplaceAll(sysbenchOutput, "|", "")} {
		if _, err := parseSysbench(broken); err == nil {
			t.Errorf("parseSysbench(%q): got no error, want one", broken)
		}
	}
}

func TestHistogram(t *testing.T) {
	var a, b histogram
	for i := range 1000 {
		h := &a
		if i%2 == 1 {
			h = &b
		}
		h.add(time.Duration(i+1)*10*time.Microsecond, 1)
	}
	a.merge(&b)
	if a.count != 1000 {
		t.Errorf("got %d after a merge, want 1000", a.count)
	}
	for share, want := range map[float64]time.Duration{0.5: 5 * time.Millisecond, 0.99: 9900 * time.Microsecond, 1: 10 * time.Millisecond} {
		if got := a.percentile(share); max(got, want)-min(got, want) > want/50 {
			t.Errorf("percentile(%v): got %v, want %v", share, got, want)
		}
	}
	if got := new(histogram).percentile(0.5); got != 0 {
		t.Errorf("percentile of nothing: got %v, want 0", got)
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%v): got %v, want %v", tt.values, got, tt.want)
		}
	}
}

// TestReport checks that ratios are taken round by round.
func TestReport(t *testing.T) {
	targets := []*target{{name: direct}, {name: haproxy, proc: &process{}}, {name: relay, proc: &process{}}}
	of := func(micros ...int) (all []sample) {
		for _, m := range micros {
			all = append(all, sample{queries: 10, perSecond: 10, cpu: time.Duration(m*10) * time.Microsecond})
		}
		return all
	}
	var out bytes.Buffer
	report(&out, "lookups", targets, [][]sample{of(0, 0), of(10, 40), of(20, 40)})
	want := "| relay   |         10 |  0.000 |  0.000 |  0.000 |        30.0 |  20.0 |      1.50 |    1.00 | 1.00–1.00 |"
	if !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant the line\n%s", out.String(), want)
	}
}

func TestFlags(t *testing.T) {
	for _, bad := range [][]string{
		{"-conns", "0"},
		{"-conns", "1,x"},
		{"-rounds", "0"},
		{"-seconds", "0"},
		{"-parts", "nothing"},
		{"-flavor", "oracle"},
		{"-flavor", "postgres", "-parts", "eof"},
		{"-flavor", "postgres", "-profile-mode", "text"},
	} {
		if _, err := parseFlags(bad); err == nil {
			t.Errorf("parseFlags(%q): got no error, want one", bad)
		}
	}
}

func TestFlagsOfFlavors(t *testing.T) {
	for _, tt := range []struct {
		flavor, mode   string
		targets, parts []string
	}{
		{"mysql", modeText, []string{direct, haproxy, relay, leat}, []string{partLookups, partEOF, partRows, partLogins, partIdle}},
		{"postgres", modeSimple, []string{direct, haproxy, relay, leat, pgbouncer, pgpool}, []string{partLookups, partRows, partLogins, partIdle}},
	} {
		o, err := parseFlags([]string{"-flavor", tt.flavor})
		if err != nil || !slices.Equal(o.targets, tt.targets) || !slices.Equal(o.parts, tt.parts) || o.profileMode != tt.mode {
			t.Errorf("%s: got targets %v, parts %v, mode %s, error %v; want %v", tt.flavor, o.targets, o.parts, o.profileMode, err, tt)
		}
	}
}

const pgbenchProgress = `pgbench (15.18)
progress: 1.0 s, 9000.0 tps, lat 0.100 ms stddev 0.010, 0 failed
progress: 2.0 s, 1000.5 tps, lat 0.100 ms stddev 0.010, 0 failed
progress: 3.0 s, 2000.0 tps, lat 0.100 ms stddev 0.010, 0 failed
`

func TestWatchPgbench(t *testing.T) {
	points, text, err := watchPgbench(strings.NewReader(pgbenchProgress), os.Getpid())
	if err != nil || len(points) != 3 || points[1].perSecond != 1000.5 || points[2].cpu < points[0].cpu || points[0].cpu == 0 {
		t.Errorf("got %+v, %v; want 3 points", points, err)
	}
	if text != "pgbench (15.18)\n" {
		t.Errorf("got the text %q, want the first line", text)
	}
	if _, _, err := watchPgbench(strings.NewReader(strings.ReplaceAll(pgbenchProgress, "0 failed", "3 failed")), 0); err == nil {
		t.Error("failed transactions: got no error, want one")
	}
}

// TestPgbenchSample: what came before the first line of progress counts for latencies, not for rate and CPU time.
func TestPgbenchSample(t *testing.T) {
	dir := t.TempDir()
	log := strings.Repeat("0 1 200 0 1795000000 1000\n", 90) + strings.Repeat("1 1 5000 0 1795000000 1000\n", 10)
	if err := os.WriteFile(filepath.Join(dir, "log.123"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	latencies, err := readPgbenchLogs(dir)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	points := []progressPoint{
		{at: begin, cpu: time.Second, perSecond: 9},
		{at: begin.Add(time.Second), cpu: time.Second + time.Millisecond, perSecond: 10},
		{at: begin.Add(3 * time.Second), cpu: time.Second + 2*time.Millisecond, perSecond: 5},
	}
	s, err := pgbenchSample(points, latencies)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.perQuery(), 100.0; max(got/want, want/got) > 1.001 || s.queries != 100 {
		t.Errorf("got %v µs per query over %d queries, want %v over 100", got, s.queries, want)
	}
	if got, want := s.perSecond, 20.0/3; max(got/want, want/got) > 1.001 {
		t.Errorf("got %v per second, want %v", got, want)
	}
	if s.p50 > 210*time.Microsecond || s.p95 < 4900*time.Microsecond {
		t.Errorf("got p50 %v and p95 %v, want 200µs and 5ms", s.p50, s.p95)
	}
	for _, few := range [][]progressPoint{nil, points[:1]} {
		if _, err := pgbenchSample(few, latencies); !errors.Is(err, errNoProgress) {
			t.Errorf("%d points: got %v, want errNoProgress", len(few), err)
		}
	}
}
