package e2e

// Cases of freshness: a session reads what it wrote, whatever replication does.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addStageCase(115, "own writes are read while a replica does not apply", readOwnWrites)
	addStageCase(116, "own writes are read under load", readOwnWritesUnderLoad)
	addStageCase(118, "positions come with the reply", positionsOfWrites)
	addMySQLCase(119, "positions expire with the history they belong to", expiredPositions)
	addStageCase(120, "replication stopped is unhealthy and the last server stays", stoppedReplication)
	addStageCase(121, "lag takes a replica out and lets it back in", lagging)
}

// replicaThreads are the statements that stop and start one half of replication.
func (s *stage) replicaThread(i int, verb, thread string) {
	s.Helper()
	word := "REPLICA"
	if s.flavor == localdb.MariaDB {
		word = "SLAVE"
	}
	if err := s.top.Servers[i].Exec(s.ctx, verb+" "+word+" "+thread); err != nil {
		s.Fatal(err)
	}
}

// healReplicas has both replicas replicate again when the test ends, and waits until Leat uses them.
func (s *stage) healReplicas() {
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, i := range s.replicas() {
			if err := s.top.StartReplication(ctx, i); err != nil {
				s.Error(err)
			}
		}
		healed := *s
		healed.ctx = ctx // the test's own has ended
		eventually(ctx, s.T, "a replica doesn't come back", func() error { return healed.notInState(s.replicas(), "up") })
	})
}

func (s *stage) replicas() (places []int) {
	for _, srv := range s.top.Replicas() {
		places = append(places, s.top.Index(srv))
	}
	return places
}

// serverState is what LEAT SHOW SERVERS says of a server.
func (s *stage) serverState(i int) string {
	s.Helper()
	c := s.client()
	defer c.Close()
	for _, row := range c.query("LEAT SHOW SERVERS").Text() {
		if row[1] == s.top.Servers[i].Addr() {
			return row[4]
		}
	}
	return "not there"
}

// notInState is nil once all of the servers are in a state.
func (s *stage) notInState(places []int, want string) error {
	for _, i := range places {
		if got := s.serverState(i); got != want {
			return fmt.Errorf("server %d is %s, want %s", i, got, want)
		}
	}
	return nil
}

// within fails the test when f takes longer than a read may wait.
func (s *stage) within(bound time.Duration, what string, f func()) {
	s.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > bound {
		s.Errorf("%s took %s, want at most %s", what, took, bound)
	}
}

func readOwnWrites(s *stage) {
	s.healReplicas()
	c := s.client()
	c.query("DELETE FROM c1")
	s.sync()
	replicas := s.replicas()
	for n := 1; n <= 2; n++ { // one of the replicas doesn't apply, then neither does
		s.replicaThread(replicas[n-1], "STOP", "SQL_THREAD")
		for i := range 20 {
			k := strconv.Itoa(1000*n + i)
			c.query("INSERT INTO c1 (k) VALUES (" + k + ")")
			s.within(5*time.Second, "reading an own write", func() { c.wants("SELECT k FROM c1 WHERE k = "+k, k) })
		}
		c.query("BEGIN")
		c.query("UPDATE c1 SET v = 'tx'")
		c.query("COMMIT")
		c.wants("SELECT COUNT(*) FROM c1 WHERE v = 'tx'", strconv.Itoa(20*n))
	}
	for _, i := range replicas {
		s.replicaThread(i, "START", "SQL_THREAD")
	}
	s.sync()
	eventually(s.ctx, s.T, "reads don't return to the replicas", func() error {
		took := s.took(func() {
			for range 10 {
				c.wants("SELECT COUNT(*) FROM c1", "40")
			}
		})
		if took[s.top.Index(s.top.Primary())] > 0 {
			return fmt.Errorf("reads by server: %v", took)
		}
		return nil
	})
}

// writeAndRead has one client count up in a row of its own and read it back.
func writeAndRead(ctx context.Context, addr string, row, times int, stale *atomic.Int64) error {
	c, err := rawmysql.Dial(ctx, addr, rawmysql.Options{
		User: localdb.AppUser, Password: localdb.AppPassword, Database: stageDatabase, Flags: peerFlags,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	for n := 1; n <= times; n++ {
		want := strconv.Itoa(n)
		write := []string{fmt.Sprintf("UPDATE fresh SET n = %d WHERE id = %d", n, row)}
		if n%4 == 0 {
			write = []string{"BEGIN", write[0], "COMMIT"}
		}
		for _, sql := range write {
			r, err := c.Query(sql)
			if err = errors.Join(err, replyError(r)); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		for range 2 {
			r, err := c.Query(fmt.Sprintf("SELECT n FROM fresh WHERE id = %d", row))
			if err = errors.Join(err, replyError(r)); err != nil {
				return err
			}
			if rows := r.Text(); len(rows) != 1 || rows[0][0] != want {
				stale.Add(1)
			}
		}
	}
	return nil
}

func replyError(r *rawmysql.Reply) error {
	if r == nil {
		return nil
	}
	return r.Err()
}

// readOwnWritesUnderLoad: 16 clients, LEAT_FRESH_WRITES each (default 100).
func readOwnWritesUnderLoad(s *stage) {
	const clients = 16
	times := int(envNumber("LEAT_FRESH_WRITES", 100))
	setup := s.client()
	setup.query("DROP TABLE IF EXISTS fresh")
	setup.query("CREATE TABLE fresh (id INT PRIMARY KEY, n INT)")
	for i := range clients {
		setup.query(fmt.Sprintf("INSERT INTO fresh VALUES (%d, 0)", i))
	}
	s.sync()
	before := s.leat.Metric(s.ctx, "leat_requests_total", `by="replica"`)
	var stale atomic.Int64
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			if err := writeAndRead(s.ctx, s.leat.Addr, i, times, &stale); err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
	if n := stale.Load(); n > 0 {
		s.Errorf("%d of %d reads were stale", n, 2*clients*times)
	}
	byReplica := s.leat.Metric(s.ctx, "leat_requests_total", `by="replica"`) - before
	s.Logf("%d writes, %d reads, %.0f of them by replicas", clients*times, 2*clients*times, byReplica)
	if byReplica == 0 {
		s.Error("no read went to a replica: nothing was shown")
	}
}

// position is what LEAT SHOW POSITION says.
func (p *peer) position() string {
	p.s.Helper()
	rows := p.query("LEAT SHOW POSITION").Text()
	if len(rows) != 1 || len(rows[0]) != 2 {
		p.s.Fatalf("LEAT SHOW POSITION: %q", rows)
	}
	return rows[0][1]
}

func positionsOfWrites(s *stage) {
	c := s.client()
	c.query("DROP TABLE IF EXISTS pos")
	last := c.position()
	if last == "" {
		s.Fatal("no position after a DDL")
	}
	grows := func(want bool, statements ...string) {
		s.Helper()
		for _, sql := range statements {
			c.query(sql)
		}
		now := c.position()
		if (now != last) != want {
			s.Errorf("after %q the position went from %q to %q, want a change: %v", statements, last, now, want)
		}
		last = now
	}
	grows(true, "CREATE TABLE pos (id INT PRIMARY KEY, n INT)")
	grows(true, "INSERT INTO pos VALUES (1, 1)")
	grows(false, "SELECT * FROM pos")
	grows(false, "UPDATE pos SET n = 1 WHERE id = 1")
	grows(false, "DELETE FROM pos WHERE id = 99")
	grows(false, "BEGIN", "UPDATE pos SET n = 2 WHERE id = 1")
	grows(true, "COMMIT")
	grows(false, "BEGIN", "UPDATE pos SET n = 3 WHERE id = 1", "ROLLBACK")
	grows(true, "SET autocommit = 0", "UPDATE pos SET n = 4 WHERE id = 1", "COMMIT", "SET autocommit = 1")
	grows(true, "INSERT INTO pos VALUES (2, 2); INSERT INTO pos VALUES (3, 3); SELECT 1")
	id := c.prepare("UPDATE pos SET n = ? WHERE id = 1")
	c.execute(id, 5)
	grows(true)
	grows(true, "TRUNCATE TABLE pos")
	if executed := s.executed(); !strings.Contains(executed, lastOf(last)) {
		s.Errorf("the position %q is not the end of what the primary executed, %q", last, executed)
	}
}

// executed is the primary's own position.
func (s *stage) executed() string {
	s.Helper()
	query := "SELECT @@GLOBAL.gtid_executed"
	if s.flavor == localdb.MariaDB {
		query = "SELECT @@GLOBAL.gtid_binlog_pos"
	}
	v, err := s.top.Primary().Value(s.ctx, query)
	if err != nil {
		s.Fatal(err)
	}
	return v
}

// lastOf is the number that a GTID set ends with.
func lastOf(position string) string { return position[strings.LastIndexAny(position, "-:")+1:] }

func stoppedReplication(s *stage) {
	s.healReplicas()
	replicas := s.replicas()
	c := s.client()
	s.replicaThread(replicas[0], "STOP", "IO_THREAD")
	eventually(s.ctx, s.T, "a replica that receives nothing is used", func() error {
		if s.notInState(replicas[:1], "up") == nil {
			return errors.New("it is up")
		}
		return nil
	})
	took := s.took(func() {
		for range 20 {
			c.query("SELECT COUNT(*) FROM t")
		}
	})
	if took[replicas[0]] > 0 || took[replicas[1]] == 0 {
		s.Errorf("reads by server: %v, want none on %d, whose lag is unknown", took, replicas[0])
	}
	s.replicaThread(replicas[1], "STOP", "IO_THREAD")
	eventually(s.ctx, s.T, "a replica that receives nothing is used", func() error {
		if s.notInState(replicas[1:], "up") == nil {
			return errors.New("it is up")
		}
		return nil
	})
	took = s.took(func() {
		for range 20 {
			s.within(5*time.Second, "a read without replicas", func() { c.query("SELECT COUNT(*) FROM t") })
		}
	})
	if p := s.top.Index(s.top.Primary()); took[p] < 20 {
		s.Errorf("reads by server: %v, want all on the primary, %d", took, p)
	}
}

// lagging locks a table on a replica, which can't apply then: it falls behind max_lag, and comes back.
func lagging(s *stage) {
	s.healReplicas()
	replicas := s.replicas()
	c := s.client()
	s.sync()
	db, err := s.top.Servers[replicas[0]].DB("root", "", stageDatabase)
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	lock, err := db.Conn(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	if _, err := lock.ExecContext(s.ctx, "LOCK TABLES c2 READ"); err != nil {
		s.Fatal(err)
	}
	slow := s.client()
	done := make(chan error, 1)
	go func() { // a query that runs while its server goes out of use
		r, err := slow.Query("SELECT COUNT(*), SLEEP(4) FROM t WHERE id = 1")
		done <- errors.Join(err, replyError(r))
	}()
	eventually(s.ctx, s.T, "a replica far behind is used", func() error {
		c.query("INSERT INTO c2 (v) VALUES ('lag')") // the lag is that of the event that can't be applied
		if s.notInState(replicas[:1], "up") == nil {
			return errors.New("it is up")
		}
		return nil
	})
	took := s.took(func() {
		for range 20 {
			c.query("SELECT COUNT(*) FROM t")
		}
	})
	if took[replicas[0]] > 0 {
		s.Errorf("reads by server: %v, want none on %d, which is behind", took, replicas[0])
	}
	if _, err := lock.ExecContext(s.ctx, "UNLOCK TABLES"); err != nil {
		s.Fatal(err)
	}
	lock.Close()
	eventually(s.ctx, s.T, "a replica that caught up isn't used", func() error { return s.notInState(replicas, "up") })
	if err := <-done; err != nil {
		s.Errorf("the query under way: %v", err)
	}
}

// expiredPositions forgets the history of all servers: positions of before can't be reached any more.
func expiredPositions(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := startServers(ctx, t, localdb.TopologyOptions{Flavor: flavor, Replicas: 1})
	l := startLeat(ctx, t, top, leatOptions{PoolSize: 2, Top: []string{"pure_functions: [which]"}})
	s := &stage{T: t, ctx: ctx, flavor: flavor, top: top, leat: l}
	setup, err := os.ReadFile("testdata/setup.sql")
	if err != nil {
		t.Fatal(err)
	}
	must(t, top.Primary().Exec(ctx, "CREATE DATABASE leat_stage; USE leat_stage; "+string(setup)))
	s.sync()
	c := s.client()
	for range 50 { // far beyond what the new history will have
		c.query("INSERT INTO c1 (v) VALUES ('old')")
	}
	c.wants("SELECT COUNT(*) FROM c1", "50")
	s.sync()

	forget := "RESET BINARY LOGS AND GTIDS"
	if flavor == localdb.MariaDB {
		forget = "RESET MASTER; SET GLOBAL gtid_slave_pos = ''"
	}
	replica := top.Replicas()[0]
	must(t, top.StopReplication(ctx, top.Index(replica)))
	must(t, replica.Exec(ctx, forget))
	primaryForget := "RESET BINARY LOGS AND GTIDS"
	if flavor == localdb.MariaDB {
		primaryForget = "RESET MASTER"
	}
	must(t, top.Primary().Exec(ctx, primaryForget))
	must(t, top.Follow(ctx, replica))

	s.within(5*time.Second, "a read with a position of the past", func() { c.wants("SELECT COUNT(*) FROM c1", "50") })
	must(t, top.Primary().Exec(ctx, "INSERT INTO leat_stage.c2 (v) VALUES ('new')"))
	s.sync()
	eventually(ctx, t, "reads don't return to the replica", func() error {
		took := s.took(func() { c.wants("SELECT COUNT(*) FROM c1", "50") })
		if took[top.Index(replica)] == 0 {
			return fmt.Errorf("reads by server: %v", took)
		}
		return nil
	})
	c.query("INSERT INTO c1 (v) VALUES ('new')")
	c.wants("SELECT COUNT(*) FROM c1", "51")
}
