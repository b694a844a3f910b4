package localdb

// SQL on MySQL and MariaDB servers, and the users that each has.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

func (mysqlKin) driver() string { return "mysql" }

func (f mysqlKin) dsn(s *Server, user, password, database string) string {
	return f.config(s, user, password, database).FormatDSN()
}

func (mysqlKin) config(s *Server, user, password, database string) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = user, password, database
	cfg.Net, cfg.Addr = "tcp", s.Addr()
	cfg.Timeout = 10 * time.Second
	return cfg
}

func (f mysqlKin) exec(ctx context.Context, s *Server, database, query string) error {
	return f.asRoot(ctx, s, database, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, query)
		return err
	})
}

func (f mysqlKin) firstRow(ctx context.Context, s *Server, database, query string) (names []string, row []sql.NullString, err error) {
	err = f.asRoot(ctx, s, database, func(conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer rows.Close()
		if names, err = rows.Columns(); err != nil {
			return err
		}
		if !rows.Next() {
			return errors.Join(sql.ErrNoRows, rows.Err())
		}
		row = make([]sql.NullString, len(names))
		refs := make([]any, len(names))
		for i := range row {
			refs[i] = &row[i]
		}
		return rows.Scan(refs...)
	})
	return names, row, err
}

// asRoot lends a new connection of root to do. No connection is kept, so that a test can count those of others.
func (f mysqlKin) asRoot(ctx context.Context, s *Server, database string, do func(*sql.Conn) error) error {
	cfg := f.config(s, "root", "", database)
	cfg.MultiStatements = true
	cfg.Logger = &mysql.NopLogger{} // its errors come back as well
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", s.Addr(), err)
	}
	defer conn.Close()
	return do(conn)
}

// appPrivileges are all that concern data, and none that gets past read_only.
const appPrivileges = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, FILE, REFERENCES, INDEX, ALTER, SHOW DATABASES, " +
	"CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER"

// setupRoot lets root in over TCP. It is run as an init file, before anybody can log in.
const setupRoot = `CREATE USER IF NOT EXISTS root@'127.0.0.1';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
`

// setupSQL makes the users, in the template.
func (in *Install) setupSQL() []string {
	with := "IDENTIFIED BY"
	if in.Flavor == MySQL {
		with = "IDENTIFIED WITH caching_sha2_password BY"
	}
	create := func(user, password string) string {
		return fmt.Sprintf("CREATE USER '%s'@'%%' %s '%s'", user, with, password)
	}
	all := []string{
		create(AppUser, AppPassword), "GRANT " + appPrivileges + " ON *.* TO '" + AppUser + "'@'%'",
		create(MonitorUser, MonitorPassword), "GRANT REPLICATION CLIENT, PROCESS ON *.* TO '" + MonitorUser + "'@'%'",
		create(ReplUser, ReplPassword), "GRANT REPLICATION SLAVE ON *.* TO '" + ReplUser + "'@'%'",
		"CREATE DATABASE IF NOT EXISTS test",
	}
	if in.Flavor == MariaDB {
		return append(all,
			"GRANT REPLICA MONITOR ON *.* TO '"+MonitorUser+"'@'%', '"+AppUser+"'@'%'",
			"DELETE FROM mysql.global_priv WHERE User = ''",
			"FLUSH PRIVILEGES")
	}
	return append(all,
		"GRANT SELECT ON performance_schema.* TO '"+MonitorUser+"'@'%'",
		"GRANT XA_RECOVER_ADMIN ON *.* TO '"+AppUser+"'@'%'")
}

// quote makes a SQL string literal.
func quote(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
}
