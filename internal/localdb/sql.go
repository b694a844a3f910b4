package localdb

// SQL on a server.

import (
	"context"
	"database/sql"
)

// DSN is what the dialect's Go driver takes to reach the server: github.com/go-sql-driver/mysql or
// github.com/jackc/pgx/v5 (without TLS).
func (s *Server) DSN(user, password, database string) string {
	return s.install.family.dsn(s, user, password, database)
}

// DB opens a pool of connections to the server. The caller closes it.
func (s *Server) DB(user, password, database string) (*sql.DB, error) {
	return sql.Open(s.install.family.driver(), s.DSN(user, password, database))
}

// Exec runs statements, separated by semicolons, as root on a new connection. PostgreSQL runs them in AppDatabase, as
// one transaction.
func (s *Server) Exec(ctx context.Context, query string) error {
	return s.install.family.exec(ctx, s, "", query)
}

// ExecIn is Exec in a database.
func (s *Server) ExecIn(ctx context.Context, database, query string) error {
	return s.install.family.exec(ctx, s, database, query)
}

// Value runs a query as root on a new connection and returns the first column of the first row, as text. NULL
// is the empty string; no row is sql.ErrNoRows.
func (s *Server) Value(ctx context.Context, query string) (string, error) {
	_, row, err := s.install.family.firstRow(ctx, s, "", query)
	if err != nil || len(row) == 0 {
		return "", err
	}
	return row[0].String, nil
}

// Row runs a query as root on a new connection and returns the first row by column name. NULL is the
// empty string; no row is sql.ErrNoRows. It suits SHOW REPLICA STATUS.
func (s *Server) Row(ctx context.Context, query string) (map[string]string, error) {
	names, values, err := s.install.family.firstRow(ctx, s, "", query)
	if err != nil {
		return nil, err
	}
	row := make(map[string]string, len(names))
	for i, name := range names {
		row[name] = values[i].String
	}
	return row, nil
}
