package e2e

// Cases 76 to 78: a session reads what it wrote, whatever replication does. How far the primary has written is asked for
// behind the writes.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawpostgres"
)

func init() {
	addPgStageCase(76, "own writes are read while replicas do not apply", pgReadOwnWrites)
	addPgStageCase(76, "own writes are read under load with delayed replicas", pgReadOwnWritesUnderLoad)
	addPgCase15(77, "positions of another timeline", pgTimelines)
	addPgStageCase(78, "lag takes a replica out and lets it back in", pgLagging)
}

// healPgReplicas has the replicas apply again, and without delay, when the test ends, and waits until Leat uses them.
func (s *pgStage) healPgReplicas() {
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, i := range s.replicas() {
			must(s.T, s.delay(ctx, i, ""))
			must(s.T, s.top.StartReplication(ctx, i))
		}
		s.leat.waitHealthy(ctx, s.top)
	})
}

// delay has a replica apply commits so long after they happened; empty: at once.
func (s *pgStage) delay(ctx context.Context, i int, by string) error {
	srv := s.top.Servers[i]
	change := "ALTER SYSTEM RESET recovery_min_apply_delay"
	if by != "" {
		change = "ALTER SYSTEM SET recovery_min_apply_delay = '" + by + "'"
	}
	if err := srv.Exec(ctx, change); err != nil {
		return err
	}
	return srv.Exec(ctx, "SELECT pg_reload_conf()")
}

func pgReadOwnWrites(s *pgStage) {
	s.healPgReplicas()
	c := s.client()
	c.query("TRUNCATE c1")
	s.sync()
	replicas := s.replicas()
	for n := 1; n <= 2; n++ { // one of the replicas doesn't apply, then neither does
		must(s.T, s.top.StopReplication(s.ctx, replicas[n-1]))
		for i := range 20 {
			k := strconv.Itoa(1000*n + i)
			if i%2 == 0 {
				c.query("INSERT INTO c1 (k) VALUES (" + k + ")")
			} else {
				r, err := c.Do(rawpostgres.Parse("", "INSERT INTO c1 (k) VALUES ($1)"), rawpostgres.Bind("", "", []rawpostgres.Arg{{Value: []byte(k)}}), rawpostgres.Execute("", 0), rawpostgres.Sync())
				must(s.T, errors.Join(err, r.Err()))
			}
			s.within(5*time.Second, "reading an own write", func() { c.wants("SELECT k FROM c1 WHERE k = "+k, k) })
		}
		c.query("BEGIN")
		c.query("UPDATE c1 SET v = 'tx'")
		c.query("COMMIT")
		c.wants("SELECT count(*) FROM c1 WHERE v = 'tx'", strconv.Itoa(20*n))
		c.query("COPY (SELECT 1) TO STDOUT")
		c.query("DO $$ BEGIN UPDATE c1 SET v = 'do'; END $$")
		c.wants("SELECT count(*) FROM c1 WHERE v = 'do'", strconv.Itoa(20*n))
		r, err := c.Do(rawpostgres.Query("COPY c1 FROM STDIN"), rawpostgres.CopyData([]byte(fmt.Sprintf("%d\tcopied\n", 5000+n))), rawpostgres.CopyDone())
		must(s.T, errors.Join(err, r.Err()))
		c.wants("SELECT count(*) FROM c1 WHERE v = 'copied'", "1")
		c.query("DELETE FROM c1 WHERE v = 'copied'")
		c.wants("SELECT count(*) FROM c1 WHERE v = 'copied'", "0")
	}
	for _, i := range replicas {
		must(s.T, s.top.StartReplication(s.ctx, i))
	}
	s.sync()
	eventually(s.ctx, s.T, "reads don't return to the replicas", func() error {
		if took := s.took(func() { c.wants("SELECT count(*) FROM c1 WHERE k < 5000", "40") }); took[0] > 0 {
			return fmt.Errorf("reads by server: %v", took)
		}
		return nil
	})
}

// pgReadOwnWritesUnderLoad: 16 clients, LEAT_FRESH_WRITES each (default 60); one replica applies 200 ms late.
func pgReadOwnWritesUnderLoad(s *pgStage) {
	const clients = 16
	times := int(envNumber("LEAT_FRESH_WRITES", 60))
	s.healPgReplicas()
	s.atPrimary("DROP TABLE IF EXISTS fresh; SET ROLE app; CREATE TABLE fresh AS SELECT i AS id, 0 AS n FROM generate_series(1, 16) i; CREATE UNIQUE INDEX ON fresh (id)")
	s.sync()
	must(s.T, s.delay(s.ctx, s.replicas()[0], "200ms"))
	before := s.leat.Metric(s.ctx, "leat_requests_total", `by="replica"`)
	var stale atomic.Int64
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			if err := pgWriteAndRead(s.ctx, s.leat.Addr, i+1, times, &stale); err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
	reads := 3 * clients * times
	if n := stale.Load(); n > 0 {
		s.Errorf("%d of %d reads were stale", n, reads)
	}
	byReplica := s.leat.Metric(s.ctx, "leat_requests_total", `by="replica"`) - before
	s.Logf("%d writes, %d reads, %.0f of them by replicas", clients*times, reads, byReplica)
	if byReplica == 0 {
		s.Error("no read went to a replica: nothing was shown")
	}
}

// pgWriteAndRead has one client count up in a row of its own and read it back, in the ways there are to write.
func pgWriteAndRead(ctx context.Context, address string, row, times int, stale *atomic.Int64) error {
	c, err := dialPgStage(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	for n := 1; n <= times; n++ {
		update := fmt.Sprintf("UPDATE fresh SET n = %d WHERE id = %d", n, row)
		for _, sql := range [][]string{
			{update},
			{"BEGIN", update, "COMMIT"},
			{"WITH w AS (" + update + " RETURNING n) SELECT n FROM w"},
			{"BEGIN; " + update + "; COMMIT"},
			{"SET synchronous_commit = off", update, "RESET synchronous_commit"},
			{"BEGIN", "SET LOCAL synchronous_commit = off", update, "COMMIT"},
			{"SET synchronous_commit = off; " + update + "; RESET synchronous_commit"},
		}[n%7] {
			if r, err := c.Query(sql); err != nil || r.Err() != nil {
				return fmt.Errorf("%s: %w", sql, errors.Join(err, r.Err()))
			}
		}
		for range 3 {
			r, err := c.Query(fmt.Sprintf("SELECT n FROM fresh WHERE id = %d", row))
			if err != nil || r.Err() != nil {
				return errors.Join(err, r.Err())
			}
			if r.Value() != strconv.Itoa(n) {
				stale.Add(1)
			}
		}
	}
	return nil
}

// pgTimelines promotes a replica that lacks the primary's last writes: the position of a session that made them is ahead of the
// new primary's, and of another history.
func pgTimelines(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := startServers(ctx, t, localdb.TopologyOptions{Flavor: flavor, Replicas: 2})
	makePgDatabase(ctx, t, top, pgStageDatabase, pgStageSQL)
	l := startLeat(ctx, t, top, leatOptions{PoolSize: 4, Top: []string{"timeouts: {hold: 45s}"}})
	s := &pgStage{&stage{T: t, ctx: ctx, flavor: flavor, top: top, leat: l}}
	l.waitHealthy(ctx, top)
	c := s.client()
	c.query("INSERT INTO c1 (k) VALUES (1)")
	s.sync()
	for _, srv := range top.Replicas() { // neither receives any more
		must(t, srv.Exec(ctx, "ALTER SYSTEM SET primary_conninfo = ''"))
		must(t, srv.Exec(ctx, "SELECT pg_reload_conf()"))
		eventually(ctx, t, "the replica still receives", func() error {
			n, err := srv.Value(ctx, "SELECT count(*) FROM pg_stat_wal_receiver")
			if err == nil && n != "0" {
				err = errors.New(n)
			}
			return err
		})
	}
	for k := range 200 { // far beyond what the new history will have at first
		c.query(fmt.Sprintf("INSERT INTO c1 (k, v) VALUES (%d, repeat('lost', 1000))", 1000+k))
	}
	c.wants("SELECT count(*) FROM c1", "201")
	old := top.Primary()
	old.Kill()
	must(t, top.Promote(ctx, 1))
	must(t, top.Rebuild(ctx, 0))
	l.waitHealthy(ctx, top)
	must(t, top.StopReplication(ctx, 2))
	c.query("INSERT INTO c1 (k) VALUES (2)")
	for range 20 {
		c.wants("SELECT count(*) FROM c1", "2") // never of the replica that has not applied it
	}
	fresh := s.client()
	fresh.query("INSERT INTO c1 (k) VALUES (3)")
	for range 20 {
		fresh.wants("SELECT count(*) FROM c1", "3")
		c.query("SELECT 1")
	}
	must(t, top.StartReplication(ctx, 2))
	s.sync()
	eventually(ctx, t, "reads don't return to the replicas", func() error {
		if took := s.took(func() { c.wants("SELECT count(*) FROM c1", "3") }); took[1] > 0 {
			return fmt.Errorf("reads by server: %v", took)
		}
		return nil
	})
}

func pgLagging(s *pgStage) {
	s.healPgReplicas()
	replica := s.top.Servers[s.replicas()[0]]
	writer, reader := s.client(), s.client()
	s.sync()
	s.leat.waitHealthy(s.ctx, s.top)

	// Nothing is written for longer than max_lag: that is no lag.
	age := func() string {
		v, err := replica.Value(s.ctx, "SELECT coalesce(now() - pg_last_xact_replay_timestamp() > '2500ms', true)")
		must(s.T, err)
		return v
	}
	eventually(s.ctx, s.T, "the primary isn't idle", func() error {
		if age() != "t" {
			return errors.New("the last commit is young")
		}
		return nil
	})
	st, err := s.leat.Status(s.ctx)
	must(s.T, err)
	if got := st.server(replica).State; got != "up" {
		s.Errorf("a replica of an idle primary is %s", got)
	}

	must(s.T, s.delay(s.ctx, s.replicas()[0], "1h"))
	for k := 0; ; k++ { // behind by more than max_lag
		writer.query("INSERT INTO a (k) VALUES (78)")
		st, err := s.leat.Status(s.ctx)
		must(s.T, err)
		if st.server(replica).State == "lagging" {
			break
		}
		if s.ctx.Err() != nil {
			s.Fatal("a replica far behind is used")
		}
	}
	took := s.took(func() {
		for range 20 {
			reader.query("SELECT count(*) FROM t")
		}
	})
	if took[s.replicas()[0]] > 0 || took[0] > 0 {
		s.Errorf("reads by server: %v, want all on %d", took, s.replicas()[1])
	}
	must(s.T, s.delay(s.ctx, s.replicas()[0], ""))
	s.leat.waitState(s.ctx, replica, "up")
}
