// The commands that change something or go on for a while: drain, reload, top.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func (o *options) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Have Leat read its config again; one with mistakes changes nothing", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			var answer struct {
				File   string    `json:"file"`
				Loaded time.Time `json:"loaded"`
			}
			if err := c.post(cmd.Context(), "/api/reload", nil, &answer); err != nil {
				var refused *errRefused
				if errors.As(err, &refused) {
					return fmt.Errorf("%w\ncorrect the config, then try again", err)
				}
				return err
			}
			if o.json {
				return o.printJSON(answer)
			}
			fmt.Fprintf(o.out, "%s is in force\n", answer.File)
			return nil
		},
	}
}

func (o *options) drainCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "drain", Short: "Stop Leat gracefully: no new clients, transactions end, then it exits", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			return o.drain(ctx, c)
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to watch; Leat goes on without")
	return cmd
}

// drain begins it and shows how far it is until nothing answers any more.
func (o *options) drain(ctx context.Context, c *client) error {
	var first json.RawMessage
	if err := c.post(ctx, "/api/drain", nil, &first); err != nil {
		return err
	}
	began, last := time.Now(), ""
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		var s status
		err := c.get(ctx, "/api/status", &s)
		switch {
		case errors.Is(err, errGone):
			return o.drained(time.Since(began))
		case ctx.Err() != nil:
			return errors.New("the drain goes on; leatctl status shows how far it is")
		case err != nil:
			return err
		}
		line := fmt.Sprintf("draining: %d clients left, %d in a transaction", s.Clients.Now, s.pinned("transaction"))
		if line != last && !o.json {
			fmt.Fprintln(o.out, line)
		}
		last = line
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (o *options) drained(took time.Duration) error {
	if o.json {
		return o.printJSON(map[string]float64{"drained_seconds": took.Seconds()})
	}
	fmt.Fprintf(o.out, "Leat has stopped after %s\n", seconds(took.Seconds()))
	return nil
}

func (o *options) topCommand() *cobra.Command {
	var every time.Duration
	var rounds int
	cmd := &cobra.Command{
		Use: "top", Short: "Show requests per second and the busiest statements, again and again", Args: cobra.NoArgs,
		Long: "Show requests per second and the busiest statements, again and again. What is said of statements is since the picture before.\n\n" + serverColumns,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return errors.New("--every must be 100ms or more")
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			return o.top(cmd.Context(), c, every, rounds)
		},
	}
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "time between two pictures")
	cmd.Flags().IntVar(&rounds, "rounds", 0, "end after so many pictures (0: go on until Ctrl-C)")
	return cmd
}

// picture is what top knows at one moment.
type picture struct {
	at      time.Time
	status  status
	digests []digest
}

func (o *options) top(ctx context.Context, c *client, every time.Duration, rounds int) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var before picture
	for n := 0; rounds == 0 || n <= rounds; n++ {
		now := picture{at: time.Now()}
		if err := errors.Join(c.get(ctx, "/api/status", &now.status), c.get(ctx, "/api/digests", &now.digests)); err != nil {
			if ctx.Err() != nil {
				return nil // Ctrl-C is how one leaves
			}
			return err
		}
		if n > 0 {
			if err := o.showTop(before, now); err != nil {
				return err
			}
		}
		before = now
		if n == rounds && rounds > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// showTop shows what happened between two pictures.
func (o *options) showTop(before, now picture) error {
	passed := now.at.Sub(before.at).Seconds()
	rate := func(a, b uint64) float64 { return float64(b-min(a, b)) / passed }
	busy := rates(before.digests, now.digests)
	if o.json {
		return o.printJSON(map[string]any{
			"requests_per_second": rate(before.status.Requests.Total, now.status.Requests.Total),
			"replica_per_second":  rate(before.status.Requests.ToReplica, now.status.Requests.ToReplica),
			"clients":             now.status.Clients.Now, "digests": busy,
		})
	}
	if f, ok := o.out.(*os.File); ok && isTerminal(f) {
		fmt.Fprint(o.out, "\x1b[H\x1b[2J")
	}
	fmt.Fprintf(o.out, "%s  %.0f requests/s (%.0f on replicas), %d clients, %d waiting for a server\n\n", now.at.Format(time.TimeOnly),
		rate(before.status.Requests.Total, now.status.Requests.Total), rate(before.status.Requests.ToReplica, now.status.Requests.ToReplica),
		now.status.Clients.Now, now.status.held())
	o.showServers(now.status.Servers)
	fmt.Fprintln(o.out)
	o.showDigests(busy, "time", 15)
	fmt.Fprintln(o.out)
	return nil
}

// rates is what each digest did between two pictures.
func rates(before, now []digest) []digest {
	old := make(map[string]digest, len(before))
	for _, d := range before {
		old[d.Digest] = d
	}
	busy := []digest{}
	for _, d := range now {
		if was := old[d.Digest]; was.Count < d.Count {
			d.Count -= was.Count
			d.Errors -= min(was.Errors, d.Errors)
			d.TotalSeconds -= was.TotalSeconds
			busy = append(busy, d)
		}
	}
	return busy
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
