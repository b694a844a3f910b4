package localdb

// A primary with its replicas.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// TopologyOptions say what to start.
type TopologyOptions struct {
	Flavor Flavor
	// Replicas that follow the primary. Zero: a lone primary.
	Replicas int
	// SemiSync makes the primary wait, for at most 10s per commit, until one replica has received a write
	// before it acknowledges it; PostgreSQL waits for ever. A promoted replica then has every acknowledged write.
	// Default off.
	SemiSync bool
	// Extra options of every server, as in Options.
	Extra []string
	// FirstServerID numbers the servers upwards. Default 1.
	FirstServerID int
}

// Topology is a primary and its replicas. Server i keeps its index for life, whatever its role is.
// A server that restarts comes back in its last role: a replica replicates by itself. A primary that was
// killed and replaced comes back writable, as in production; Follow makes it a replica.
// Its methods are for one goroutine at a time, except Primary and Replicas.
type Topology struct {
	Flavor Flavor
	// Servers in the order in which they were made; Servers[0] is the first primary.
	Servers []*Server

	semiSync bool
	// mu guards primary.
	mu      sync.Mutex
	primary int
}

// StartTopology starts a primary and its replicas, and waits until they replicate.
func StartTopology(ctx context.Context, flavor Flavor, replicas int) (*Topology, error) {
	return StartTopologyWith(ctx, TopologyOptions{Flavor: flavor, Replicas: replicas})
}

// StartTopologyWith is StartTopology with more to choose.
func StartTopologyWith(ctx context.Context, opts TopologyOptions) (*Topology, error) {
	if opts.FirstServerID == 0 {
		opts.FirstServerID = 1
	}
	t := &Topology{Flavor: opts.Flavor, semiSync: opts.SemiSync, Servers: make([]*Server, opts.Replicas+1)}
	errs := make([]error, len(t.Servers))
	var wg sync.WaitGroup
	for i := range t.Servers {
		wg.Go(func() {
			t.Servers[i], errs[i] = Start(ctx, Options{
				Flavor: opts.Flavor, ServerID: opts.FirstServerID + i, ReadOnly: i > 0,
				Extra: append(semiSyncArgs(opts), opts.Extra...),
			})
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err == nil {
		err = t.followAll(ctx)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// semiSyncArgs let every server be either side of semi-synchronous replication.
func semiSyncArgs(opts TopologyOptions) []string {
	switch {
	case !opts.SemiSync:
		return nil
	case opts.Flavor.Dialect() == "postgres":
		return []string{"--synchronous-standby-names=ANY 1 (*)"}
	case opts.Flavor == MariaDB:
		return []string{
			"--rpl-semi-sync-master-enabled=ON", "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
			"--rpl-semi-sync-master-wait-no-slave=OFF", "--rpl-semi-sync-slave-enabled=ON",
		}
	}
	return []string{
		"--plugin-load-add=semisync_source.so", "--plugin-load-add=semisync_replica.so",
		"--loose-rpl-semi-sync-source-enabled=ON", "--loose-rpl-semi-sync-replica-enabled=ON",
		"--loose-rpl-semi-sync-source-wait-no-replica=OFF",
	}
}

// followAll makes every other server follow the primary.
func (t *Topology) followAll(ctx context.Context) error {
	for _, s := range t.Replicas() {
		if err := t.Follow(ctx, s); err != nil {
			return err
		}
	}
	return t.WaitSynced(ctx)
}

// Primary is the server that takes writes.
func (t *Topology) Primary() *Server { return t.Servers[t.primaryIndex()] }

// Replicas are the other servers, running or not, in the order of Servers.
func (t *Topology) Replicas() []*Server {
	p := t.Primary()
	var all []*Server
	for _, s := range t.Servers {
		if s != p {
			all = append(all, s)
		}
	}
	return all
}

func (t *Topology) primaryIndex() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.primary
}

// Follow makes a server a read-only replica of the primary and starts its replication: a new one, or
// one that was a primary itself, killed or stopped, and was restarted. Writes of its own that never
// reached another server stay on it, and may stop its replication. PostgreSQL restarts one that was a primary, and takes
// such writes back.
func (t *Topology) Follow(ctx context.Context, s *Server) error {
	if err := t.Flavor.replication().follow(ctx, t, s); err != nil {
		return fmt.Errorf("make port %d follow port %d: %w", s.Port, t.Primary().Port, err)
	}
	s.opts.ReadOnly = true
	return nil
}

// StopReplication stops replication on server i, as STOP REPLICA does. PostgreSQL goes on to receive and stops applying.
func (t *Topology) StopReplication(ctx context.Context, i int) error {
	return t.Flavor.replication().stop(ctx, t.Servers[i])
}

// StartReplication starts replication on server i again.
func (t *Topology) StartReplication(ctx context.Context, i int) error {
	return t.Flavor.replication().start(ctx, t.Servers[i])
}

// WaitSynced waits until every running server has applied all that the primary has committed by
// now. A paused server, or one whose replication is stopped, makes it wait until ctx ends.
func (t *Topology) WaitSynced(ctx context.Context) error {
	var running []*Server
	for _, s := range t.Replicas() {
		if s.PID() != 0 {
			running = append(running, s)
		}
	}
	return t.WaitSyncedWith(ctx, running...)
}

// WaitSyncedWith is WaitSynced for some servers.
func (t *Topology) WaitSyncedWith(ctx context.Context, servers ...*Server) error {
	position, err := t.Flavor.replication().position(ctx, t.Primary())
	if err != nil {
		return err
	}
	for _, s := range servers {
		if err := t.waitPosition(ctx, s, position); err != nil {
			return err
		}
	}
	return nil
}

// waitPosition waits until a server has applied a position.
func (t *Topology) waitPosition(ctx context.Context, s *Server, position string) error {
	if err := t.Flavor.replication().wait(ctx, s, position); err != nil {
		return fmt.Errorf("port %d doesn't reach %s: %w; %s", s.Port, position, err, t.replicaError(s))
	}
	return nil
}

// replicaError is what a server says of its replication.
func (t *Topology) replicaError(s *Server) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return t.Flavor.replication().describe(ctx, s)
}

// Replicating reports whether a server receives from its primary and applies what it receives.
func (t *Topology) Replicating(ctx context.Context, s *Server) (bool, error) {
	return t.Flavor.replication().running(ctx, s)
}

// Close kills the servers and removes their data.
func (t *Topology) Close() {
	var wg sync.WaitGroup
	for _, s := range t.Servers {
		if s != nil {
			wg.Go(s.Close)
		}
	}
	wg.Wait()
}

// Index is a server's place in Servers, or -1.
func (t *Topology) Index(s *Server) int {
	for i := range t.Servers {
		if t.Servers[i] == s {
			return i
		}
	}
	return -1
}

// String names the servers for a log.
func (t *Topology) String() string {
	text := string(t.Flavor) + " primary " + strconv.Itoa(t.Primary().Port)
	for _, s := range t.Replicas() {
		text += " replica " + strconv.Itoa(s.Port)
	}
	return text
}
