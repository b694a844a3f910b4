// leat check: what is wrong with a config, and with --connect, with the servers that it names.
package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// probesAtATime bounds the servers that check asks at the same time.
const probesAtATime = 8

func checkCommand() *cobra.Command {
	var path string
	var connect bool
	cmd := &cobra.Command{
		Use: "check", Short: "Say what is wrong with a config, with lines", Args: cobra.NoArgs,
		Long: "Say what is wrong with a config, with lines. Nothing is started.\n\nWith --connect it also logs in to every server, as monitor and as each " +
			"user, and refuses a mix of MySQL and MariaDB.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := loadConfig(path)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if connect {
				if err := l.probe(cmd.Context(), path, out); err != nil {
					return err
				}
			}
			servers := 0
			for _, s := range l.backend.Shards {
				servers += 1 + len(s.Replicas)
			}
			fmt.Fprintf(out, "%s is fine: %s, %s, %s\n", path, plural(len(l.backend.Shards), "shard"), plural(servers, "server"), plural(len(l.proxy.Users), "user"))
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

// probe logs in to every server. The error is a *problems with what failed.
func (l *loaded) probe(ctx context.Context, path string, out io.Writer) error {
	found := &problems{file: path, lines: l.lines}
	var mu sync.Mutex // guards found and versions
	versions := map[string][]string{}
	var g errgroup.Group
	g.SetLimit(probesAtATime)
	for _, t := range l.targets() {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			answer := t.ask(ctx)
			mu.Lock()
			defer mu.Unlock()
			for _, text := range answer.problems {
				found.add(t.path, "%s: %s", t.address, text)
			}
			if answer.version != "" {
				versions[answer.flavor] = append(versions[answer.flavor], t.address)
				fmt.Fprintf(out, "%s: %s, %s\n", t.address, answer.version, answer.role)
			}
			return nil
		})
	}
	_ = g.Wait()
	if len(versions) > 1 {
		var parts []string
		for flavor, addresses := range versions {
			slices.Sort(addresses)
			parts = append(parts, flavor+": "+strings.Join(addresses, ", "))
		}
		slices.Sort(parts)
		found.add("shards", "one listener can show clients one flavor only, but these are mixed: %s; run a Leat for each", strings.Join(parts, "; "))
	}
	if len(found.list) > 0 {
		return found
	}
	return nil
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
		one := func(path, address string, primary bool) {
			all = append(all, &target{path: path, address: address, primary: primary, tls: s.TLS, monitor: l.backend.Monitor, logins: logins})
		}
		one(fmt.Sprintf("shards[%d].primary", i), s.Primary, true)
		for j, r := range s.Replicas {
			one(fmt.Sprintf("shards[%d].replicas[%d]", i, j), r.Address, false)
		}
	}
	return all
}
