// leat demo: a real primary with two replicas, Leat in front of them, and the traffic of a feature store.
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
		Long: "Start a primary with two replicas on loopback and Leat in front of them, load a feature store's tables, run look-ups, batches and " +
			"writes, kill a replica and bring it back, and show where everything went.\n\nWith --attach nothing is started: the traffic goes to a Leat " +
			"that runs already. The user's password is LEAT_DEMO_PASSWORD then, the admin token LEAT_TOKEN.",
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
	f.StringVar(&o.flavor, "flavor", "", "mysql or mariadb (default: what is installed)")
	f.StringVar(&o.attach, "attach", "", "send the traffic to the Leat at HOST:PORT")
	f.StringVar(&o.admin, "admin", "", "with --attach: that Leat's admin port, e.g. http://127.0.0.1:6070")
	f.StringVar(&o.user, "user", localdb.AppUser, "with --attach: who logs in")
	return cmd
}

// runAttached sends the traffic to a Leat that runs already.
func (o *demoOptions) runAttached(ctx context.Context, out io.Writer) error {
	d := &demo{out: out, address: o.attach, user: o.user, password: os.Getenv("LEAT_DEMO_PASSWORD"), admin: o.admin, token: os.Getenv("LEAT_TOKEN")}
	if d.password == "" {
		d.password = localdb.AppPassword
	}
	return d.run(ctx, o.length, nil)
}

// runLocal starts servers and Leat, and sends the traffic to it.
func (o *demoOptions) runLocal(ctx context.Context, out io.Writer) error {
	flavor, err := o.findFlavor(ctx)
	if err != nil {
		return err
	}
	name := map[localdb.Flavor]string{localdb.MySQL: "MySQL", localdb.MariaDB: "MariaDB"}[flavor]
	fmt.Fprintf(out, "Starting a %s primary with two replicas on this machine ...\n", name)
	top, err := localdb.StartTopology(ctx, flavor, 2)
	if err != nil {
		return fmt.Errorf("the servers don't start: %w", err)
	}
	defer top.Close()
	dir, err := os.MkdirTemp("", "leat-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	in, log, err := demoInstance(ctx, dir, top)
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
	d := &demo{
		out: out, address: in.current.listen.MySQL, user: localdb.AppUser, password: localdb.AppPassword,
		admin: "http://" + in.current.listen.Admin,
	}
	d.introduce(top, in.path, log.Name())
	err = d.run(joined(ctx, life), o.length, replicaFailure(d, top))
	end()
	return errors.Join(err, <-ended)
}

// joined ends when either does.
func joined(a, b context.Context) context.Context {
	ctx, cancel := context.WithCancel(a)
	context.AfterFunc(b, cancel)
	return ctx
}

func (o *demoOptions) findFlavor(ctx context.Context) (localdb.Flavor, error) {
	wanted := localdb.Flavors
	if o.flavor != "" {
		wanted = []localdb.Flavor{localdb.Flavor(strings.ToLower(o.flavor))}
		if !slices.Contains(localdb.Flavors, wanted[0]) {
			return "", fmt.Errorf("flavor %q is not known; give --flavor mysql or mariadb", o.flavor)
		}
	}
	var errs []error
	for _, f := range wanted {
		_, err := localdb.Find(ctx, f)
		if err == nil {
			return f, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", f, err))
	}
	return "", fmt.Errorf("there is no database server to try Leat with; make demo installs one: %w", errors.Join(errs...))
}

// demoInstance writes a config like one that an operator would write, and makes a Leat of it that logs to a file.
func demoInstance(ctx context.Context, dir string, top *localdb.Topology) (*instance, *os.File, error) {
	var replicas []string
	for _, r := range top.Replicas() {
		replicas = append(replicas, fmt.Sprintf("%q", r.Addr()))
	}
	text := fmt.Sprintf(`listen: {mysql: "%s", admin: "%s"}
users: [{name: %s, password: %s}]
monitor: {user: %s, password: %s, interval: 250ms}
shards:
  - name: main
    primary: "%s"
    replicas: [%s]
`, portOr(ctx, 6033), portOr(ctx, 6070), localdb.AppUser, localdb.AppPassword, localdb.MonitorUser, localdb.MonitorPassword,
		top.Primary().Addr(), strings.Join(replicas, ", "))
	path := filepath.Join(dir, "leat.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
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
		victim := top.Replicas()[1]
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
func (d *demo) introduce(top *localdb.Topology, config, log string) {
	client := "mysql"
	if top.Flavor == localdb.MariaDB {
		client = "mariadb"
	}
	host, port, _ := net.SplitHostPort(d.address)
	d.say("\nLeat is in front of them. Try it from another terminal:")
	d.say("  DSN      %s:%s@tcp(%s)/%s", d.user, d.password, d.address, demoDatabase)
	d.say("  client   %s -h %s -P %s -u %s -p%s %s", client, host, port, d.user, d.password, demoDatabase)
	d.say("  status   %s --admin %s status   (or open that address in a browser)", leatctl(), d.admin)
	d.say("  config   %s", config)
	d.say("  log      %s\n", log)
}
