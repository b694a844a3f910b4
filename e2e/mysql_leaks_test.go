package e2e

// What one session does must not show in what another may do.

import (
	"context"
	"testing"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

// TestRolesEndWithTheirSession: no server takes a role back by a reset.
func TestRolesEndWithTheirSession(t *testing.T) {
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		s := newStage(ctx, t, flavor)
		s.atPrimary("DROP DATABASE IF EXISTS role_secret; CREATE DATABASE role_secret; CREATE TABLE role_secret.t (a INT); DROP ROLE IF EXISTS stage_role")
		s.atPrimary("CREATE ROLE stage_role; GRANT ALL ON role_secret.* TO stage_role; CREATE USER IF NOT EXISTS stage_low@'127.0.0.1' IDENTIFIED BY 'app-secret'; " +
			"GRANT ALL ON leat_stage.* TO stage_low@'127.0.0.1'; GRANT stage_role TO stage_low@'127.0.0.1'; " +
			"CREATE PROCEDURE take_role() SQL SECURITY INVOKER SET ROLE stage_role")
		defer s.atPrimary("DROP PROCEDURE take_role")
		s.sync()
		l := startLeat(ctx, t, s.top, leatOptions{PoolSize: 1, Users: "[{name: stage_low, password: app-secret}]"})
		login := func() *peer {
			c, err := rawmysql.Dial(ctx, l.Addr, rawmysql.Options{User: "stage_low", Password: localdb.AppPassword, Database: stageDatabase, Flags: peerFlags})
			if err != nil {
				t.Fatal(err)
			}
			return &peer{c, s}
		}
		for _, take := range []string{"SET ROLE stage_role", "CALL take_role()"} {
			c := login()
			c.query(take)
			c.query("SELECT COUNT(*) FROM role_secret.t FOR UPDATE")
			c.Abort()
			next := login()
			r, err := next.Query("SELECT COUNT(*) FROM role_secret.t FOR UPDATE")
			if err != nil || r.Err() == nil {
				t.Errorf("after %s by another session: got %v, %v, want to be refused", take, r, err)
			}
			next.Close()
		}
	})
}
