// leat check: what is wrong with a config, and with --connect, with the servers that it names.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"leat/proxy/backend"
	"leat/shard"
)

// Bounds of what check asks of servers.
const (
	probesAtATime = 8                // log-ins at the same time
	probeTime     = 60 * time.Second // for all of it
)

func checkCommand() *cobra.Command {
	var path string
	var connect bool
	cmd := &cobra.Command{
		Use: "check", Short: "Say what is wrong with a config, with lines", Args: cobra.NoArgs,
		Long: "Say what is wrong with a config, with lines. Nothing is started.\n\nWith --connect it also looks at every server as leat serve would, logs in " +
			"to it as each user, and refuses a mix of MySQL and MariaDB. What leat serve would log as a warning is one here, and no mistake.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := loadConfig(path)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			warnings := 0
			if connect {
				if warnings, err = l.probe(cmd.Context(), path, out); err != nil {
					return err
				}
			}
			fmt.Fprintf(out, "%s is fine: %s, %s, %s", path, plural(len(l.backend.Shards), "shard"), plural(len(l.targets()), "server"), plural(len(l.proxy.Users), "user"))
			if warnings > 0 {
				fmt.Fprint(out, "; ", plural(warnings, "warning"))
			}
			fmt.Fprintln(out)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&connect, "connect", false, "also log in to the servers")
	return cmd
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// probe looks at every server and logs in to it. The error is a *problems with what leat serve couldn't work
// with; of what it would go on with, there is a line each and the number.
func (l *loaded) probe(ctx context.Context, path string, out io.Writer) (warnings int, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	servers, shards, err := l.look(ctx)
	if err != nil {
		return 0, err
	}
	r := report{found: &problems{file: path, lines: l.lines}, warned: &problems{file: path, lines: l.lines}}
	targets := l.targets()
	for _, t := range targets {
		i := slices.IndexFunc(servers, func(s backend.ServerStatus) bool { return s.Address == t.address })
		if t.seen = &servers[i]; t.up() {
			// 5.5.5- is how MariaDB greets clients that know no version 10
			fmt.Fprintf(out, "%s: %s, %s\n", t.address, cmp.Or(strings.TrimPrefix(t.seen.Version, "5.5.5-"), "of unknown version"), t.seen.Role)
		}
		r.server(t)
	}
	for i := range shards {
		r.shard(i, &shards[i], l.backend.Shards[i].Primary, servers)
	}
	r.flavors(targets)
	r.logins(ctx, targets)
	for _, line := range r.warned.Lines() {
		fmt.Fprintln(out, "WARNING:", line)
	}
	if len(r.found.list) > 0 {
		return 0, r.found
	}
	return len(r.warned.list), nil
}

// report is what check has to say of the servers.
type report struct{ found, warned *problems }

func (r *report) server(t *target) {
	if !t.up() {
		r.found.add(t.path, "%s: %s", t.address, t.seen.Reason)
	}
	for _, one := range troublesOf(t.seen) {
		r.warned.add(t.path, "%s: %s", t.address, one.text)
	}
}

// shard says whether it has one primary. If it has none since servers are down, that is said of them.
func (r *report) shard(i int, s *backend.ShardStatus, named string, servers []backend.ServerStatus) {
	path := fmt.Sprintf("shards[%d]", i)
	down := slices.ContainsFunc(servers, func(o backend.ServerStatus) bool { return o.Shard == s.Shard && o.State == "down" })
	switch {
	case s.Primary == "" && !down:
		r.found.add(path, "it has no primary, so there is nowhere to write to: %s", s.Reason)
	case s.Primary != "" && s.Primary != named:
		r.warned.add(path+".primary", "%s is the primary now, not %s; Leat follows it, but name it here", s.Primary, named)
	}
}

func (r *report) flavors(targets []*target) {
	versions := map[string][]string{}
	for _, t := range targets {
		if t.seen.Version != "" && t.dialect == shard.MySQL {
			versions[t.flavor()] = append(versions[t.flavor()], t.address)
		}
	}
	if len(versions) < 2 {
		return
	}
	var parts []string
	for _, flavor := range slices.Sorted(maps.Keys(versions)) {
		parts = append(parts, flavor+": "+strings.Join(versions[flavor], ", "))
	}
	r.found.add("shards", "one listener can show clients one flavor only, but these are mixed: %s; run a Leat for each", strings.Join(parts, "; "))
}

// logins logs in to the servers that answer as everybody who would.
func (r *report) logins(ctx context.Context, targets []*target) {
	var mu sync.Mutex // guards r
	var g errgroup.Group
	g.SetLimit(probesAtATime)
	dialers, _ := dialects()
	for _, t := range targets {
		if !t.up() {
			continue
		}
		for _, l := range t.logins {
			g.Go(func() error {
				if err := t.logIn(ctx, dialers[t.dialect], l); err != nil {
					mu.Lock()
					defer mu.Unlock()
					r.found.add(t.path, "%s: %v", t.address, err)
				}
				return nil
			})
		}
	}
	_ = g.Wait()
}

// targets are the servers with all who log in to them.
func (l *loaded) targets() []*target {
	var logins []login
	for _, u := range l.proxy.Users {
		name, password := u.ServerLogin()
		if one := (login{name, password, "user " + u.Name}); !slices.ContainsFunc(logins, one.same) {
			logins = append(logins, one)
		}
	}
	var all []*target
	for i, s := range l.backend.Shards {
		one := func(path, address string) {
			all = append(all, &target{path: path, address: address, dialect: s.Dialect, tls: s.TLS, logins: logins})
		}
		one(fmt.Sprintf("shards[%d].primary", i), s.Primary)
		for j, r := range s.Replicas {
			one(fmt.Sprintf("shards[%d].replicas[%d]", i, j), r.Address)
		}
	}
	return all
}
