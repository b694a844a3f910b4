package localdb

// A new primary: in order (Switchover), or after the old one died (Promote).

import (
	"context"
	"errors"
	"fmt"
)

// Switchover makes server i the primary, losing no write: the old primary becomes read-only, the new
// one catches up and is opened for writes, and all others follow it. Between the two there is no
// writable server; connections stay open.
func (t *Topology) Switchover(ctx context.Context, i int) error {
	q, old := t.sql(), t.Primary()
	if t.Servers[i] == old {
		return nil
	}
	if err := old.Exec(ctx, q.readOnly); err != nil {
		return fmt.Errorf("close the old primary for writes: %w", err)
	}
	position, err := old.Value(ctx, q.position)
	if err != nil {
		return err
	}
	if err := t.waitPosition(ctx, t.Servers[i], position); err != nil {
		return errors.Join(err, old.Exec(ctx, q.writable))
	}
	return t.Promote(ctx, i)
}

// Promote makes server i the primary as it is, with what it has received, and makes the other
// running servers follow it. It is for after the old primary was killed: call Follow for that one
// once it runs again. Writes that server i never received are lost.
func (t *Topology) Promote(ctx context.Context, i int) error {
	q, s := t.sql(), t.Servers[i]
	if err := t.applyReceived(ctx, s); err != nil {
		return err
	}
	if err := s.Exec(ctx, q.stopReplica+q.forget+q.writable); err != nil {
		return fmt.Errorf("promote port %d: %w", s.Port, err)
	}
	s.opts.ReadOnly = false
	t.mu.Lock()
	t.primary = i
	t.mu.Unlock()
	for _, r := range t.Replicas() {
		if r.PID() == 0 {
			continue
		}
		if err := t.Follow(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// applyReceived stops fetching, and waits until what was fetched is applied.
func (t *Topology) applyReceived(ctx context.Context, s *Server) error {
	q := t.sql()
	row, err := s.Row(ctx, q.status)
	if err != nil {
		return fmt.Errorf("port %d isn't a replica: %w", s.Port, err)
	}
	if firstOf(row, "Replica_SQL_Running", "Slave_SQL_Running") != "Yes" {
		return nil
	}
	if err := s.Exec(ctx, q.stopFetching); err != nil {
		return err
	}
	received, err := s.Row(ctx, q.status)
	if err != nil {
		return err
	}
	position := firstOf(received, "Retrieved_Gtid_Set", "Gtid_IO_Pos")
	if position == "" {
		return nil
	}
	return t.waitPosition(ctx, s, position)
}

// statements are the SQL that topologies need, each ending in a semicolon where it is run with others.
type statements struct {
	readOnly, writable                      string
	follow, forget                          string // follow takes the port
	startReplica, stopReplica, stopFetching string
	status, position                        string
	wait                                    string // takes a position, waits for at most a second
	contains                                string // takes two positions: 1 if the first has all of the second
}

func (t *Topology) sql() *statements {
	if t.Flavor == MySQL {
		return &mysqlStatements
	}
	return &mariadbStatements
}

var mysqlStatements = statements{
	readOnly: "SET GLOBAL super_read_only = ON;",
	writable: "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF;",
	follow: "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = %d, SOURCE_USER = '" + ReplUser +
		"', SOURCE_PASSWORD = '" + ReplPassword + "', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 86400;",
	forget:       "RESET REPLICA ALL;",
	startReplica: "START REPLICA;",
	stopReplica:  "STOP REPLICA;",
	stopFetching: "STOP REPLICA IO_THREAD;",
	status:       "SHOW REPLICA STATUS",
	position:     "SELECT @@GLOBAL.gtid_executed",
	wait:         "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 1)",
	contains:     "SELECT GTID_SUBSET(%[2]s, %[1]s)",
}

// MASTER_USE_GTID = current_pos serves a server that was a primary as well as one that was a replica:
// it goes on after the last transaction that the server wrote or applied. The former primary is told that it
// has applied what it wrote, since MASTER_GTID_WAIT looks at nothing else.
var mariadbStatements = statements{
	readOnly: "SET GLOBAL read_only = ON;",
	writable: "SET GLOBAL read_only = OFF;",
	follow: "SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_current_pos; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = %d, MASTER_USER = '" + ReplUser +
		"', MASTER_PASSWORD = '" + ReplPassword + "', MASTER_USE_GTID = current_pos, MASTER_CONNECT_RETRY = 1;",
	forget:       "RESET SLAVE ALL;",
	startReplica: "START SLAVE;",
	stopReplica:  "STOP SLAVE;",
	stopFetching: "STOP SLAVE IO_THREAD;",
	status:       "SHOW SLAVE STATUS",
	position:     "SELECT @@GLOBAL.gtid_current_pos",
	wait:         "SELECT MASTER_GTID_WAIT(%s, 1)",
	// There is one domain, whose sequence numbers tell.
	contains: "SELECT CAST(SUBSTRING_INDEX(%s, '-', -1) AS UNSIGNED) >= CAST(SUBSTRING_INDEX(%s, '-', -1) AS UNSIGNED)",
}
