package e2e

// Comparing two runs of a PostgreSQL script, and cutting a script down to the lines that make the difference.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawpostgres"
)

// pgDiffer runs scripts both ways.
type pgDiffer struct {
	top   *localdb.Topology
	leat  string // the address that is compared with the primary
	setup string // SQL that fills the schema
}

// newPgDiffer starts Leat before the shared servers, with two conns per server.
func newPgDiffer(ctx context.Context, t *testing.T, flavor localdb.Flavor) *pgDiffer {
	t.Helper()
	top := sharedServers(ctx, t, flavor)
	l := startLeat(ctx, t, top, leatOptions{PoolSize: 2})
	return &pgDiffer{top: top, leat: l.Addr, setup: pgSetup(t)}
}

func pgSetup(t *testing.T) string {
	t.Helper()
	setup, err := os.ReadFile("testdata/setup_pg.sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(setup)
}

// compare runs a script both ways, each on new tables. The error is an *errDifferent for a difference.
func (d *pgDiffer) compare(ctx context.Context, s *pgScript) error {
	want, err := d.runOn(ctx, d.top.Primary().Addr(), s)
	if err != nil {
		return fmt.Errorf("direct: %w", err)
	}
	got, err := d.runOn(ctx, d.leat, s)
	if err != nil {
		return fmt.Errorf("through Leat: %w", err)
	}
	var report strings.Builder
	count := 0
	for i := range want {
		if strings.Contains(want[i].shape, noReply) {
			return fmt.Errorf("line %d waits for what the server never sends: %s: %s", i+1, want[i].line, want[i].shape)
		}
		if want[i].String() == got[i].String() {
			continue
		}
		if count++; count <= maxReported {
			fmt.Fprintf(&report, "  line %d: %s\n%s", i+1, want[i].line, firstDifference(&want[i], &got[i]))
		}
	}
	if count == 0 {
		return nil
	}
	return &errDifferent{fmt.Sprintf("%d of %d lines differ:\n%s", count, len(s.lines), &report)}
}

// runOn runs a script in a schema that is made anew, also on the replicas. Conns live on, as do what they have
// prepared: that tables change under them is a part of the test. Replicas catch up when it is another client's turn,
// since only its own writes are what a client is sure to read.
func (d *pgDiffer) runOn(ctx context.Context, address string, s *pgScript) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := d.top.Primary().Exec(ctx, d.setup); err != nil {
		return nil, fmt.Errorf("set up the schema: %w", err)
	}
	if address == d.top.Primary().Addr() {
		return runPgScript(ctx, address, s, func(context.Context) error { return nil })
	}
	servers, err := newPgServers(ctx, d.top)
	if err != nil {
		return nil, err
	}
	defer servers.close()
	return runPgScript(ctx, address, s, servers.sync)
}

// pgServers are connections to a topology's servers, to know quickly when the replicas have what the primary has.
type pgServers struct {
	primary  *rawpostgres.Conn
	replicas []*rawpostgres.Conn
}

func newPgServers(ctx context.Context, top *localdb.Topology) (*pgServers, error) {
	s := &pgServers{}
	for _, server := range append([]*localdb.Server{top.Primary()}, top.Replicas()...) {
		c, err := rawpostgres.Dial(ctx, server.Addr(), rawpostgres.Options{
			User: localdb.MonitorUser, Password: localdb.MonitorPassword, Database: "postgres",
		})
		if err != nil {
			s.close()
			return nil, err
		}
		if s.primary == nil {
			s.primary = c
		} else {
			s.replicas = append(s.replicas, c)
		}
	}
	return s, nil
}

func (s *pgServers) close() {
	if s.primary != nil {
		s.primary.Close()
	}
	for _, c := range s.replicas {
		c.Close()
	}
}

// sync waits until all replicas have applied what the primary has written by now.
func (s *pgServers) sync(ctx context.Context) error {
	r, err := s.primary.Query("SELECT pg_current_wal_flush_lsn()")
	if err != nil {
		return err
	}
	query := "SELECT pg_last_wal_replay_lsn() >= '" + r.Value() + "'"
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, c := range s.replicas {
		for {
			r, err := c.Query(query)
			if err != nil {
				return err
			}
			if r.Value() == "t" {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}
	return nil
}

// shrink cuts a differing script down, by leaving out ever smaller runs of lines as long as a difference
// remains. It stops after tries runs. What is left out may leave others without their statement: both ways then
// answer with the same error.
func (d *pgDiffer) shrink(ctx context.Context, s *pgScript, tries int) *pgScript {
	for size := len(s.lines) / 2; size > 0 && tries > 0; {
		cut := false
		for at := 0; at < len(s.lines) && tries > 0; {
			shorter := *s
			shorter.lines = slices.Concat(s.lines[:at], s.lines[min(at+size, len(s.lines)):])
			tries--
			var different *errDifferent
			if errors.As(d.compare(ctx, &shorter), &different) {
				s, cut = &shorter, true
				continue
			}
			at += size
		}
		if !cut || size > 1 {
			size /= 2
		}
	}
	return s
}
