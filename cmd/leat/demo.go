// leat demo: real primaries with replicas, Leat in front of them, and the traffic of a feature store.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"leat/internal/localdb"
)

// demoOptions are the flags of leat demo.
type demoOptions struct {
	length time.Duration
	flavor string
	attach string
	admin  string
	user   string
}

func demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use: "demo", Short: "Try Leat: real servers, a feature store's data and traffic", Args: cobra.NoArgs,
		Long: "Start a MySQL or MariaDB primary with two replicas and a PostgreSQL primary with one on loopback, as far as they are installed, and " +
			"Leat in front of them, load a feature store's tables, run look-ups, batches and writes, kill a replica and bring it back, and show " +
			"where everything went.\n\nWith --attach nothing is started: the traffic goes to a Leat that runs already, to its MySQL port. The user's password is LEAT_DEMO_PASSWORD then, the admin token LEAT_TOKEN.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if o.attach != "" {
				return o.runAttached(ctx, cmd.OutOrStdout())
			}
			return o.runLocal(ctx, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.length, "for", 0, "end after so long, e.g. 20s (default: at Ctrl-C)")
	f.StringVar(&o.flavor, "flavor", "", "mysql, mariadb, postgres or postgres18 alone (default: what is installed)")
	f.StringVar(&o.attach, "attach", "", "send the traffic to the Leat at HOST:PORT")
	f.StringVar(&o.admin, "admin", "", "with --attach: that Leat's admin port, e.g. http://127.0.0.1:6070")
	f.StringVar(&o.user, "user", localdb.AppUser, "with --attach: who logs in")
	return cmd
}

// runAttached sends the traffic to a Leat that runs already.
func (o *demoOptions) runAttached(ctx context.Context, out io.Writer) error {
	password := os.Getenv("LEAT_DEMO_PASSWORD")
	if password == "" {
		password = localdb.AppPassword
	}
	d := &demo{out: out, stores: []*onlineStore{mysqlStore(o.attach, o.user, password)}, admin: o.admin, token: os.Getenv("LEAT_TOKEN")}
	return d.run(ctx, o.length, nil)
}

// runLocal starts servers and Leat, and sends the traffic to it.
func (o *demoOptions) runLocal(ctx context.Context, out io.Writer) error {
	flavors, err := o.findFlavors(ctx, out)
	if err != nil {
		return err
	}
	tops, err := startDemoServers(ctx, flavors, out)
	if err != nil {
		return err
	}
	defer closeAll(tops)
	dir, err := os.MkdirTemp("", "leat-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	in, log, err := demoInstance(ctx, dir, tops)
	if err != nil {
		return err
	}
	defer log.Close()
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // Leat ends after the traffic does
	defer end()
	ended := make(chan error, 1)
	go func() {
		err := in.Run(life, nil)
		end()
		ended <- err
	}()
	d := &demo{out: out, admin: "http://" + in.current.listen.Admin}
	for _, top := range tops {
		s := mysqlStore(in.current.listen.MySQL, localdb.AppUser, localdb.AppPassword)
		if top.Flavor.Dialect() == "postgres" {
			s = postgresStore(in.current.listen.Postgres, localdb.AppUser, localdb.AppPassword)
		}
		s.name = flavorNames[top.Flavor]
		d.stores = append(d.stores, s)
	}
	d.introduce(tops, in.path, log.Name())
	err = d.run(joined(ctx, life), o.length, replicaFailure(d, tops[0]))
	end()
	return errors.Join(err, <-ended)
}

// joined ends when either does.
func joined(a, b context.Context) context.Context {
	ctx, cancel := context.WithCancel(a)
	context.AfterFunc(b, cancel)
	return ctx
}

// findFlavors is one of MySQL's kin and PostgreSQL, as far as they are installed; or the one that was asked for.
func (o *demoOptions) findFlavors(ctx context.Context, out io.Writer) ([]localdb.Flavor, error) {
	wanted := [][]localdb.Flavor{localdb.Flavors, localdb.PostgresFlavors}
	if o.flavor != "" {
		flavor := localdb.Flavor(strings.ToLower(o.flavor))
		if !slices.Contains(slices.Concat(wanted...), flavor) {
			return nil, fmt.Errorf("flavor %q is not known; give --flavor mysql or mariadb, postgres or postgres18", o.flavor)
		}
		wanted = [][]localdb.Flavor{{flavor}}
	}
	var found []localdb.Flavor
	var errs []error
	for _, dialect := range wanted {
		flavor, err := firstInstalled(ctx, dialect)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, flavor)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there is no database server to try Leat with; make demo installs one: %w", errors.Join(errs...))
	}
	if len(errs) > 0 {
		missing := "PostgreSQL"
		if found[0].Dialect() == "postgres" {
			missing = "MySQL or MariaDB"
		}
		fmt.Fprintf(out, "There is no %s server here, so it is left out; make demo installs one.\n", missing)
	}
	return found, nil
}

func firstInstalled(ctx context.Context, flavors []localdb.Flavor) (localdb.Flavor, error) {
	var errs []error
	for _, f := range flavors {
		_, err := localdb.Find(ctx, f)
		if err == nil {
			return f, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", f, err))
	}
	return "", errors.Join(errs...)
}

// flavorNames are for people.
var flavorNames = map[localdb.Flavor]string{
	localdb.MySQL: "MySQL", localdb.MariaDB: "MariaDB", localdb.Postgres: "PostgreSQL", localdb.Postgres18: "PostgreSQL 18",
}

// startDemoServers starts a primary of each flavor, with two replicas of the first one's and one of another's.
func startDemoServers(ctx context.Context, flavors []localdb.Flavor, out io.Writer) ([]*localdb.Topology, error) {
	tops, errs := make([]*localdb.Topology, len(flavors)), make([]error, len(flavors))
	var wg sync.WaitGroup
	for i, flavor := range flavors {
		replicas, count := 2, "two replicas"
		if i > 0 {
			replicas, count = 1, "a replica"
		}
		fmt.Fprintf(out, "Starting a %s primary with %s on this machine ...\n", flavorNames[flavor], count)
		wg.Go(func() { tops[i], errs[i] = localdb.StartTopology(ctx, flavor, replicas) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		closeAll(tops)
		return nil, fmt.Errorf("the servers don't start: %w", err)
	}
	return tops, nil
}

func closeAll(tops []*localdb.Topology) {
	var wg sync.WaitGroup
	for _, top := range tops {
		if top != nil {
			wg.Go(top.Close)
		}
	}
	wg.Wait()
}

// demoConfig is a config like one that an operator would write.
func demoConfig(ctx context.Context, tops []*localdb.Topology) string {
	var listen, shards strings.Builder
	for _, top := range tops {
		dialect, port := top.Flavor.Dialect(), 6033
		if dialect == "postgres" {
			port = 6432
		}
		var replicas []string
		for _, r := range top.Replicas() {
			replicas = append(replicas, fmt.Sprintf("%q", r.Addr()))
		}
		fmt.Fprintf(&listen, "%s: %q, ", dialect, portOr(ctx, port))
		fmt.Fprintf(&shards, `
  - name: %s
    dialect: %s
    primary: %q
    replicas: [%s]`, dialect, dialect, top.Primary().Addr(), strings.Join(replicas, ", "))
	}
	return fmt.Sprintf(`listen: {%sadmin: %q}
users: [{name: %s, password: %s}]
monitor: {user: %s, password: %s, interval: 250ms}
shards:%s
`, listen.String(), portOr(ctx, 6070), localdb.AppUser, localdb.AppPassword, localdb.MonitorUser, localdb.MonitorPassword, shards.String())
}

// demoInstance makes a Leat of the demo's config that logs to a file.
func demoInstance(ctx context.Context, dir string, tops []*localdb.Topology) (*instance, *os.File, error) {
	path := filepath.Join(dir, "leat.yaml")
	if err := os.WriteFile(path, []byte(demoConfig(ctx, tops)), 0o600); err != nil {
		return nil, nil, err
	}
	l, err := loadConfig(path)
	if err != nil {
		return nil, nil, err
	}
	log, err := os.Create(filepath.Join(dir, "leat.log"))
	if err != nil {
		return nil, nil, err
	}
	level := new(slog.LevelVar)
	in, err := newInstance(path, l, newLogger(log, false, level), level)
	if err != nil {
		log.Close()
		return nil, nil, err
	}
	return in, log, nil
}

// portOr is an address on loopback with that port if it is free, else with one that is.
func portOr(ctx context.Context, port int) string {
	var lc net.ListenConfig
	for _, p := range []int{port, 0} {
		if l, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", p)); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	return fmt.Sprintf("127.0.0.1:%d", port) // Leat will say what is wrong with it
}

// replicaFailure kills a replica after a third of the time and brings it back.
func replicaFailure(d *demo, top *localdb.Topology) func(context.Context, time.Duration) {
	return func(ctx context.Context, length time.Duration) {
		if length == 0 {
			length = 20 * time.Second
		}
		replicas := top.Replicas()
		victim := replicas[len(replicas)-1]
		if !pause(ctx, length/3) {
			return
		}
		victim.Kill()
		d.say("--- replica %s was killed (kill -9); watch who notices", victim.Addr())
		if !pause(ctx, length/8) {
			return
		}
		if err := victim.Restart(ctx); err != nil {
			if ctx.Err() == nil {
				d.say("--- replica %s doesn't come back: %v", victim.Addr(), err)
			}
			return
		}
		d.say("--- replica %s is back; it catches up and takes reads again", victim.Addr())
	}
}

// pause waits; false means that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// leatctl is how to call leatctl: where this program is, if it is there too.
func leatctl() string {
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), "leatctl")
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	return "leatctl"
}

// introduce says what there is to try.
func (d *demo) introduce(tops []*localdb.Topology, config, log string) {
	d.say("\nLeat is in front of them. Try it from another terminal:")
	for i, s := range d.stores {
		d.say("  DSN      %s\n  client   %s", s.dsn(s), s.client(s, tops[i].Flavor))
	}
	d.say("  status   %s --admin %s status   (or open that address in a browser)", leatctl(), d.admin)
	d.say("  config   %s", config)
	d.say("  log      %s\n", log)
}
