package main

// What one round yields: queries, latencies and CPU time.

import (
	"math"
	"slices"
	"time"
)

// Modes of a lookup. PostgreSQL's are simple, extended and prepared.
const (
	modeText     = "text"
	modePrepared = "prepared"
)

// workload is one kind of load.
type workload struct {
	mode  string
	conns int
	// deprecateEOF asks for DEPRECATE_EOF at the log-in, as MySQL's own clients do; libmariadb (and so
	// sysbench), go-sql-driver/mysql and PyMySQL don't. Not for sysbench.
	deprecateEOF bool
	// rows per reply. Zero is one. Not for sysbench.
	rows int
}

// sample is one round of a workload against one target.
type sample struct {
	queries       int
	perSecond     float64
	p50, p95, p99 time.Duration
	cpu           time.Duration // of the proxy; 0 for direct
}

// perQuery is the proxy's CPU time per query, in microseconds.
func (s sample) perQuery() float64 {
	return float64(s.cpu.Nanoseconds()) / 1000 / float64(s.queries)
}

func (s *sample) percentiles(h *histogram) {
	s.p50, s.p95, s.p99 = h.percentile(0.50), h.percentile(0.95), h.percentile(0.99)
}

// meter measures the CPU time of a process between start and stop. Nothing is measured of pid 0.
type meter struct {
	pid  int
	used time.Duration
}

func (m *meter) start() error { return m.read(-1) }
func (m *meter) stop() error  { return m.read(1) }

func (m *meter) read(sign time.Duration) error {
	if m.pid == 0 {
		return nil
	}
	cpu, err := cpuTime(m.pid)
	m.used += sign * cpu
	return err
}

// histogram counts durations in buckets that are 2 % wide.
type histogram struct {
	count   int
	buckets []int
}

const bucketRatio = 1.02

func (h *histogram) add(d time.Duration, n int) {
	i := int(math.Round(math.Log(float64(max(d, time.Microsecond))/float64(time.Microsecond)) / math.Log(bucketRatio)))
	if i >= len(h.buckets) {
		h.buckets = append(h.buckets, make([]int, i+1-len(h.buckets))...)
	}
	h.buckets[i] += n
	h.count += n
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.buckets {
		h.add(bucketValue(i), n)
	}
}

// percentile is the duration that a share of all durations doesn't exceed.
func (h *histogram) percentile(share float64) time.Duration {
	need := int(math.Ceil(share * float64(h.count)))
	for i, n := range h.buckets {
		if need -= n; need <= 0 {
			return bucketValue(i)
		}
	}
	return 0
}

func bucketValue(i int) time.Duration {
	return time.Duration(math.Pow(bucketRatio, float64(i)) * float64(time.Microsecond))
}

// median of values; with an even number the mean of the middle two. 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
