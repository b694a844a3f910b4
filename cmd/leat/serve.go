// leat serve: from the config to a clean exit.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"leat/shard"
)

// firstProbe is how long clients wait, at the start, for what the servers say of themselves.
const firstProbe = 5 * time.Second

// Who may connect to unix sockets: anybody who knows a password; the admin port's owner.
const (
	clientSocket fs.FileMode = 0o666
	adminSocket  fs.FileMode = 0o600
)

func serveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve clients, as the config says", Args: cobra.NoArgs,
		Long: "Serve clients, as the config says.\n\nSIGHUP reloads the config; one with mistakes changes nothing. SIGTERM and SIGINT drain: no new " +
			"clients, transactions end within timeouts.drain, then it exits. A second one ends it at once.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := loadConfig(path)
			if err != nil {
				return err
			}
			level := new(slog.LevelVar)
			in, err := newInstance(path, l, newLogger(os.Stderr, l.json, level), level)
			if err != nil {
				return err
			}
			signals := make(chan os.Signal, 4)
			signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
			return in.Run(cmd.Context(), signals)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func newLogger(w io.Writer, json bool, level *slog.LevelVar) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Run serves until a signal, the admin API or ctx asks it to stop, and then drains. The error says why it
// couldn't serve; a drain that had to cut clients off is none.
func (in *instance) Run(ctx context.Context, signals <-chan os.Signal) error {
	var doors []door
	defer func() {
		for _, d := range doors {
			d.Close()
		}
	}()
	for _, p := range in.current.listen.ports() {
		if p.address == "" {
			continue
		}
		l, err := listen(ctx, p.address, clientSocket)
		if err != nil {
			return err
		}
		doors = append(doors, door{l, p.dialect})
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // a drain outlives ctx
	defer end()
	g, life := errgroup.WithContext(life)
	if address := in.current.listen.Admin; address != "" {
		l, err := listen(ctx, address, adminSocket)
		if err != nil {
			return err
		}
		g.Go(func() error { return in.admin.Serve(life, l) })
		g.Go(func() error { l.Offer(life); return nil })
		in.log.Info("admin port", slog.String("address", address))
	}
	g.Go(func() error { return in.backend.Run(life) })
	g.Go(func() error { return in.proxy.Run(life) })
	g.Go(func() error { in.watchServers(life); return nil })
	g.Go(func() error { return in.serveClients(life, doors) })
	for _, d := range doors {
		g.Go(func() error { d.Offer(life); return nil })
	}
	in.await(ctx, life, signals)
	in.drain(doors)
	end()
	return g.Wait()
}

// door is a port for the clients of one dialect.
type door struct {
	*listener
	dialect shard.Dialect
}

// serveClients opens the SQL ports to clients once the servers have been looked at.
func (in *instance) serveClients(ctx context.Context, doors []door) error {
	first, cancel := context.WithTimeout(ctx, firstProbe)
	defer cancel()
	if err := in.backend.Ready(first); err != nil && ctx.Err() == nil {
		in.log.Warn("serving though not all shards can be used", slog.Any("error", err))
	}
	if ctx.Err() != nil {
		return nil // stopped before it began
	}
	in.serving.Store(true)
	for _, d := range doors {
		in.log.Info("serving", slog.String("version", ownVersion()), slog.String("dialect", d.dialect.String()),
			slog.String("address", cmp.Or(d.path, d.Addr().String())), slog.Int("pid", os.Getpid()))
	}
	notify("READY=1")
	var g errgroup.Group
	for _, d := range doors {
		g.Go(func() error { return in.proxy.Serve(ctx, d, d.dialect) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("serving clients: %w", err)
	}
	return nil
}

// await returns when it is time to stop. A signal after the first ends the process at once.
func (in *instance) await(ctx, life context.Context, signals <-chan os.Signal) {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				_ = in.Reload() // it has logged why
				continue
			}
			signal.Reset(syscall.SIGTERM, syscall.SIGINT)
			return
		case <-in.drainMe:
			return
		case <-ctx.Done():
			return
		case <-life.Done(): // something broke; g.Wait says what
			return
		}
	}
}

// drain lets no new clients in and lets transactions end.
func (in *instance) drain(doors []door) {
	in.draining.Store(true) // readiness first, so that load balancers look elsewhere
	notify("STOPPING=1")
	in.mu.Lock()
	bound := in.current.drain
	in.mu.Unlock()
	began := time.Now()
	in.log.Info("draining", slog.Int("clients", in.proxy.Stats().ClientsNow), slog.Duration("at most", bound))
	var stops sync.WaitGroup
	for _, d := range doors {
		if in.serving.Load() {
			stops.Go(d.Stop)
		} else {
			d.Close()
		}
	}
	stops.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := in.proxy.Drain(ctx); err != nil {
		in.log.Warn("drain took too long, clients were cut off", slog.Any("error", err))
	}
	in.log.Info("stopped", slog.Duration("drained in", time.Since(began)))
}
