package localdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

func eachPostgres(t *testing.T, f func(t *testing.T, ctx context.Context, flavor Flavor)) {
	eachOf(t, PostgresFlavors, f)
}

func TestPostgres(t *testing.T) {
	eachPostgres(t, func(t *testing.T, ctx context.Context, flavor Flavor) {
		s, err := Start(ctx, Options{Flavor: flavor, Extra: []string{"--max-connections=30"}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		must(t, s.Exec(ctx, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)"))
		checkValue(t, ctx, s, "SHOW max_connections", "30")
		checkUsers(t, ctx, s)

		db, err := s.DB(AppUser, AppPassword, AppDatabase)
		must(t, err)
		defer db.Close()
		conn, err := db.Conn(ctx) // busy while the server is killed
		must(t, err)
		sleeping := make(chan error)
		go func() {
			_, err := conn.ExecContext(ctx, "SELECT pg_sleep(60)")
			sleeping <- err
		}()
		must(t, poll(ctx, s, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", func(n string) bool { return n == "1" }))
		s.Kill()
		if err := <-sleeping; err == nil {
			t.Error("a statement outlived its server")
		}
		must(t, s.Restart(ctx))
		checkValue(t, ctx, s, "SELECT count(*) FROM t", "1")

		must(t, s.Pause())
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		if err := s.Exec(short, "SELECT 1"); err == nil {
			t.Error("a paused server answered")
		}
		cancel()
		must(t, s.Resume())
		checkValue(t, ctx, s, "SELECT 1", "1")
		must(t, s.Stop(ctx))
		must(t, s.Restart(ctx))
		checkValue(t, ctx, s, "SELECT count(*) FROM t", "1")
	})
}

// checkUsers logs in over TCP in each way that there is.
func checkUsers(t *testing.T, ctx context.Context, s *Server) {
	t.Helper()
	pem, err := os.ReadFile(s.ServerCert())
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client, err := tls.LoadX509KeyPair(s.ClientCert())
	must(t, err)
	for _, test := range []struct {
		user, password string
		tls            *tls.Config
	}{
		{AppUser, AppPassword, nil},
		{AppUser, AppPassword, &tls.Config{RootCAs: roots, ServerName: "localhost"}},
		{PlainUser, AppPassword, nil},
		{MD5User, AppPassword, nil},
		{AdminUser, AppPassword, nil},
		{CertUser, "", &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{client}}},
		{MonitorUser, MonitorPassword, nil},
	} {
		cfg, err := pgx.ParseConfig(s.DSN(test.user, test.password, AppDatabase))
		must(t, err)
		cfg.TLSConfig = test.tls
		db := stdlib.OpenDB(*cfg)
		var name string
		if err := db.QueryRowContext(ctx, "SELECT current_user").Scan(&name); err != nil || name != test.user {
			t.Errorf("logged in as %s (TLS: %t): %s, %v", test.user, test.tls != nil, name, err)
		}
		if test.user != MonitorUser {
			checkPrivileges(t, ctx, db, test.user)
		}
		db.Close()
	}
}

func checkPrivileges(t *testing.T, ctx context.Context, db *sql.DB, user string) {
	t.Helper()
	_, err := db.ExecContext(ctx, "UPDATE t SET id = 1; CREATE TABLE own (id int); DROP TABLE own; SET ROLE app_reader; RESET ROLE", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Errorf("%s: %v", user, err)
	}
}

func TestPostgresTopology(t *testing.T) {
	eachPostgres(t, func(t *testing.T, ctx context.Context, flavor Flavor) {
		top, err := StartTopologyWith(ctx, TopologyOptions{Flavor: flavor, Replicas: 2, SemiSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer top.Close()
		rows := 0
		write := func() {
			t.Helper()
			rows++
			must(t, top.Primary().Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY); INSERT INTO t VALUES (%d)", rows)))
		}
		check := func() {
			t.Helper()
			must(t, top.WaitSynced(ctx))
			for _, s := range top.Servers {
				if s.PID() != 0 {
					checkValue(t, ctx, s, "SELECT count(*) FROM t", fmt.Sprint(rows))
					checkValue(t, ctx, s, "SELECT NOT pg_is_in_recovery()", map[bool]string{true: "t", false: "f"}[s == top.Primary()])
				}
			}
		}
		write()
		check()

		must(t, top.StopReplication(ctx, 1))
		write()
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		if err := top.WaitSynced(short); err == nil {
			t.Error("WaitSynced returned while replication was stopped")
		}
		cancel()
		must(t, top.StartReplication(ctx, 1))
		check()

		top.Servers[2].Kill()
		write()
		must(t, top.Servers[2].Restart(ctx))
		check()

		must(t, top.Switchover(ctx, 2))
		check()
		write()
		check()

		top.Primary().Kill()
		best, err := top.MostAdvanced(ctx)
		must(t, err)
		if best == 2 {
			t.Error("a server that is down is the most advanced")
		}
		must(t, top.Promote(ctx, best))
		write()
		check()
		must(t, top.Servers[2].Restart(ctx))
		must(t, top.Follow(ctx, top.Servers[2]))
		write()
		check()
		replica := top.Index(top.Replicas()[0])
		must(t, top.Rebuild(ctx, replica))
		check()
		old := top.Index(top.Primary())
		top.Primary().Kill()
		must(t, top.Promote(ctx, replica))
		must(t, top.Rejoin(ctx, old))
		check()
		checkReplicating(t, ctx, top)
	})
}

// checkReplicating waits for the receivers, which show a little after the rows that they received.
func checkReplicating(t *testing.T, ctx context.Context, top *Topology) {
	t.Helper()
	for _, s := range top.Replicas() {
		err := poll(ctx, s, "SELECT status FROM pg_stat_wal_receiver", func(got string) bool { return got == "streaming" })
		ok, err2 := top.Replicating(ctx, s)
		if !ok || err != nil || err2 != nil {
			t.Errorf("port %d replicates: %t, %v", s.Port, ok, errors.Join(err, err2))
		}
	}
}
