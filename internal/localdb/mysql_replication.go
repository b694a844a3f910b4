package localdb

// Replication by GTID, of MySQL and MariaDB.

import (
	"context"
	"errors"
	"fmt"
)

// gtids is the replication of MySQL's kin.
type gtids struct{ *statements }

func (q gtids) follow(ctx context.Context, t *Topology, s *Server) error {
	return s.Exec(ctx, q.readOnly+q.stopReplica+fmt.Sprintf(q.followPort, t.Primary().Port)+q.startReplica)
}

func (q gtids) start(ctx context.Context, s *Server) error { return s.Exec(ctx, q.startReplica) }
func (q gtids) stop(ctx context.Context, s *Server) error  { return s.Exec(ctx, q.stopReplica) }

func (q gtids) running(ctx context.Context, s *Server) (bool, error) {
	row, err := s.Row(ctx, q.status)
	if err != nil {
		return false, err
	}
	return firstOf(row, "Replica_IO_Running", "Slave_IO_Running") == "Yes" &&
		firstOf(row, "Replica_SQL_Running", "Slave_SQL_Running") == "Yes", nil
}

func (q gtids) describe(ctx context.Context, s *Server) string {
	row, err := s.Row(ctx, q.status)
	if err != nil {
		return "no replication status: " + err.Error()
	}
	return fmt.Sprintf("IO %s %s, SQL %s %s", firstOf(row, "Replica_IO_Running", "Slave_IO_Running"), row["Last_IO_Error"],
		firstOf(row, "Replica_SQL_Running", "Slave_SQL_Running"), row["Last_SQL_Error"])
}

func firstOf(row map[string]string, names ...string) string {
	for _, name := range names {
		if v, ok := row[name]; ok {
			return v
		}
	}
	return ""
}

func (q gtids) position(ctx context.Context, s *Server) (string, error) {
	return s.Value(ctx, q.executed)
}

// wait waits in rounds of a second, since a server doesn't notice that its client gave up.
func (q gtids) wait(ctx context.Context, s *Server, position string) error {
	query := fmt.Sprintf(q.waitSecond, quote(position))
	for {
		// 0: applied; -1 (MariaDB) and 1 (MySQL): not within a second
		got, err := s.Value(ctx, query)
		if err == nil && got == "0" {
			return nil
		}
		if err == nil && got == "" {
			err = errors.New("replication isn't running")
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

func (q gtids) contains(ctx context.Context, s *Server, a, b string) (bool, error) {
	got, err := s.Value(ctx, fmt.Sprintf(q.containsAll, quote(a), quote(b)))
	return got == "1", err
}

// applyReceived also stops fetching.
func (q gtids) applyReceived(ctx context.Context, s *Server) error {
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
	return q.wait(ctx, s, position)
}

func (q gtids) close(ctx context.Context, t *Topology) (string, error) {
	if err := t.Primary().Exec(ctx, q.readOnly); err != nil {
		return "", err
	}
	return q.position(ctx, t.Primary())
}

func (q gtids) open(ctx context.Context, t *Topology) error { return t.Primary().Exec(ctx, q.writable) }

func (q gtids) promote(ctx context.Context, s *Server) error {
	return s.Exec(ctx, q.stopReplica+q.forget+q.writable)
}

// rebuild starts an empty server that follows the primary from the beginning of its history. It gets another id,
// since a server doesn't replicate what comes from its own.
func (q gtids) rebuild(ctx context.Context, t *Topology, s *Server) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	s.opts.ServerID += 1000
	if err := s.start(ctx); err != nil {
		return err
	}
	return q.follow(ctx, t, s)
}

func (q gtids) rejoin(ctx context.Context, t *Topology, s *Server) error {
	if t.Flavor == MariaDB { // whose positions don't tell which server's writes they count
		return t.rebuild(ctx, s)
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	has, err := q.position(ctx, s)
	if err != nil {
		return err
	}
	primary, err := q.position(ctx, t.Primary())
	if err != nil {
		return err
	}
	if same, err := q.contains(ctx, t.Primary(), primary, has); err != nil || !same {
		return errors.Join(err, t.rebuild(ctx, s))
	}
	return q.follow(ctx, t, s)
}

// statements are the SQL that topologies need, each ending in a semicolon where it is run with others.
type statements struct {
	readOnly, writable                      string
	followPort, forget                      string // followPort takes the port
	startReplica, stopReplica, stopFetching string
	status, executed                        string
	waitSecond                              string // takes a position, waits for at most a second
	containsAll                             string // takes two positions: 1 if the first has all of the second
}

var mysqlStatements = statements{
	readOnly: "SET GLOBAL super_read_only = ON;",
	writable: "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF;",
	followPort: "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = %d, SOURCE_USER = '" + ReplUser +
		"', SOURCE_PASSWORD = '" + ReplPassword + "', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 86400;",
	forget:       "RESET REPLICA ALL;",
	startReplica: "START REPLICA;",
	stopReplica:  "STOP REPLICA;",
	stopFetching: "STOP REPLICA IO_THREAD;",
	status:       "SHOW REPLICA STATUS",
	executed:     "SELECT @@GLOBAL.gtid_executed",
	waitSecond:   "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 1)",
	containsAll:  "SELECT GTID_SUBSET(%[2]s, %[1]s)",
}

// MASTER_USE_GTID = current_pos serves a server that was a primary as well as one that was a replica:
// it goes on after the last transaction that the server wrote or applied. The former primary is told that it
// has applied what it wrote, since MASTER_GTID_WAIT looks at nothing else.
var mariadbStatements = statements{
	readOnly: "SET GLOBAL read_only = ON;",
	writable: "SET GLOBAL read_only = OFF;",
	followPort: "SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_current_pos; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = %d, MASTER_USER = '" + ReplUser +
		"', MASTER_PASSWORD = '" + ReplPassword + "', MASTER_USE_GTID = current_pos, MASTER_CONNECT_RETRY = 1;",
	forget:       "RESET SLAVE ALL;",
	startReplica: "START SLAVE;",
	stopReplica:  "STOP SLAVE;",
	stopFetching: "STOP SLAVE IO_THREAD;",
	status:       "SHOW SLAVE STATUS",
	executed:     "SELECT @@GLOBAL.gtid_current_pos",
	waitSecond:   "SELECT MASTER_GTID_WAIT(%s, 1)",
	// There is one domain, whose sequence numbers tell.
	containsAll: "SELECT CAST(SUBSTRING_INDEX(%s, '-', -1) AS UNSIGNED) >= CAST(SUBSTRING_INDEX(%s, '-', -1) AS UNSIGNED)",
}
