package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"leat/proxy/admin"
)

func runLeat(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good.yaml", minimal)
	write(t, dir, "bad.yaml", minimal+"limit: {}\nlog: {level: loud}\n")
	write(t, dir, "unreachable.yaml", strings.Replace(minimal, "10.0.0.1:3306", "127.0.0.1:1", 1))
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	for _, c := range []struct {
		name string
		args []string
		want []string
		err  []string
	}{
		{name: "version", args: []string{"version"}, want: []string{"leat ", "go1."}},
		{name: "check", args: []string{"check", "-c", good}, want: []string{"good.yaml is fine: 1 shard, 1 server, 1 user"}},
		{name: "check bad", args: []string{"check", "-c", bad}, err: []string{"bad.yaml:5: limit: unknown key; did you mean limits?", `bad.yaml:6: log.level: "loud"`}},
		{name: "check nothing", args: []string{"check", "-c", bad + "x"}, err: []string{"name the config file with --config"}},
		{
			name: "check --connect", args: []string{"check", "--connect", "-c", filepath.Join(dir, "unreachable.yaml")},
			err: []string{"unreachable.yaml:4: shards[0].primary: 127.0.0.1:1: log in as monitor user \"leat_monitor\":", "connection refused"},
		},
		{name: "serve bad", args: []string{"serve", "-c", bad}, err: []string{"bad.yaml:6: log.level"}},
		{name: "read", args: []string{"explain", "-c", good, "SELECT a FROM t WHERE id = 7"}, want: []string{"WHERE id = ?", "class             read", "role              replica", "replicas of class online"}},
		{name: "write", args: []string{"explain", "-c", good, "DELETE FROM t"}, want: []string{"class             write", "role              primary"}},
		{name: "no such user", args: []string{"explain", "-c", good, "--user", "x", "SELECT 1"}, err: []string{`no user "x"`}},
		{name: "nothing", args: []string{"explain", "-c", good, "/* nothing */ ;"}, err: []string{"there is no statement to explain; give one: leat explain"}},
		{name: "no such hint", args: []string{"explain", "-c", good, "/* leat: consistency=bounded */ SELECT 1"}, err: []string{"the leat comment's consistency must be eventual or session"}},
		{name: "no such flavor", args: []string{"explain", "-c", good, "--flavor", "x", "SELECT 1"}, err: []string{"mysql, mariadb or postgres"}},
		{name: "no such demo", args: []string{"demo", "--flavor", "oracle"}, err: []string{"give --flavor mysql or mariadb"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := runLeat(t, c.args...)
			if (err != nil) != (len(c.err) > 0) {
				t.Fatalf("error: got %v, want %q", err, c.err)
			}
			for _, want := range c.err {
				if !strings.Contains(errorText(err), want) {
					t.Errorf("error: got %v, want %q in it", err, want)
				}
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("got %q, want %q in it", out, want)
				}
			}
		})
	}
}

func TestExplainJSON(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "leat.yaml", strings.Replace(minimal, "password: secret", "password: secret, class: batch", 1))
	out, err := runLeat(t, "explain", "-c", filepath.Join(dir, "leat.yaml"), "--json", "--user", "app", "SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	var e explained
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatal(err)
	}
	if e.Role != "replica" || e.Reads != "batch" || e.Shard != "main" {
		t.Errorf("got %+v, want a batch replica of main", e)
	}
}

func TestQuantile(t *testing.T) {
	var w tally
	for range 99 {
		w.add(1e6) // 1 ms
	}
	w.add(1e9) // 1 s
	c := w.counts()
	for _, q := range []struct{ q, low, high float64 }{{0.5, 0.9e6, 1.2e6}, {0.99, 0.9e6, 1.2e6}, {1, 0.9e9, 1.2e9}} {
		if got := float64(quantile(c, q.q)); got < q.low || got > q.high {
			t.Errorf("quantile %v: got %v ns, want %v to %v", q.q, got, q.low, q.high)
		}
	}
	if got := quantile([256]uint64{}, 0.99); got != 0 {
		t.Errorf("of nothing: got %v, want 0", got)
	}
}

func TestAboutStates(t *testing.T) {
	s := admin.Status{Servers: []admin.Server{{State: "up"}}}
	if got := aboutStates(s); got != "" {
		t.Errorf("all up: got %q, want nothing", got)
	}
	s.Servers = append(s.Servers, admin.Server{State: "warming"}, admin.Server{State: "warming"})
	if got, want := aboutStates(s), "warming: it came back, and takes a growing share"; !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q, want one line: %s", got, want)
	}
}
