package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"leat/proxy/backend"
	"leat/shard"
)

// seen answers every probe with what the test says of its address.
type seen map[string]backend.Observation

type seenProber struct {
	backend.Observation
	err error
}

func (p seenProber) Probe(context.Context) (backend.Observation, error) { return p.Observation, p.err }

func (p seenProber) Applied(context.Context) (shard.Position, error) { return shard.Position{}, p.err }
func (p seenProber) Close() error                                    { return nil }

func (s seen) prober(t backend.ProbeTarget) backend.Prober {
	o, ok := s[t.Address]
	if !ok {
		return seenProber{err: errors.New("no route to host")}
	}
	return seenProber{Observation: o}
}

const oneReplica = `listen: {mysql: "127.0.0.1:6033"}
users: [{name: app, password: secret}]
monitor: {user: leat_monitor, password: m}
shards:
  - name: main
    primary: 127.0.0.1:1
    replicas: ["127.0.0.1:2"]
`

var (
	aPrimary  = backend.Observation{}
	aReplica  = backend.Observation{ReadOnly: true, Replicates: true, LagKnown: true}
	writable  = backend.Observation{Replicates: true, LagKnown: true}
	isStopped = backend.Observation{ReadOnly: true, Replicates: true, Trouble: "replication from db1:3306 isn't connected"}
	isApart   = backend.Observation{ReadOnly: true}
)

// TestServersAreJudgedAlike: leat check and the log of leat serve say the same of the same servers.
func TestServersAreJudgedAlike(t *testing.T) {
	const primary, replica = "127.0.0.1:1", "127.0.0.1:2"
	for _, c := range []struct {
		name     string
		servers  seen
		warnings []string // of both
		check    []string // warnings of check alone
		err      string   // of check
	}{
		{name: "well", servers: seen{primary: aPrimary, replica: aReplica}},
		{name: "writable replica", servers: seen{primary: aPrimary, replica: writable}, warnings: []string{"it is a replica, but takes writes of clients"}},
		{name: "replication stopped", servers: seen{primary: aPrimary, replica: isStopped}, warnings: []string{"replication from db1:3306 isn't connected; it takes no reads"}},
		{name: "not replicating", servers: seen{primary: aPrimary, replica: isApart}, warnings: []string{"it is read only, but doesn't replicate"}},
		{
			name: "switched over", servers: seen{primary: aReplica, replica: aPrimary},
			check: []string{"leat.yaml:6: shards[0].primary: 127.0.0.1:2 is the primary now, not 127.0.0.1:1"},
		},
		{name: "two primaries", servers: seen{primary: aPrimary, replica: aPrimary}, err: "leat.yaml:5: shards[0]: it has no primary, so there is nowhere to write to: both 127.0.0.1:1 and 127.0.0.1:2 are writable"},
		{name: "no primary", servers: seen{primary: aReplica, replica: aReplica}, err: "leat.yaml:5: shards[0]: it has no primary"},
		{name: "a server down", servers: seen{primary: aPrimary}, err: "leat.yaml:7: shards[0].replicas[0]: 127.0.0.1:2: no route to host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := parseConfig("leat.yaml", []byte(oneReplica))
			if err != nil {
				t.Fatal(err)
			}
			l.backend.Monitor.NewProber, l.proxy.Users = c.servers.prober, nil
			var out bytes.Buffer
			n, err := l.probe(t.Context(), "leat.yaml", &out)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)) {
				t.Errorf("check: got %v, want %q", err, c.err)
			}
			want := append(c.check, c.warnings...)
			if c.err == "" && n != len(want) || strings.Count(out.String(), "WARNING: leat.yaml:") != len(want) {
				t.Errorf("check: got %d warnings, want %d:\n%s", n, len(want), out.String())
			}
			for _, w := range want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("check: got\n%s\nwant in it: %s", out.String(), w)
				}
			}
			servers, _, err := l.look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			logged := logOf(servers, servers) // the second look changes nothing
			if got := strings.Count(logged, "level=WARN"); got != len(c.warnings) {
				t.Errorf("serve: got %d warnings, want %d:\n%s", got, len(c.warnings), logged)
			}
			for _, w := range c.warnings {
				if !strings.Contains(logged, w) || !strings.Contains(logged, "server="+replica) {
					t.Errorf("serve: got\n%s\nwant in it: %s", logged, w)
				}
			}
		})
	}
}

// logOf is what leat serve logs when it looks at one state of the servers after the other.
func logOf(looks ...[]backend.ServerStatus) string {
	var out bytes.Buffer
	w := watch{log: slog.New(slog.NewTextHandler(&out, nil))}
	for _, servers := range looks {
		w.look(servers)
	}
	return out.String()
}

// TestWatchLogsChanges: once when a trouble comes, once when it goes, and not when its text changes.
func TestWatchLogsChanges(t *testing.T) {
	state := func(s backend.ServerStatus) []backend.ServerStatus {
		s.Address, s.State = "db2:3306", "up"
		return []backend.ServerStatus{s}
	}
	well := state(backend.ServerStatus{ReadOnly: true, Replicates: true})
	stopped := state(backend.ServerStatus{ReadOnly: true, Replicates: true, LagUnknown: "retry 1"})
	again := state(backend.ServerStatus{ReadOnly: true, Replicates: true, LagUnknown: "retry 2"})
	got := logOf(well, stopped, again, well, well, stopped)
	var levels []string
	for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
		levels = append(levels, strings.Fields(line)[1])
	}
	if want := "level=WARN level=INFO level=WARN"; strings.Join(levels, " ") != want {
		t.Errorf("got %v, want %s:\n%s", levels, want, got)
	}
}
