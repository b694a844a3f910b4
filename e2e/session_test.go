package e2e

// What a session must never do, whatever its server or its config does meanwhile.

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

// TestRemovedUser: a session that runs can't become a user whom a reload has removed, or by an old password.
func TestRemovedUser(t *testing.T) {
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := sharedServers(ctx, t, flavor)
		users := "[{name: app, password: app-secret}, {name: other, password: %s, server_user: app, server_password: app-secret}]"
		l := startLeat(ctx, t, top, leatOptions{Users: fmt.Sprintf(users, "first")})
		login := func() *rawmysql.Conn {
			c, err := rawmysql.Dial(ctx, l.Addr, rawmysql.Options{User: "app", Password: "app-secret", Flags: rawmysql.DeprecateEOF})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		early, removed := login(), login()
		defer early.Abort()
		defer removed.Abort()

		l.WriteConfig(top, leatOptions{Users: fmt.Sprintf(users, "second")})
		l.Reload()
		eventually(ctx, t, "the new password isn't taken", func() error { return login().ChangeUser("other", "second", "") })
		if err := early.ChangeUser("other", "first", ""); err == nil {
			t.Error("a session from before a reload changed its user by the old password")
		}

		l.WriteConfig(top, leatOptions{Users: "[{name: app, password: app-secret}]"})
		l.Reload()
		eventually(ctx, t, "the removed user can still be had", func() error {
			if login().ChangeUser("other", "second", "") == nil {
				return fmt.Errorf("logged in")
			}
			return nil
		})
		if err := removed.ChangeUser("other", "second", ""); err == nil {
			t.Error("a session from before a reload became a user who is not there any more")
		}
		if _, err := login().Query("SELECT 1"); err != nil {
			t.Errorf("Leat after that: %v", err)
		}
	})
}

// TestFoundRowsInWrite: a value of the statement before is never another session's, also where it is written.
func TestFoundRowsInWrite(t *testing.T) {
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := sharedServers(ctx, t, flavor)
		l := startLeat(ctx, t, top, leatOptions{})
		db := l.DB("")
		for _, q := range []string{
			"DROP DATABASE IF EXISTS found", "CREATE DATABASE found",
			"CREATE TABLE found.log (n INT PRIMARY KEY AUTO_INCREMENT, v INT)", "CREATE TABLE found.t (n INT PRIMARY KEY)",
			"INSERT INTO found.t VALUES (1), (2), (3)",
		} {
			if _, err := db.ExecContext(ctx, q); err != nil {
				t.Fatal(err)
			}
		}
		if err := top.WaitSynced(ctx); err != nil {
			t.Fatal(err)
		}
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 5 {
			rows, err := c.QueryContext(ctx, "SELECT n FROM found.t")
			if err != nil {
				t.Fatal(err)
			}
			rows.Close()
			if _, err := c.ExecContext(ctx, "INSERT INTO found.log (v) VALUES (FOUND_ROWS())"); err != nil {
				continue // refused: the conn that knows is a replica's
			}
			var v int
			if err := c.QueryRowContext(ctx, "SELECT v FROM found.log ORDER BY n DESC LIMIT 1").Scan(&v); err != nil && err != sql.ErrNoRows {
				t.Fatal(err)
			}
			if v != 3 {
				t.Fatalf("FOUND_ROWS() of a query of 3 rows was written as %d", v)
			}
		}
	})
}

// TestCounts: ROW_COUNT() and FOUND_ROWS() are those of the session's last statement, or refused.
func TestCounts(t *testing.T) {
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		top := sharedServers(ctx, t, flavor)
		l := startLeat(ctx, t, top, leatOptions{})
		db := l.DB("")
		for _, q := range []string{"DROP DATABASE IF EXISTS counts", "CREATE DATABASE counts", "CREATE TABLE counts.t (n INT PRIMARY KEY AUTO_INCREMENT, v INT)"} {
			if _, err := db.ExecContext(ctx, q); err != nil {
				t.Fatal(err)
			}
		}
		if err := top.WaitSynced(ctx); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			before []string
			query  string
			want   int
			sure   bool // it may not be refused
		}{
			{[]string{"INSERT INTO counts.t (v) VALUES (1), (2)"}, "SELECT ROW_COUNT()", 2, true},
			{[]string{"INSERT INTO counts.t (v) VALUES (1), (2)"}, "SELECT ROW_COUNT() + 0", 2, false},
			{[]string{"INSERT INTO counts.t (v) VALUES (1), (2)"}, "SELECT IF(ROW_COUNT() = 2, 7, 8)", 7, false},
			{[]string{"SELECT n FROM counts.t LIMIT 3", "SET @z = 1"}, "SELECT FOUND_ROWS()", 3, true},
			{[]string{"SELECT n FROM counts.t LIMIT 3", "BEGIN"}, "SELECT FOUND_ROWS() + 0", 3, false},
			{[]string{"BEGIN", "UPDATE counts.t SET v = 9 WHERE n <= 2"}, "SELECT ROW_COUNT() + 0", 2, true},
		} {
			conn, err := db.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range append([]string{"ROLLBACK"}, c.before...) {
				rows, err := conn.QueryContext(ctx, q)
				if err != nil {
					t.Fatalf("%s: %v", q, err)
				}
				rows.Close()
			}
			var got int
			err = conn.QueryRowContext(ctx, c.query).Scan(&got)
			switch {
			case serverError(err) == 1235 && !c.sure:
			case err != nil || got != c.want:
				t.Errorf("%q: %s: got %d, %v; want %d", c.before, c.query, got, err, c.want)
			}
			if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
				t.Error(err)
			}
			conn.Close()
		}
	})
}
