package main

// The parts of the benchmark: which workloads there are, and how rounds take turns.

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// bench is one run of the benchmark.
type bench struct {
	options
	*dialect
	starter *starter
	targets []*target
	out     io.Writer
}

// runner runs one round of a workload.
type runner func(ctx context.Context, t *target, w workload, length time.Duration) (sample, error)

func (b *bench) run(ctx context.Context) error {
	parts := map[string]func(context.Context) error{
		partLookups: b.lookups, partEOF: b.deprecateEOF, partRows: b.rows, partLogins: b.logins, partIdle: b.idleClients,
	}
	if err := b.warm(ctx); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	for _, name := range b.dialect.parts {
		if !slices.Contains(b.options.parts, name) {
			continue
		}
		if err := parts[name](ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// warm fills the server's memory, and Leat's pools and caches, which last longer than the benchmark does.
func (b *bench) warm(ctx context.Context) error {
	for _, t := range b.targets {
		for _, mode := range b.modes {
			if _, err := b.load(ctx, t, workload{mode: mode, conns: slices.Max(b.conns)}, time.Second/2); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) lookups(ctx context.Context) error {
	for _, conns := range b.conns {
		for _, mode := range b.modes {
			w := workload{mode: mode, conns: conns}
			if err := b.compare(ctx, fmt.Sprintf("%s, %s, %d connections", b.client, mode, conns), b.dialect.lookups, w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) deprecateEOF(ctx context.Context) error {
	for _, mode := range b.modes {
		w := workload{mode: mode, conns: 16, deprecateEOF: true}
		if err := b.compare(ctx, "client with DEPRECATE_EOF, "+mode+", 16 connections", runLoad, w); err != nil {
			return err
		}
	}
	return nil
}

// rows measures replies of 100 rows, and what Leat allocates for replies of 1 and of 100.
func (b *bench) rows(ctx context.Context) error {
	w := workload{mode: b.rowsMode, conns: 16, rows: 100}
	if err := b.compare(ctx, "replies of 100 rows, "+b.rowsMode+", 16 connections", b.load, w); err != nil {
		return err
	}
	if t := find(b.targets, leat); t != nil {
		return b.allocations(ctx, t)
	}
	return nil
}

func (b *bench) logins(ctx context.Context) error {
	return b.compare(ctx, "connect, log in and leave, 4 at a time", b.runLogins, workload{conns: 4})
}

// compare lets the targets take turns and reports the medians. Who is first changes from round to round.
func (b *bench) compare(ctx context.Context, title string, run runner, w workload) error {
	samples := make([][]sample, len(b.targets))
	for round := range b.rounds {
		for i := range b.targets {
			i = (i + round) % len(b.targets)
			s, err := run(ctx, b.targets[i], w, b.length)
			if err != nil {
				return err
			}
			samples[i] = append(samples[i], s)
		}
	}
	report(b.out, title, b.targets, samples)
	return ctx.Err()
}
