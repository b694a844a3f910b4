package localdb

// Streaming replication, of PostgreSQL.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// streaming is PostgreSQL's physical replication, without slots: primaries keep some history (wal_keep_size).
type streaming struct{}

// follow tells a running standby whom to follow. One that was a primary is restarted; what it has written since the
// new primary's promotion is taken back.
func (r streaming) follow(ctx context.Context, t *Topology, s *Server) error {
	up, standby := s.PID() != 0, s.isStandby()
	if up && standby {
		return r.retarget(ctx, t, s)
	}
	if !standby {
		if err := s.Stop(ctx); err != nil {
			return err
		}
		// Also finishes the recovery of a server that was killed.
		if _, err := s.program(ctx, "pg_rewind", "--target-pgdata="+s.dataDir(), "--no-sync",
			"--source-server="+rootConnInfo(t.Primary())+" dbname=postgres"); err != nil {
			return err
		}
	}
	if err := r.asStandby(t, s); err != nil {
		return err
	}
	return s.start(ctx)
}

// retarget needs several connections, since ALTER SYSTEM is a transaction of its own.
func (r streaming) retarget(ctx context.Context, t *Topology, s *Server) error {
	if err := s.Exec(ctx, "ALTER SYSTEM SET primary_conninfo = "+literal(r.conninfo(t, s))); err != nil {
		return err
	}
	return s.Exec(ctx, "SELECT pg_reload_conf()")
}

// asStandby prepares the data directory of a server that is down.
func (r streaming) asStandby(t *Topology, s *Server) error {
	f := postgres{}
	if err := f.write(s, "postgresql.auto.conf", "primary_conninfo = "+literal(r.conninfo(t, s))+"\n"); err != nil {
		return err
	}
	return f.asReplica(s)
}

// conninfo is how a replica reaches the primary.
func (streaming) conninfo(t *Topology, s *Server) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s sslmode=disable connect_timeout=2 application_name=port%d",
		t.Primary().Port, ReplUser, ReplPassword, s.Port)
}

// literal makes a SQL string, which a configuration file reads as well.
func literal(v string) string { return "'" + strings.ReplaceAll(v, "'", "''") + "'" }

func (streaming) start(ctx context.Context, s *Server) error {
	return s.Exec(ctx, "SELECT pg_wal_replay_resume()")
}

// stop returns when nothing more is applied.
func (streaming) stop(ctx context.Context, s *Server) error {
	if err := s.Exec(ctx, "SELECT pg_wal_replay_pause()"); err != nil {
		return err
	}
	return poll(ctx, s, "SELECT pg_get_wal_replay_pause_state()", func(got string) bool { return got == "paused" })
}

func (streaming) running(ctx context.Context, s *Server) (bool, error) {
	got, err := s.Value(ctx, "SELECT NOT pg_is_wal_replay_paused() AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')")
	return got == "t", err
}

func (streaming) describe(ctx context.Context, s *Server) string {
	row, err := s.Row(ctx, `SELECT pg_is_in_recovery() AS standby, pg_last_wal_receive_lsn() AS received, pg_last_wal_replay_lsn() AS applied,
		(SELECT status FROM pg_stat_wal_receiver) AS receiver`)
	if err != nil {
		return "no replication status: " + err.Error()
	}
	return fmt.Sprintf("standby %s, receiver %q, received %s, applied %s; its log ends:\n%s",
		row["standby"], row["receiver"], row["received"], row["applied"], logTail(s.logFile(), 1000))
}

// position of a primary is what it has flushed: a replica never gets more.
func (streaming) position(ctx context.Context, s *Server) (string, error) {
	return s.Value(ctx, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END")
}

func (streaming) wait(ctx context.Context, s *Server, position string) error {
	return poll(ctx, s, "SELECT pg_last_wal_replay_lsn() >= "+literal(position), func(got string) bool { return got == "t" })
}

// poll asks on one connection until the answer is good.
func poll(ctx context.Context, s *Server, query string, good func(string) bool) error {
	conn, err := postgres{}.connect(ctx, s, "")
	if err != nil {
		return err
	}
	defer closeConn(conn)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		results, err := conn.Exec(ctx, query).ReadAll()
		if err != nil {
			return err
		}
		if len(results) == 1 && len(results[0].Rows) == 1 && good(string(results[0].Rows[0][0])) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (streaming) contains(_ context.Context, _ *Server, a, b string) (bool, error) {
	first, err := parseLSN(a)
	if err != nil {
		return false, err
	}
	second, err := parseLSN(b)
	return first >= second, err
}

// parseLSN reads "16/B374D848".
func parseLSN(text string) (uint64, error) {
	high, low, _ := strings.Cut(text, "/")
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("no LSN: %q", text)
	}
	l, err := strconv.ParseUint(low, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("no LSN: %q", text)
	}
	return h<<32 | l, nil
}

// applyReceived is content with a replica that stands still: what it has received may end within a record.
func (streaming) applyReceived(ctx context.Context, s *Server) error {
	if !s.isStandby() {
		return fmt.Errorf("port %d isn't a replica", s.Port)
	}
	const still = 300 * time.Millisecond
	last, since := "", time.Now()
	return poll(ctx, s, `SELECT CASE WHEN pg_is_wal_replay_paused() OR pg_last_wal_receive_lsn() IS NULL
		OR pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() THEN 'all' ELSE pg_last_wal_replay_lsn()::text END`,
		func(got string) bool {
			if got != last {
				last, since = got, time.Now()
			}
			return got == "all" || time.Since(since) > still
		})
}

// close shuts the primary down: it then has sent all that it wrote to the replicas that were connected. Its last position is in
// its control file.
func (streaming) close(ctx context.Context, t *Topology) (string, error) {
	old := t.Primary()
	if err := old.Stop(ctx); err != nil {
		return "", err
	}
	control, err := old.program(ctx, "pg_controldata", "-D", old.dataDir())
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(control) {
		if position, ok := strings.CutPrefix(line, "Latest checkpoint location:"); ok {
			return strings.TrimSpace(position), nil
		}
	}
	return "", errors.New("pg_controldata names no checkpoint")
}

func (streaming) open(ctx context.Context, t *Topology) error {
	if t.Primary().PID() != 0 {
		return nil
	}
	return t.Primary().start(ctx)
}

// promote ends with a checkpoint, by which pg_rewind knows the new timeline.
func (streaming) promote(ctx context.Context, s *Server) error {
	got, err := s.Value(ctx, "SELECT pg_promote(true, 60)")
	if err != nil {
		return err
	}
	if got != "t" {
		return errors.New("it isn't promoted within a minute")
	}
	return s.Exec(ctx, "CHECKPOINT")
}

func (r streaming) rebuild(ctx context.Context, t *Topology, s *Server) error {
	if _, err := s.program(ctx, "pg_basebackup", "--pgdata="+s.dataDir(), "--dbname="+rootConnInfo(t.Primary()),
		"--checkpoint=fast", "--wal-method=stream", "--no-sync"); err != nil {
		return err
	}
	if err := r.asStandby(t, s); err != nil {
		return err
	}
	return s.start(ctx)
}

// rejoin makes the server anew: its writes may be in nobody else's history.
func (streaming) rejoin(ctx context.Context, t *Topology, s *Server) error { return t.rebuild(ctx, s) }
