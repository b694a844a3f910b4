package main

// What only Leat is asked: allocations, and where its CPU time goes.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// allocations reports heap objects that Leat makes per request, for replies of 1 and of 100 rows.
func (b *bench) allocations(ctx context.Context, t *target) error {
	fmt.Fprintf(b.out, "\n### Leat's allocations\n")
	rows := [][]string{{"client", "per request, 1 row", "per request, 100 rows", "per row"}}
	clients := []bool{false}
	if slices.Contains(b.dialect.parts, partEOF) {
		clients = append(clients, true)
	}
	for _, deprecated := range clients {
		for _, mode := range b.modes {
			w := workload{mode: mode, conns: 16, deprecateEOF: deprecated}
			one, err := b.allocationsOf(ctx, t, w)
			if err != nil {
				return err
			}
			w.rows = 100
			hundred, err := b.allocationsOf(ctx, t, w)
			if err != nil {
				return err
			}
			name := mode
			if deprecated {
				name += ", with DEPRECATE_EOF"
			}
			rows = append(rows, []string{name, fmt.Sprintf("%.2f", one), fmt.Sprintf("%.2f", hundred), fmt.Sprintf("%.3f", (hundred-one)/99)})
		}
	}
	printTable(b.out, rows)
	return nil
}

// allocationsOf counts over a round after a short one that fills pools and caches. The 16 log-ins and
// the health checks of the time are in it too.
func (b *bench) allocationsOf(ctx context.Context, t *target, w workload) (float64, error) {
	if _, err := b.load(ctx, t, w, b.length/4); err != nil {
		return 0, err
	}
	before, err := readMetric(ctx, t, "go_memstats_mallocs_total")
	if err != nil {
		return 0, err
	}
	s, err := b.load(ctx, t, w, b.length)
	if err != nil {
		return 0, err
	}
	after, err := readMetric(ctx, t, "go_memstats_mallocs_total")
	return (after - before) / float64(s.queries), err
}

// readMetric reads one unlabelled metric from Leat's admin port.
func readMetric(ctx context.Context, t *target, name string) (float64, error) {
	body, err := get(ctx, t, "/metrics")
	if err != nil {
		return 0, err
	}
	defer body.Close()
	for in := bufio.NewScanner(body); in.Scan(); {
		if value, ok := strings.CutPrefix(in.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no metric %s at Leat", name)
}

// get asks Leat's admin port. The caller closes the body.
func get(ctx context.Context, t *target, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.admin+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return response.Body, nil
}

// profileLeat writes profiles of lookups over 16 connections: where CPU time goes, and what is
// allocated where. Each is over a round, at least 10s.
func (b *bench) profileLeat(ctx context.Context) error {
	t := find(b.targets, leat)
	if t == nil {
		return errors.New("-profile needs the target leat")
	}
	length := max(b.length, 10*time.Second)
	for _, kind := range []string{"profile", "allocs"} {
		file := b.profile + "." + kind
		failed := make(chan error, 1)
		go func() {
			failed <- writeProfile(ctx, t, fmt.Sprintf("/debug/pprof/%s?seconds=%.0f", kind, length.Seconds()), file)
		}()
		s, err := b.load(ctx, t, workload{mode: b.profileMode, conns: 16}, length+time.Second)
		if err := errors.Join(err, <-failed); err != nil {
			return err
		}
		fmt.Fprintf(b.out, "%s: %.0f queries/s, %.1f µs of CPU each; go tool pprof -top reads it\n", file, s.perSecond, s.perQuery())
	}
	return nil
}

func writeProfile(ctx context.Context, t *target, path, file string) error {
	body, err := get(ctx, t, path)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}
