package main

// Tables, in Markdown that is also readable as it is.

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report prints one workload: a line per target, medians over the rounds.
func report(out io.Writer, title string, targets []*target, samples [][]sample) {
	fmt.Fprintf(out, "\n### %s\n", title)
	rows := [][]string{{"target", "per second", "p50 ms", "p95 ms", "p99 ms", "CPU µs each", "least", "× haproxy", "× relay", "(min–max)"}}
	pooler := find(targets, pgbouncer) != nil
	if pooler {
		rows[0] = append(rows[0], "× pgbouncer", "(min–max)")
	}
	for i, t := range targets {
		of := func(value func(sample) float64) float64 { return median(each(samples[i], value)) }
		row := []string{
			t.name, fmt.Sprintf("%.0f", of(func(s sample) float64 { return s.perSecond })),
			milliseconds(of(func(s sample) float64 { return s.p50.Seconds() })),
			milliseconds(of(func(s sample) float64 { return s.p95.Seconds() })),
			milliseconds(of(func(s sample) float64 { return s.p99.Seconds() })),
		}
		if t.proc == nil {
			rows = append(rows, append(row, make([]string, len(rows[0])-len(row))...))
			continue
		}
		row = append(row, fmt.Sprintf("%.1f", of(sample.perQuery)), fmt.Sprintf("%.1f", slices.Min(each(samples[i], sample.perQuery))))
		toHAProxy, _ := ratio(targets, samples, i, haproxy)
		toRelay, spread := ratio(targets, samples, i, relay)
		row = append(row, toHAProxy, toRelay, spread)
		if pooler {
			toPooler, spread := ratio(targets, samples, i, pgbouncer)
			row = append(row, toPooler, spread)
		}
		rows = append(rows, row)
	}
	printTable(out, rows)
}

// ratio compares the CPU time per query of target i with a named one's, round by round: the median, and
// the extremes.
func ratio(targets []*target, samples [][]sample, i int, to string) (middle, spread string) {
	base := slices.IndexFunc(targets, func(t *target) bool { return t.name == to })
	if base < 0 {
		return "", ""
	}
	ratios := make([]float64, len(samples[i]))
	for round := range ratios {
		ratios[round] = samples[i][round].perQuery() / samples[base][round].perQuery()
	}
	return fmt.Sprintf("%.2f", median(ratios)), fmt.Sprintf("%.2f–%.2f", slices.Min(ratios), slices.Max(ratios))
}

func each(samples []sample, value func(sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = value(s)
	}
	return values
}

func milliseconds(seconds float64) string { return fmt.Sprintf("%.3f", seconds*1000) }

// printTable prints rows, the first of which is the head. Numbers stand on the right.
func printTable(out io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				b.WriteString("| " + cell + pad + " |")
			} else {
				b.WriteString(" " + pad + cell + " |")
			}
		}
		fmt.Fprintln(out, b.String())
		if n == 0 {
			printRule(out, widths)
		}
	}
}

func printRule(out io.Writer, widths []int) {
	var b strings.Builder
	for i, w := range widths {
		if i == 0 {
			b.WriteString("|" + strings.Repeat("-", w+2) + "|")
		} else {
			b.WriteString(strings.Repeat("-", w+1) + ":|")
		}
	}
	fmt.Fprintln(out, b.String())
}

// machine says what the figures were measured on, and how busy it was before.
func machine() string {
	model := "unknown CPU"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for in := bufio.NewScanner(f); in.Scan(); {
			if name, ok := strings.CutPrefix(in.Text(), "model name"); ok {
				model = strings.TrimLeft(name, "\t :")
				break
			}
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%s, %s, %d CPUs, load %s before, %s", time.Now().Format(time.DateOnly), model, runtime.NumCPU(), first, runtime.Version())
}
