package e2e

// Case 73: how reads are spread over replicas.

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"leat/internal/localdb"
)

func init() { addPgCase15(73, "balancing", pgBalancing) }

const quickRead = "SELECT pg_sleep(0.002)"

func pgBalancing(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	for _, c := range []struct {
		policy  string
		weights [2]int
		low     float64 // the first replica's share of the reads, at least
		high    float64
		prepare func(s *pgStage) (undo func())
		read    string
	}{
		{"random", [2]int{1, 1}, 0.38, 0.62, nil, quickRead},
		{"random", [2]int{3, 1}, 0.64, 0.86, nil, quickRead},
		{"round_robin", [2]int{1, 1}, 0.47, 0.53, nil, quickRead},
		{"weighted_round_robin", [2]int{3, 1}, 0.70, 0.80, nil, quickRead},
		{"least_connections", [2]int{1, 1}, 0.35, 0.65, nil, quickRead},
		{"fastest", [2]int{1, 1}, 0.1, 0.9, nil, quickRead},
		{"round_robin", [2]int{0, 1}, 0, 0, nil, quickRead},
		{"fastest", [2]int{0, 1}, 0, 0, nil, quickRead},
		{"least_connections", [2]int{1, 1}, 0, 0.45, occupy, quickRead},
		{"fastest", [2]int{1, 1}, 0, 0.65, failing1, "SELECT pg_sleep(0.06)"},
	} {
		t.Run(fmt.Sprintf("%s %v", c.policy, c.weights), func(t *testing.T) {
			base := newPgStage(ctx, t, flavor)
			s := base.before(startLeat(ctx, t, base.top, leatOptions{
				PoolSize: 8, Shard: []string{"balance: " + c.policy},
				Replica: []string{fmt.Sprintf("weight: %d", c.weights[0]), fmt.Sprintf("weight: %d", c.weights[1])},
			}))
			s.sync()
			if c.prepare != nil {
				defer c.prepare(s)()
			}
			took := s.took(func() { s.readMany(c.read, 4, 100) })
			share := float64(took[1]) / float64(took[1]+took[2])
			t.Logf("the servers took %v", took)
			if share < c.low || share > c.high || took[0] > 0 {
				t.Errorf("the servers took %v, the first replica %.2f of the reads; want %.2f to %.2f", took, share, c.low, c.high)
			}
		})
	}
}

// readMany has clients read at the same time. A read may fail: what counts is who got it.
func (s *pgStage) readMany(sql string, clients, times int) {
	s.Helper()
	var wg sync.WaitGroup
	for range clients {
		c := s.client()
		wg.Go(func() {
			for range times {
				if _, err := c.Query(sql); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// occupy has transactions open on the first replica, four of them.
func occupy(s *pgStage) func() {
	var here, elsewhere []*pgPeer
	for len(here) < 4 {
		c := s.client()
		c.query("BEGIN READ ONLY")
		if c.value("SELECT inet_server_port()") == strconv.Itoa(s.top.Replicas()[0].Port) {
			here = append(here, c)
		} else {
			elsewhere = append(elsewhere, c)
		}
	}
	for _, c := range elsewhere {
		c.query("COMMIT")
	}
	return func() {
		for _, c := range here {
			c.query("COMMIT")
		}
	}
}

// failing1 makes the first replica fail each read, sooner than the other answers.
func failing1(s *pgStage) func() {
	replica := s.top.Replicas()[0]
	run := func(sql string) {
		eventually(context.Background(), s.T, sql, func() error { return replica.Exec(context.Background(), sql) })
	}
	run("ALTER SYSTEM SET statement_timeout = '30ms'")
	run("SELECT pg_reload_conf()")
	return func() {
		run("ALTER SYSTEM RESET statement_timeout")
		run("SELECT pg_reload_conf()")
	}
}
