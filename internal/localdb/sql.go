package localdb

// SQL on a server, and the users that each has.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// DSN is what github.com/go-sql-driver/mysql takes to reach the server.
func (s *Server) DSN(user, password, database string) string {
	return s.config(user, password, database).FormatDSN()
}

func (s *Server) config(user, password, database string) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = user, password, database
	cfg.Net, cfg.Addr = "tcp", s.Addr()
	cfg.Timeout = 10 * time.Second
	return cfg
}

// DB opens a pool of connections to the server. The caller closes it.
func (s *Server) DB(user, password, database string) (*sql.DB, error) {
	return sql.Open("mysql", s.DSN(user, password, database))
}

// Exec runs statements, separated by semicolons, as root on a new connection.
func (s *Server) Exec(ctx context.Context, query string) error {
	return s.asRoot(ctx, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, query)
		return err
	})
}

// Value runs a query as root on a new connection and returns the first column of the first row. NULL
// is the empty string; no row is sql.ErrNoRows.
func (s *Server) Value(ctx context.Context, query string) (string, error) {
	var v sql.NullString
	err := s.asRoot(ctx, func(conn *sql.Conn) error {
		return conn.QueryRowContext(ctx, query).Scan(&v)
	})
	return v.String, err
}

// Row runs a query as root on a new connection and returns the first row by column name. NULL is the
// empty string; no row is sql.ErrNoRows. It suits SHOW REPLICA STATUS.
func (s *Server) Row(ctx context.Context, query string) (map[string]string, error) {
	var row map[string]string
	err := s.asRoot(ctx, func(conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer rows.Close()
		row, err = scanRow(rows)
		return err
	})
	return row, err
}

func scanRow(rows *sql.Rows) (map[string]string, error) {
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if !rows.Next() {
		return nil, errors.Join(sql.ErrNoRows, rows.Err())
	}
	values := make([]sql.NullString, len(names))
	refs := make([]any, len(names))
	for i := range values {
		refs[i] = &values[i]
	}
	if err := rows.Scan(refs...); err != nil {
		return nil, err
	}
	row := make(map[string]string, len(names))
	for i, name := range names {
		row[name] = values[i].String
	}
	return row, nil
}

// asRoot lends a new connection of root to f. No connection is kept, so that a test can count those of others.
func (s *Server) asRoot(ctx context.Context, f func(*sql.Conn) error) error {
	cfg := s.config("root", "", "")
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
	return f(conn)
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
