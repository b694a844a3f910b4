package backend

// Which servers there are and how they are used, with defaults and validation.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"leat/shard"
)

// Config says which servers there are and how they are used. Zero values take the defaults named here.
type Config struct {
	Shards  []ShardConfig
	Monitor Monitor
	// ConnectTimeout bounds connecting and logging in to a server. Default 5s.
	ConnectTimeout time.Duration
	// AcquireTimeout bounds the wait for a conn of a server whose conns are all lent. Default 10s.
	AcquireTimeout time.Duration
	// MaxWaiters bounds the requests that wait so at one server; one more fails at once. Default 1,000.
	MaxWaiters int
	// HoldWindow is how long a request that needs the primary waits for one to appear. Default 10s.
	HoldWindow time.Duration
	// HoldMax bounds the requests that wait so in one shard; one more fails at once. Default 1,000.
	HoldMax int
	// IdleTimeout closes a pooled conn that nobody used for so long. Default 5m.
	IdleTimeout time.Duration
	// MaxLifetime closes a pooled conn that is older, give or take a tenth, when it is released. Default 1h.
	MaxLifetime time.Duration
	// ResolveInterval is how often the names of servers are looked up again. Default 5s.
	ResolveInterval time.Duration
	// Resolver looks names up. Default net.DefaultResolver.
	Resolver Resolver
}

// ShardConfig is one shard: a primary and its replicas. Which of the servers is the primary is
// found out by asking them; Primary is merely where to begin.
type ShardConfig struct {
	ID       shard.ID
	Dialect  shard.Dialect
	Primary  string // host:port
	Replicas []ServerConfig
	// Balance chooses among replicas: least_connections (default), random, round_robin,
	// weighted_round_robin or fastest.
	Balance string
	// MaxLag is how far behind a replica may be and still serve reads. Default 2s; negative sends
	// every read to the primary. MySQL and MariaDB report whole seconds.
	MaxLag time.Duration
	// PoolSize is how many conns are open to each server at most. Default 50.
	PoolSize int
	// TLS is used for every conn to the shard's servers; nil: none. Without a ServerName the host
	// of the address is expected in the certificate.
	TLS *tls.Config
}

// ServerConfig is one replica.
type ServerConfig struct {
	Address string // host:port
	// Weight is the share of reads that the server takes, relative to the others. Usually 1;
	// 0, also when it is left out, means no reads.
	Weight int
	// Class is which reads the server takes: online (default) or batch.
	Class string
}

// Monitor says how servers are probed.
type Monitor struct {
	// User and Password log in to the servers. The user needs REPLICATION CLIENT (MySQL), SLAVE
	// MONITOR (MariaDB) or pg_monitor (PostgreSQL).
	User, Password string
	// Database is the one that it logs in to on PostgreSQL. Default postgres.
	Database string
	// Interval is the time between probes of one server. Default 1s.
	Interval time.Duration
	// Timeout bounds one probe. Default 1s.
	Timeout time.Duration
	// Query is an optional statement that a healthy server answers with Expect in the first column
	// of its first row. With an empty Expect any row will do.
	Query, Expect string
	// Rise and Fall are how many probes in a row bring a server back and take it out. A refused
	// connection counts twice. Default 2 and 2.
	Rise, Fall int
	// SlowStart is how long a server that came back takes to reach its full share of reads.
	// Default 10s; negative: none.
	SlowStart time.Duration
	// NewProber makes the probers, in place of the dialect's own. It is for tests.
	NewProber func(ProbeTarget) Prober
}

// Resolver looks up a host's addresses. *net.Resolver is one.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// Classes of reads.
const (
	Online = "online" // look-ups that somebody waits for
	Batch  = "batch"  // scans that may take their time
)

// maxServers bounds the servers of one shard: a choice among them allocates nothing.
const maxServers = 32

// Validate reports everything that is wrong with the config, each problem on a line of its own.
func (c *Config) Validate() error {
	var p problems
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"connect timeout", c.ConnectTimeout},
		{"acquire timeout", c.AcquireTimeout},
		{"hold window", c.HoldWindow},
		{"idle timeout", c.IdleTimeout},
		{"max lifetime", c.MaxLifetime},
		{"resolve interval", c.ResolveInterval},
		{"monitor interval", c.Monitor.Interval},
		{"monitor timeout", c.Monitor.Timeout},
	} {
		p.add(d.value < 0, "%s %v: must not be negative", d.name, d.value)
	}
	p.add(c.MaxWaiters < 0, "max waiters %d: must not be negative", c.MaxWaiters)
	p.add(c.HoldMax < 0, "hold max %d: must not be negative", c.HoldMax)
	p.add(c.Monitor.Rise < 0 || c.Monitor.Fall < 0, "monitor rise and fall: must not be negative")
	p.add(c.Monitor.User == "" && c.Monitor.NewProber == nil, "monitor user: must be set, servers are probed with it")
	p.add(c.Monitor.Expect != "" && c.Monitor.Query == "", "monitor expect: needs a monitor query")
	p.add(len(c.Shards) == 0, "no shards")
	ids := map[shard.ID]bool{}
	for i := range c.Shards {
		s := &c.Shards[i]
		p.add(ids[s.ID], "shard %q: named twice", s.ID)
		ids[s.ID] = true
		s.validate(&p)
	}
	return errors.Join(p...)
}

func (s *ShardConfig) validate(p *problems) {
	p.add(s.ID == "", "a shard without a name")
	p.add(s.Dialect != shard.MySQL && s.Dialect != shard.Postgres, "shard %q: unknown dialect", s.ID)
	p.add(s.Balance != "" && !slices.Contains(Policies, s.Balance), "shard %q: balance %q: want one of %s",
		s.ID, s.Balance, strings.Join(Policies, ", "))
	p.add(s.PoolSize < 0, "shard %q: pool size %d: must not be negative", s.ID, s.PoolSize)
	p.add(len(s.Replicas) >= maxServers, "shard %q: %d replicas: at most %d", s.ID, len(s.Replicas), maxServers-1)
	seen := map[string]bool{}
	for _, r := range append([]ServerConfig{{Address: s.Primary}}, s.Replicas...) {
		p.add(seen[r.Address], "shard %q: server %q: named twice", s.ID, r.Address)
		seen[r.Address] = true
		err := checkAddress(r.Address)
		p.add(err != nil, "shard %q: server %q: %v", s.ID, r.Address, err)
		p.add(r.Weight < 0 || r.Weight > 1000, "shard %q: server %q: weight %d: want 0 to 1000", s.ID, r.Address, r.Weight)
		p.add(r.Class != "" && r.Class != Online && r.Class != Batch, "shard %q: server %q: class %q: want online or batch", s.ID, r.Address, r.Class)
	}
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return errors.New("want host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %q: want 1 to 65535", port)
	}
	return nil
}

// problems collects what is wrong.
type problems []error

func (p *problems) add(wrong bool, format string, args ...any) {
	if wrong {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

// withDefaults returns the config with its defaults filled in. The shards are copied.
func (c Config) withDefaults() Config {
	set(&c.ConnectTimeout, 5*time.Second)
	set(&c.AcquireTimeout, 10*time.Second)
	set(&c.MaxWaiters, 1000)
	set(&c.HoldWindow, 10*time.Second)
	set(&c.HoldMax, 1000)
	set(&c.IdleTimeout, 5*time.Minute)
	set(&c.MaxLifetime, time.Hour)
	set(&c.ResolveInterval, 5*time.Second)
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	set(&c.Monitor.Database, "postgres")
	set(&c.Monitor.Interval, time.Second)
	set(&c.Monitor.Timeout, time.Second)
	set(&c.Monitor.Rise, 2)
	set(&c.Monitor.Fall, 2)
	set(&c.Monitor.SlowStart, 10*time.Second)
	c.Shards = slices.Clone(c.Shards)
	for i := range c.Shards {
		s := &c.Shards[i]
		set(&s.Balance, LeastConnections)
		set(&s.MaxLag, 2*time.Second)
		set(&s.PoolSize, 50)
	}
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
