// The config file: its keys, in the order of docs/config.md, and how it is read. What the values mean
// for each package is in config_build.go; what is refused, in config_check.go.
package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"leat/shard"
)

// config is the file as written. A nil pointer or a zero value takes the default of docs/config.md.
type config struct {
	Listen        listenConfig              `yaml:"listen"`
	TLS           *tlsConfig                `yaml:"tls"`
	Users         []userConfig              `yaml:"users"`
	Monitor       monitorConfig             `yaml:"monitor"`
	Shards        []shardConfig             `yaml:"shards"`
	Databases     map[string]databaseConfig `yaml:"databases"`
	Consistency   string                    `yaml:"consistency"`
	Timeouts      timeoutConfig             `yaml:"timeouts"`
	Limits        limitConfig               `yaml:"limits"`
	ProxyNetworks []network                 `yaml:"proxy_networks"`
	LocalInfile   bool                      `yaml:"local_infile"`
	SlowQuery     *duration                 `yaml:"slow_query"`
	PureFunctions []string                  `yaml:"pure_functions"`
	Log           logConfig                 `yaml:"log"`
	Admin         adminConfig               `yaml:"admin"`
}

type listenConfig struct {
	MySQL    string `yaml:"mysql"`
	Postgres string `yaml:"postgres"`
	Admin    string `yaml:"admin"`
}

// port is where clients of one dialect connect.
type port struct {
	dialect shard.Dialect
	key     string // in the config
	address string // empty: not served
}

// ports are those of all dialects.
func (l listenConfig) ports() []port {
	return []port{{shard.MySQL, "listen.mysql", l.MySQL}, {shard.Postgres, "listen.postgres", l.Postgres}}
}

type tlsConfig struct {
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	ClientCA string `yaml:"client_ca"`
	Required bool   `yaml:"required"`
}

type userConfig struct {
	Name               string    `yaml:"name"`
	Password           *string   `yaml:"password"`
	PasswordFile       string    `yaml:"password_file"`
	Verifier           string    `yaml:"verifier"`
	ServerUser         string    `yaml:"server_user"`
	ServerPassword     *string   `yaml:"server_password"`
	ServerPasswordFile string    `yaml:"server_password_file"`
	From               []network `yaml:"from"`
	Class              string    `yaml:"class"`
	Admin              bool      `yaml:"admin"`
}

type monitorConfig struct {
	User         string    `yaml:"user"`
	Password     *string   `yaml:"password"`
	PasswordFile string    `yaml:"password_file"`
	Interval     *duration `yaml:"interval"`
	Timeout      *duration `yaml:"timeout"`
	Query        string    `yaml:"query"`
	Expect       string    `yaml:"expect"`
	Rise         *int      `yaml:"rise"`
	Fall         *int      `yaml:"fall"`
	SlowStart    *duration `yaml:"slow_start"`
	Resolve      *duration `yaml:"resolve"`
}

type shardConfig struct {
	Name     string           `yaml:"name"`
	Dialect  string           `yaml:"dialect"`
	Primary  string           `yaml:"primary"`
	Replicas []replicaConfig  `yaml:"replicas"`
	Balance  string           `yaml:"balance"`
	MaxLag   *duration        `yaml:"max_lag"`
	Pool     poolConfig       `yaml:"pool"`
	TLS      *serverTLSConfig `yaml:"tls"`
}

type replicaConfig struct {
	Address string `yaml:"address"`
	Weight  *int   `yaml:"weight"`
	Class   string `yaml:"class"`
}

// UnmarshalText reads the short form, an address alone.
func (r *replicaConfig) UnmarshalText(text []byte) error {
	r.Address = string(text)
	return nil
}

type poolConfig struct {
	Size *int `yaml:"size"`
}

type serverTLSConfig struct {
	CA         string `yaml:"ca"`
	Cert       string `yaml:"cert"`
	Key        string `yaml:"key"`
	ServerName string `yaml:"server_name"`
	SkipVerify bool   `yaml:"skip_verify"`
}

type databaseConfig struct {
	Shard string `yaml:"shard"`
}

type timeoutConfig struct {
	Connect   *duration `yaml:"connect"`
	Acquire   *duration `yaml:"acquire"`
	Handshake *duration `yaml:"handshake"`
	Idle      *duration `yaml:"idle"`
	Query     *duration `yaml:"query"`
	Tx        *duration `yaml:"tx"`
	TxIdle    *duration `yaml:"tx_idle"`
	Hold      *duration `yaml:"hold"`
	Drain     *duration `yaml:"drain"`

	PoolIdle     *duration `yaml:"pool_idle"`
	PoolLifetime *duration `yaml:"pool_lifetime"`
}

type limitConfig struct {
	Clients      *int  `yaml:"clients"`
	Packet       *size `yaml:"packet"`
	Statements   *int  `yaml:"statements"`
	Digests      *int  `yaml:"digests"`
	HoldRequests *int  `yaml:"hold_requests"`
	PoolWaiters  *int  `yaml:"pool_waiters"`
	PlanCache    *size `yaml:"plan_cache"`
}

type logConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

type adminConfig struct {
	Token     string `yaml:"token"`
	TokenFile string `yaml:"token_file"`
}

// loadConfig reads and checks a config file. The error is a *problems with everything that is wrong
// with it, or says why the file can't be read.
func loadConfig(path string) (*loaded, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w; name the config file with --config", err)
	}
	return parseConfig(path, text)
}

func parseConfig(path string, text []byte) (*loaded, error) {
	found := &problems{file: path, lines: map[string]int{}}
	var c config
	decodeYAML(text, &c, found)
	if len(found.list) > 0 && found.lines["shards"] == 0 && found.lines["listen"] == 0 {
		return nil, found // not a config at all: what is missing isn't worth saying
	}
	b := builder{found: found, dir: filepath.Dir(path)}
	l := b.build(&c)
	if len(found.list) > 0 {
		return nil, found
	}
	return l, nil
}

// duration is a time span in the file: 500ms, 2s, 8h; 0 needs no unit.
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is not a duration; write a number with its unit: 500ms, 2s, 5m, 8h", text)
	}
	*d = duration(parsed)
	return nil
}

// or is the duration, or the default when the key isn't given.
func (d *duration) or(value time.Duration) time.Duration {
	if d == nil {
		return value
	}
	return time.Duration(*d)
}

// orNegative is the duration; -1 for one that is given as 0 and means never; 0 when the key isn't given.
func orNegative(d *duration) time.Duration {
	if d != nil && *d == 0 {
		return -1
	}
	return d.or(0)
}

// size is a number of bytes in the file: 4096, 64KiB, 64MiB, 1GiB.
type size int

var sizeForm = regexp.MustCompile(`^(\d+) ?(B|KiB|MiB|GiB|)$`)

func (s *size) UnmarshalText(text []byte) error {
	m := sizeForm.FindStringSubmatch(strings.TrimSpace(string(text)))
	bad := fmt.Errorf("%q is not a size; write bytes, or a number with KiB, MiB or GiB: 64MiB", text)
	if m == nil {
		return bad
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	shift := map[string]int{"KiB": 10, "MiB": 20, "GiB": 30}[m[2]]
	if err != nil || n > maxSize>>shift {
		return bad
	}
	*s = size(n << shift)
	return nil
}

// maxSize is the largest size that makes sense anywhere in the file: 1 TiB.
const maxSize = 1 << 40

func (s *size) or(value int) int {
	if s == nil {
		return value
	}
	return int(*s)
}

// network is an address range in the file: 10.0.0.0/8, or one address.
type network struct{ netip.Prefix }

func (n *network) UnmarshalText(text []byte) error {
	if addr, err := netip.ParseAddr(string(text)); err == nil {
		n.Prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a network; write one as 10.0.0.0/8 or an address as 10.0.0.1", text)
	}
	n.Prefix = prefix.Masked()
	return nil
}

func prefixes(networks []network) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(networks))
	for _, n := range networks {
		out = append(out, n.Prefix)
	}
	return out
}

func intOr(p *int, value int) int {
	if p == nil {
		return value
	}
	return *p
}
