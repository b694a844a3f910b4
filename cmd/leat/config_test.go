package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const minimal = `listen: {mysql: "127.0.0.1:6033"}
users: [{name: app, password: secret}]
monitor: {user: leat_monitor, password: m}
shards: [{name: main, primary: "10.0.0.1:3306"}]
`

func TestConfigMinimal(t *testing.T) {
	l, err := parseConfig("leat.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if got := l.proxy.Users[0].Password; got != "secret" {
		t.Errorf("password: got %q, want secret", got)
	}
	if got := l.backend.Shards[0].MaxLag; got != 0 {
		t.Errorf("max_lag: got %s, want the package's own default", got)
	}
	if got := l.drain; got != 30*time.Second {
		t.Errorf("drain: got %s, want 30s", got)
	}
}

func TestConfigEveryKey(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pw", "from-file\n")
	t.Setenv("APP_PASSWORD", "from-env")
	t.Setenv("INTERVAL", "500ms")
	text := `
listen: {mysql: /run/leat.sock, admin: "0.0.0.0:6070"}
users:
  - name: app
    password: ${APP_PASSWORD}
    server_user: feature_rw
    server_password_file: pw
    from: [10.0.0.0/8, 127.0.0.1]
    class: batch
    admin: true
  - {name: pinned, verifier: "*0123456789ABCDEF0123456789ABCDEF01234567", server_password: $${plain}}
monitor: {user: leat_monitor, password_file: pw, interval: ${INTERVAL}, timeout: 2s, query: SELECT 1, expect: "1", rise: 1, fall: 3, slow_start: 0, resolve: 7s}
shards:
  - name: main
    dialect: mysql
    primary: db1:3306
    replicas:
      - db2:3306
      - {address: "db3:3306", weight: 0, class: batch}
    balance: fastest
    max_lag: 0
    pool: {size: 5}
    tls: {server_name: db.example, skip_verify: true}
databases: {profiles: {shard: main}}
consistency: eventual
timeouts: {connect: 1s, acquire: 2s, handshake: 3s, idle: 4s, query: 5s, tx: 6s, tx_idle: 7s, hold: 8s, drain: 9s, pool_idle: 1m, pool_lifetime: 10m}
limits: {clients: 10, packet: 1MiB, statements: 11, digests: 12, hold_requests: 13, pool_waiters: 14, plan_cache: 2MiB}
proxy_networks: [10.1.0.0/16]
local_infile: true
slow_query: 0
pure_functions: [Geo_Hash]
log: {level: debug, format: json}
admin: {token: 0123456789abcdef}
`
	l, err := parseConfig(filepath.Join(dir, "leat.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := l.proxy.Users[0]
	s := l.backend.Shards[0]
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"password", u.Password, "from-env"},
		{"server password", u.ServerPassword, "from-file"},
		{"from", u.From[1].String(), "127.0.0.1/32"},
		{"class", u.Class, "batch"},
		{"escaped", l.proxy.Users[1].ServerPassword, "${plain}"},
		{"monitor", l.backend.Monitor.Password, "from-file"},
		{"interval", l.backend.Monitor.Interval, 500 * time.Millisecond},
		{"short replica", s.Replicas[0].Address, "db2:3306"},
		{"short weight", s.Replicas[0].Weight, 1},
		{"weight 0", s.Replicas[1].Weight, 0},
		{"max_lag 0", s.MaxLag, time.Duration(-1)},
		{"tls", s.TLS.ServerName, "db.example"},
		{"slow_query 0", l.proxy.SlowQuery, time.Duration(-1)},
		{"packet", l.proxy.MaxPacket, 1 << 20},
		{"plan cache", l.router.PlanCacheBytes, 2 << 20},
		{"pure function", l.router.PureFunctions[0], "geo_hash"},
		{"hold", l.backend.HoldWindow, 8 * time.Second},
		{"tx_idle", l.proxy.TxIdleTimeout, 7 * time.Second},
		{"json", l.json, true},
		{"owner", string(l.databases["profiles"]), "main"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, c.got, c.want)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestConfigProblems holds every mistake to its line, its path and a hint.
func TestConfigProblems(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{"leat.yaml: the file is empty"}},
		{"syntax", "listen: {mysql: a\nusers: [", []string{"leat.yaml:"}},
		{"twice", minimal + "shards: []\n", []string{"leat.yaml:5: ", "already"}},
		{"wrong type", minimal + "limits: [1]\n", []string{"leat.yaml:5: limits: a list doesn't belong here; write keys: clients"}},
		{"wrong scalar", minimal + "limits: 7\n", []string{`leat.yaml:5: limits: "7" doesn't belong here; write keys: clients`}},
		{"misspelt", minimal + "limits: {client: 7}\n", []string{"leat.yaml:5: limits.client: unknown key; did you mean clients?"}},
		{"not built", minimal + "tenants: {acme: s1}\ncache: {size: 1MiB}\nstore: {file: x}\n", []string{
			"leat.yaml:5: tenants: unknown key; known here: listen", "leat.yaml:6: cache: unknown key", "leat.yaml:7: store: unknown key",
		}},
		{"postgres", strings.Replace(minimal, "listen: {", "listen: {postgres: \":1\", ", 1), []string{"leat.yaml:1: listen.postgres: no shard has dialect postgres"}},
		{"dialect", strings.Replace(minimal, "name: main,", "name: main, dialect: postgres,", 1), []string{
			"leat.yaml:1: listen.mysql: no shard has dialect mysql; leave the port out", "leat.yaml:1: listen.postgres: where clients connect is needed",
		}},
		{"no such dialect", strings.Replace(minimal, "name: main,", "name: main, dialect: oracle,", 1), []string{`leat.yaml:4: shards[0].dialect: "oracle"`}},
		{"numbers", minimal + "limits:\n  clients: many\n  packet: 3MB\n  digests: 5\n", []string{
			`leat.yaml:6: limits.clients: "many" is not a whole number`,
			`leat.yaml:7: limits.packet: "3MB" is not a size; write bytes, or a number with KiB, MiB or GiB: 64MiB`,
			"leat.yaml:8: limits.digests: 5 is out of range; write 10 to 100000",
		}},
		{"durations", minimal + "timeouts:\n  idle: 5\n  drain: 0\n  hold: -1s\n", []string{
			`leat.yaml:6: timeouts.idle: "5" is not a duration; write a number with its unit`,
			"leat.yaml:7: timeouts.drain: 0 isn't possible",
			`leat.yaml:8: timeouts.hold: "-1s" is not a duration`,
		}},
		{"environment", strings.Replace(minimal, "secret", "${LEAT_TEST_NOT_SET}", 1), []string{
			"leat.yaml:2: users[0].password: environment variable \"LEAT_TEST_NOT_SET\" isn't set",
		}},
		{"users", strings.Replace(minimal, "users: [{name: app, password: secret}]", `users:
  - {name: app, class: fast, password: a}
  - {name: app, password: b}
  - {password: c}
  - {name: d}
  - {name: e, verifier: "*0123456789ABCDEF0123456789ABCDEF01234567"}
  - {name: f, password: a, from: [here]}`, 1), []string{
			`leat.yaml:3: users[0].class: "fast" is not known here; write one of online, batch (default online)`,
			`leat.yaml:4: users[1].name: "app" is already in line 3`,
			"leat.yaml:5: users[2].name: a user needs a name",
			"leat.yaml:6: users[3]: a password is needed",
			"leat.yaml:7: users[4].verifier: a verifier can't log in to the servers",
			`leat.yaml:8: users[5].from[0]: "here" is not a network`,
		}},
		{"shards", `listen: {mysql: "localhost:6033"}
users: [{name: app, password: secret}]
monitor: {password: x}
shards:
  - name: main
    primary: db1
    replicas: [db2:3306, "db2:3306"]
    balance: best
  - {name: main, primary: "db2:3306"}
databases: {d: {shard: other}}
`, []string{
			"leat.yaml:3: monitor.user: health checks need a user",
			`leat.yaml:6: shards[0].primary: "db1" has no port; write db1:3306`,
			"leat.yaml:7: shards[0].replicas[1]: db2:3306 is shards[0].replicas[0] already",
			`leat.yaml:8: shards[0].balance: "best" is not known here`,
			`leat.yaml:9: shards[1].name: "main" is the name of another shard already`,
			`leat.yaml:10: databases.d.shard: there is no shard "other"; the shards are [main]`,
		}},
		{"open admin", strings.Replace(minimal, "listen: {", "listen: {admin: \":6070\", ", 1), []string{
			"leat.yaml:1: listen.admin: :6070 can be reached from other machines; set admin.token_file too, or listen on 127.0.0.1",
		}},
		{"short token", minimal + "admin: {token: abc}\n", []string{"leat.yaml:5: admin: the token has 3 characters"}},
		{"tls", minimal + "tls: {cert: none.crt}\n", []string{"leat.yaml:5: tls: cert and key are both needed"}},
		{"missing files", minimal + "tls: {cert: none.crt, key: none.key}\nadmin: {token_file: none}\n", []string{
			"leat.yaml:5: tls: the certificate can't be used: open none.crt", "leat.yaml:6: admin.token_file: the file can't be read",
		}},
		{"nothing", "log: {level: loud}\n", []string{"leat.yaml: shards: there is no server", "leat.yaml: users: nobody"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseConfig("leat.yaml", []byte(c.text))
			if err == nil {
				t.Fatal("got no problem")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got:\n%v\nwant a line with: %s", err, want)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a password is in the problems: %v", err)
			}
		})
	}
}

// TestConfigProblemsOnce: one mistake isn't told twice, nor do false ones follow from it.
func TestConfigProblemsOnce(t *testing.T) {
	const form = "the verifier is neither '*' with 40 upper-case hex digits nor"
	for _, c := range []struct {
		name, text string
		want       []string // the lines, in order
	}{
		{"durations", minimal + "timeouts:\n  hold: 5\n  drain: -1s\n", []string{
			`leat.yaml:6: timeouts.hold: "5" is not a duration`, `leat.yaml:7: timeouts.drain: "-1s" is not a duration`,
		}},
		{"what couldn't be read", minimal + "limits: {packet: x, clients: y}\n" + "tls: {cert: ${LEAT_TEST_NOT_SET}, key: k}\n", []string{
			`leat.yaml:5: limits.packet: "x" is not a size`, `leat.yaml:5: limits.clients: "y" is not a whole number`,
			`leat.yaml:6: tls.cert: environment variable "LEAT_TEST_NOT_SET" isn't set`,
		}},
		{"what couldn't be read of a user", strings.Replace(minimal, "password: secret", "password_file: ${LEAT_TEST_NOT_SET}", 1), []string{
			"leat.yaml:2: users[0].password_file: environment variable",
		}},
		{"misspelt in a replica", strings.Replace(minimal, `306"}`, `306", replicas: [{adress: "a:1"}]}`, 1), []string{
			"leat.yaml:4: shards[0].replicas[0].adress: unknown key; did you mean address?",
		}},
		{"address in {}", strings.Replace(minimal, `306"}`, `306", replicas: [10.0.0.2:3306, db3:3306]}`, 1), []string{
			`leat.yaml:4: shards[0].replicas[0]: in {...}, what has a colon is read as a mapping unless it is quoted; write "10.0.0.2:3306"`,
			`leat.yaml:4: shards[0].replicas[1]: in {...}, what has a colon is read as a mapping unless it is quoted; write "db3:3306"`,
		}},
		{"ports", strings.ReplaceAll(strings.Replace(minimal, "6033", "66033", 1), ":3306", ":70000"), []string{
			`leat.yaml:1: listen.mysql: "66033" is no port; write a number from 1 to 65535`,
			`leat.yaml:4: shards[0].primary: "70000" is no port; write a number from 1 to 65535, as 10.0.0.1:3306`,
		}},
		{"verifiers", strings.Replace(minimal, "{name: app, password: secret}", "{name: a, verifier: '*ab', password: b}, {name: c, verifier: x, server_password: y}", 1), []string{
			"leat.yaml:2: users[0].verifier: a password is given too", "leat.yaml:2: users[0].verifier: a verifier can't log in",
			"leat.yaml:2: users[0].verifier: " + form, "leat.yaml:2: users[1].verifier: " + form,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseConfig("leat.yaml", []byte(c.text))
			got := strings.Split(errorText(err), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(got), len(c.want), err)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got %s, want %s", got[i], want)
				}
			}
		})
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(minimal)
	f.Add("a: &x {b: *x}\n<<: *x\n? [1]\n: 2\n")
	f.Add("users:\n- - - {}\n--- \n!!map x: |\n  y\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseConfig("leat.yaml", []byte(text))
		if (l == nil) == (err == nil) {
			t.Errorf("got %v and %v, want one of them", l, err)
		}
	})
}
