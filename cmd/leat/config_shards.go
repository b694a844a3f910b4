// The sections about servers: shards, monitor and databases.
package main

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"leat/proxy/backend"
	"leat/shard"
)

// maxServers bounds the servers of one Leat: each has a monitor and pools.
const maxServers = 1000

func (b *builder) backend(c *config) backend.Config {
	t, lim := c.Timeouts, c.Limits
	out := backend.Config{
		Monitor:        b.monitor(&c.Monitor),
		ConnectTimeout: b.positive("timeouts.connect", t.Connect, 0),
		AcquireTimeout: b.positive("timeouts.acquire", t.Acquire, 0),
		MaxWaiters:     b.count("limits.pool_waiters", lim.PoolWaiters, 1, 1_000_000),
		HoldWindow:     b.positive("timeouts.hold", t.Hold, 0),
		HoldMax:        b.count("limits.hold_requests", lim.HoldRequests, 1, 1_000_000),
		IdleTimeout:    b.positive("timeouts.pool_idle", t.PoolIdle, 0),
		MaxLifetime:    b.positive("timeouts.pool_lifetime", t.PoolLifetime, 0),

		ResolveInterval: b.positive("monitor.resolve", c.Monitor.Resolve, 0),
	}
	if len(c.Shards) == 0 {
		b.found.add("shards", "there is no server; write shards: [{name: main, primary: 10.0.0.1:3306}]")
	}
	names, addresses := map[string]bool{}, map[string]string{}
	for i, s := range c.Shards {
		path := fmt.Sprintf("shards[%d]", i)
		if s.Name == "" {
			b.found.add(path+".name", "a shard needs a name")
		} else if names[s.Name] {
			b.found.add(path+".name", "%q is the name of another shard already", s.Name)
		}
		names[s.Name] = true
		out.Shards = append(out.Shards, b.shard(path, &s, addresses))
	}
	if len(addresses) > maxServers {
		b.found.add("shards", "%d servers are too many for one Leat; %d are possible", len(addresses), maxServers)
	}
	return out
}

func (b *builder) shard(path string, s *shardConfig, addresses map[string]string) backend.ShardConfig {
	b.oneOf(path+".dialect", s.Dialect, "mysql", "mysql", "postgres")
	b.oneOf(path+".balance", s.Balance, "least_connections",
		"least_connections", "random", "round_robin", "weighted_round_robin", "fastest")
	out := backend.ShardConfig{
		ID: shard.ID(s.Name), Dialect: s.dialect(), Balance: s.Balance,
		Primary:  s.Primary,
		PoolSize: b.count(path+".pool.size", s.Pool.Size, 1, 100_000),
		MaxLag:   orNegative(s.MaxLag), // 0: every read to the primary
	}
	b.server(path+".primary", s.Primary, addresses)
	for i, r := range s.Replicas {
		at := fmt.Sprintf("%s.replicas[%d]", path, i)
		b.server(at, r.Address, addresses)
		b.oneOf(at+".class", r.Class, "online", "online", "batch")
		weight := 1
		if r.Weight != nil {
			weight = b.count(at+".weight", r.Weight, 0, 1000)
		}
		out.Replicas = append(out.Replicas, backend.ServerConfig{Address: r.Address, Weight: weight, Class: r.Class})
	}
	if s.TLS != nil {
		out.TLS = b.serverTLS(path+".tls", s.TLS)
	}
	return out
}

func (s *shardConfig) dialect() shard.Dialect {
	if s.Dialect == shard.Postgres.String() {
		return shard.Postgres
	}
	return shard.MySQL
}

// server checks one address and that no other server has it.
func (b *builder) server(path, address string, addresses map[string]string) {
	if address == "" && b.found.has(path) {
		return // its key is misspelt, or its value couldn't be read
	}
	if address == "" {
		b.found.add(path, "an address is needed; write host:port")
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		b.found.add(path, "%q has no port; write %s", address, net.JoinHostPort(address, "3306"))
		return
	}
	n, err := strconv.Atoi(port)
	switch {
	case host == "" || err != nil:
		b.found.add(path, "%q is not an address; write host:port, as db1:3306", address)
		return
	case n < 1 || n > 65535:
		b.found.add(path, "%q is no port; write a number from 1 to 65535, as %s", port, net.JoinHostPort(host, "3306"))
		return
	}
	if other, ok := addresses[address]; ok {
		b.found.add(path, "%s is %s already; a server has one place", address, other)
		return
	}
	addresses[address] = path
}

func (b *builder) serverTLS(path string, c *serverTLSConfig) *tls.Config {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.SkipVerify}
	if c.CA != "" {
		out.RootCAs = b.certPool(path+".ca", c.CA)
	}
	if c.SkipVerify && c.CA != "" {
		b.found.add(path+".skip_verify", "a ca is given too, which wouldn't be looked at; leave one of them out")
	}
	switch {
	case c.Cert != "" && c.Key != "":
		out.Certificates = b.keyPair(path, c.Cert, c.Key)
	case (c.Cert != "" || c.Key != "") && !b.found.has(path):
		b.found.add(path, "cert and key belong together; give both or none")
	}
	return out
}

func (b *builder) monitor(m *monitorConfig) backend.Monitor {
	if m.User == "" {
		b.found.add("monitor.user", "health checks need a user on the servers; write monitor: {user: leat_monitor, password: ${MONITOR_PASSWORD}}")
	}
	if m.Expect != "" && m.Query == "" && !b.found.has("monitor.query") {
		b.found.add("monitor.expect", "it is what monitor.query should answer, but there is no query")
	}
	out := backend.Monitor{
		User: m.User, Password: b.secret("monitor.password", m.Password, m.PasswordFile),
		Interval: b.positive("monitor.interval", m.Interval, 0),
		Timeout:  b.positive("monitor.timeout", m.Timeout, 0),
		Query:    m.Query, Expect: m.Expect,
		Rise:      b.count("monitor.rise", m.Rise, 1, 1000),
		Fall:      b.count("monitor.fall", m.Fall, 1, 1000),
		SlowStart: orNegative(m.SlowStart),
	}
	if out.Interval != 0 && out.Interval < 10*time.Millisecond {
		b.found.add("monitor.interval", "%s would be a load of its own; write 10ms or more", out.Interval)
	}
	return out
}

// owners is the first content of the map: the shards and whose databases are whose.
func (b *builder) owners(c *config) (map[shard.ID]shard.Dialect, map[string]shard.ID) {
	shards, databases := map[shard.ID]shard.Dialect{}, map[string]shard.ID{}
	for _, s := range c.Shards {
		shards[shard.ID(s.Name)] = s.dialect()
	}
	for _, name := range slices.Sorted(maps.Keys(c.Databases)) {
		id := shard.ID(c.Databases[name].Shard)
		if _, ok := shards[id]; !ok {
			b.found.add("databases."+name+".shard", "there is no shard %q; %s", id, knownShards(shards))
		}
		databases[name] = id
	}
	return shards, databases
}

func knownShards(shards map[shard.ID]shard.Dialect) string {
	return fmt.Sprintf("the shards are %v", slices.Sorted(maps.Keys(shards)))
}
