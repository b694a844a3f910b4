package main

import (
	"bytes"
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
	for _, bad := range [][]string{{"-conns", "0"}, {"-conns", "1,x"}, {"-rounds", "0"}, {"-seconds", "0"}, {"-parts", "nothing"}} {
		if _, err := parseFlags(bad); err == nil {
			t.Errorf("parseFlags(%q): got no error, want one", bad)
		}
	}
}
