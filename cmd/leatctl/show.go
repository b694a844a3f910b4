// The commands that look: status, servers, explain, digests, sessions, top.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// fetch gets path and either prints it as JSON or hands what came to show.
func fetch[T any](ctx context.Context, o *options, path string, show func(T)) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	if o.json {
		var raw json.RawMessage
		if err := c.get(ctx, path, &raw); err != nil {
			return err
		}
		return o.printJSON(raw)
	}
	var answer T
	if err := c.get(ctx, path, &answer); err != nil {
		return err
	}
	show(answer)
	return nil
}

func (o *options) statusCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show whether Leat is well, its servers, and where requests went", Args: cobra.NoArgs,
		Long: "Show whether Leat is well, its servers, and where requests went.\n\n" + serverColumns,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return o.checkReady(cmd.Context())
			}
			return fetch(cmd.Context(), o, "/api/status", o.showStatus)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only tell, by the exit code, whether Leat is ready")
	return cmd
}

// checkReady fails unless Leat is ready.
func (o *options) checkReady(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	var s status
	if err := c.get(ctx, "/api/status", &s); err != nil {
		return err
	}
	if !s.Ready {
		return fmt.Errorf("not ready: %s", s.NotReady)
	}
	return nil
}

func (o *options) showStatus(s status) {
	state := "ready"
	switch {
	case s.Draining:
		state = "draining"
	case !s.Ready:
		state = "NOT READY: " + s.NotReady
	}
	fmt.Fprintf(o.out, "Leat %s is %s\n", s.Version, state)
	fmt.Fprintf(o.out, "up %s (pid %d), listening on %s\n", since(s.Started), s.PID, strings.Join(s.Listen, ", "))
	fmt.Fprintf(o.out, "config %s, loaded %s ago, map version %d\n", s.Config.File, since(s.Config.Loaded), s.MapVersion)
	if s.Config.Failed != "" {
		fmt.Fprintf(o.out, "THE LAST RELOAD WAS REFUSED: %s\n", s.Config.Failed)
	}
	fmt.Fprintf(o.out, "clients %d of %d, %d since the start, %d refused\n\n", s.Clients.Now, s.Clients.Max, s.Clients.Total, s.Clients.Refused)
	for _, sh := range s.Shards {
		if sh.Reason != "" && (s.Ready || !strings.Contains(s.NotReady, sh.Reason)) {
			fmt.Fprintf(o.out, "SHARD %s: %s\n\n", sh.Name, printable(sh.Reason))
		}
	}
	o.showServers(s.Servers)
	fmt.Fprintln(o.out)
	r := &s.Requests
	t := o.table("answered by", "requests", "share")
	t.row("replicas", r.ToReplica, percent(r.ToReplica, r.Total))
	t.row("primary", r.ToPrimary, percent(r.ToPrimary, r.Total))
	t.row("Leat itself", r.ByLeat, percent(r.ByLeat, r.Total))
	t.print("")
	fmt.Fprintln(o.out)
	t = o.table("class", "requests", "mean")
	for _, c := range r.Classes {
		mean := 0.0
		if c.Count > 0 {
			mean = c.Seconds / float64(c.Count)
		}
		t.row(c.Name, c.Count, seconds(mean))
	}
	t.print("no requests yet")
	fmt.Fprintf(o.out, "\nerror replies %d, retried %d, misrouted %d, waiting for a server %d\n", r.Errors, r.Retries, r.Misroutes, s.held())
	o.showPinned(s)
}

func (o *options) showPinned(s status) {
	t := o.table("pinned because of", "sessions")
	for _, p := range s.Pinned {
		if p.Sessions > 0 {
			t.row(p.Reason, p.Sessions)
		}
	}
	if t.rows > 0 {
		fmt.Fprintln(o.out)
		t.print("")
	}
}

// serverColumns is what the table of servers means.
const serverColumns = `STATE      up; warming: it came back and gets its full share of reads step by step, within
           monitor.slow_start; lagging: over max_lag, so it takes no reads while others can; draining: an
           operator took it out; down; unprobed: not asked yet. Below the table: why.
LAG        how far a replica is behind; servers tell it in whole seconds
LATENCY    time from sending a request to the end of the server's reply: a moving average of the last seconds,
           which fades while nothing is sent. A broken connection counts as a slow reply. 0s: nothing measured
AVAILABLE  share of the time since Leat's start that it answered the probes
CONNS      lent to sessions / open
WAITING    sessions that wait for a conn, since all of the server's are lent`

func (o *options) serversCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "servers", Short: "Show the servers, take one out, put it back", Args: cobra.NoArgs,
		Long: "Show the servers, take one out, put it back.\n\n" + serverColumns,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fetch(cmd.Context(), o, "/api/servers", o.showServers)
		},
	}
	change := func(use, short string) *cobra.Command {
		return &cobra.Command{
			Use: use + " HOST:PORT", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return o.changeServer(cmd.Context(), use, args[0])
			},
		}
	}
	cmd.AddCommand(
		change("drain", "Take a server out: it gets no new requests; transactions end where they are"),
		change("undrain", "Put a server back"),
	)
	return cmd
}

func (o *options) changeServer(ctx context.Context, what, address string) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	var servers []server
	if err := c.post(ctx, "/api/servers/"+what+"?address="+url.QueryEscape(address), nil, &servers); err != nil {
		if isNotFound(err) {
			return fmt.Errorf("%w; leatctl servers lists them", err)
		}
		return err
	}
	if o.json {
		return o.printJSON(servers)
	}
	o.showServers(servers)
	if name, ok := lacksPrimary(servers, address); ok && what == "drain" {
		fmt.Fprintf(o.out, "\nWARNING: shard %s has no primary now. Its writes wait for timeouts.hold and then fail, until another server becomes\n"+
			"writable or you put this one back: leatctl servers undrain %s\n", name, address)
	}
	return nil
}

// lacksPrimary names the shard of a server if no server of it is the primary.
func lacksPrimary(servers []server, address string) (string, bool) {
	at := slices.IndexFunc(servers, func(s server) bool { return s.Address == address })
	if at < 0 {
		return "", false
	}
	name := servers[at].Shard
	return name, !slices.ContainsFunc(servers, func(s server) bool { return s.Shard == name && s.Role == "primary" })
}

func (o *options) showServers(servers []server) {
	t := o.table("shard", "server", "role", "class", "state", "lag", "latency", "available", "conns", "waiting", "requests", "errors")
	for _, s := range servers {
		lag := "unknown"
		switch {
		case s.Role == "primary":
			lag = ""
		case s.LagSeconds != nil:
			lag = seconds(*s.LagSeconds)
		}
		t.row(s.Shard, s.Address, s.Role, s.Class, s.State, lag, seconds(s.LatencySeconds), fmt.Sprintf("%.3f %%", 100*s.Availability),
			fmt.Sprintf("%d/%d", s.Conns.Busy, s.Conns.Open), s.Conns.Waiting, s.Requests, s.Errors)
	}
	t.print("no servers")
	for _, s := range servers {
		if s.Reason != "" && len(s.Warnings) == 0 { // else they say it better
			fmt.Fprintf(o.out, "%s is %s: %s\n", s.Address, s.State, reason(s.Reason))
		}
		for _, w := range s.Warnings {
			fmt.Fprintf(o.out, "WARNING: %s: %s\n", s.Address, reason(w))
		}
	}
}

// maxReason is how many characters of a reason are shown.
const maxReason = 240

// reason is why a server is in its state, on one line that isn't too long.
func reason(text string) string {
	short := shorten(printable(text), maxReason)
	if strings.HasSuffix(short, "…") && !strings.HasSuffix(text, "…") {
		short += " (--json has all of it)"
	}
	return short
}

func (o *options) explainCommand() *cobra.Command {
	var user, database string
	cmd := &cobra.Command{
		Use: "explain SQL", Short: "Say where a statement would go, and why, without running it", Args: cobra.ExactArgs(1),
		Example: `  leatctl explain "SELECT * FROM user_features WHERE user_id = 7"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			var e explanation
			ask := map[string]string{"sql": args[0], "user": user, "database": database}
			if err := c.post(cmd.Context(), "/api/explain", ask, &e); err != nil {
				return err
			}
			if o.json {
				return o.printJSON(e)
			}
			o.showExplanation(e)
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the user who would send it (default: one of class online)")
	cmd.Flags().StringVar(&database, "database", "", "the session's current database")
	return cmd
}

func (o *options) showExplanation(e explanation) {
	pin := e.Pin
	if pin == "" {
		pin = "no"
	}
	for _, line := range [][2]string{
		{"statement", e.Text},
		{"digest", e.Digest},
		{"class", e.Class},
		{"because", e.Rule},
		{"shard", e.Shard},
		{"role", e.Role},
		{"server", e.Server},
		{"pins the session", pin},
	} {
		if line[1] != "" {
			fmt.Fprintf(o.out, "%-17s %s\n", line[0], line[1])
		}
	}
}

func (o *options) digestsCommand() *cobra.Command {
	var by string
	var n int
	cmd := &cobra.Command{
		Use: "digests", Short: "Show the statements that took the most time, without their literals", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, ok := digestOrders[by]; !ok {
				return fmt.Errorf("--by %q is not known; give time, count, errors or max", by)
			}
			return fetch(cmd.Context(), o, "/api/digests", func(list []digest) { o.showDigests(list, by, n) })
		},
	}
	cmd.Flags().StringVar(&by, "by", "time", "order: time, count, errors or max")
	cmd.Flags().IntVarP(&n, "limit", "n", 20, "how many")
	return cmd
}

var digestOrders = map[string]func(digest) float64{
	"time":   func(d digest) float64 { return d.TotalSeconds },
	"count":  func(d digest) float64 { return float64(d.Count) },
	"errors": func(d digest) float64 { return float64(d.Errors) },
	"max":    func(d digest) float64 { return d.MaxSeconds },
}

func (o *options) showDigests(list []digest, by string, n int) {
	order := digestOrders[by]
	slices.SortStableFunc(list, func(a, b digest) int { return compare(order(b), order(a)) })
	t := o.table("digest", "class", "count", "errors", "total", "mean", "longest", "statement")
	for _, d := range list[:max(0, min(n, len(list)))] {
		mean := 0.0
		if d.Count > 0 {
			mean = d.TotalSeconds / float64(d.Count)
		}
		t.row(d.Digest, d.Class, d.Count, d.Errors, seconds(d.TotalSeconds), seconds(mean), seconds(d.MaxSeconds), shorten(d.Text, 100))
	}
	t.print("no statements yet")
}

func (o *options) sessionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sessions", Short: "Show the clients, and end one", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fetch(cmd.Context(), o, "/api/sessions", o.showSessions)
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "kill ID", Short: "End a client's connection", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := strconv.ParseUint(args[0], 10, 32); err != nil {
				return fmt.Errorf("%q is not a session's id, which is a number; leatctl sessions lists them", args[0])
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			var answer json.RawMessage
			if err := c.post(cmd.Context(), "/api/sessions/"+args[0]+"/kill", nil, &answer); err != nil {
				return err
			}
			if o.json {
				return o.printJSON(answer)
			}
			fmt.Fprintln(o.out, "killed", args[0])
			return nil
		},
	})
	return cmd
}

func (o *options) showSessions(list []session) {
	t := o.table("id", "user", "from", "program", "database", "connected", "server", "pinned because of", "running")
	for _, s := range list {
		t.row(s.ID, s.User, s.Remote, s.Program, s.Database, since(s.Since), s.Server, s.Pinned, s.Digest)
	}
	t.print("no clients")
}

// since is how long ago that was, to the second.
func since(t time.Time) string { return time.Since(t).Round(time.Second).String() }
