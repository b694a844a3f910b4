package e2e

// What the soak says differently to MySQL's kin and to PostgreSQL.

import (
	"database/sql"
	"errors"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"leat/internal/localdb"
)

// soakDialect is one dialect's words.
type soakDialect struct {
	database string // the clients'
	setup    string // makes the table, run in setupIn; on MySQL it makes the database as well
	setupIn  string
	// open opens the connection of client i.
	open func(l *leat, i int) (*sql.DB, error)
	// numbered says that parameters are $1, $2 ... instead of question marks.
	numbered bool
	// lost are the codes of statements whose server died; refused those of transactions that find their server
	// read-only; cut those of what ran when a server was shut
	// down: of PostgreSQL a write may have been waiting for a replica then.
	lost, refused, cut []string
	// conns counts the application's connections to a server, running its statements with %s in them.
	conns, running string
	// sleep is an expression that takes 45 seconds; sleepWriting is a statement of it for the primary.
	sleep, sleepWriting string
}

var soakDialects = map[string]*soakDialect{
	"mysql": {
		database: "soak", open: openSoakMySQL,
		setup: "DROP DATABASE IF EXISTS soak; CREATE DATABASE soak; USE soak; " + soakTable,
		lost:  []string{"2013"}, refused: []string{"1290"},
		conns:   "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '" + localdb.AppUser + "'",
		running: "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '" + localdb.AppUser + "' AND info LIKE '%%%s%%'",
		sleep:   "SLEEP(45)", sleepWriting: "DO SLEEP(45)",
	},
	"postgres": {
		database: localdb.AppDatabase, setupIn: localdb.AppDatabase, open: openSoakPostgres, numbered: true,
		setup: "SET ROLE app; DROP TABLE IF EXISTS soak; " + soakTable,
		lost:  []string{"08006", "08007"}, refused: []string{"25006"}, cut: []string{"08006", "08007"},
		conns: "SELECT count(*) FROM pg_stat_activity WHERE usename = '" + localdb.AppUser + "'",
		running: "SELECT count(*) FROM pg_stat_activity WHERE usename = '" + localdb.AppUser + "' AND state = 'active' " +
			"AND query LIKE '%%%s%%'",
		sleep: "pg_sleep(45)", sleepWriting: "SELECT pg_sleep(45), txid_current()",
	},
}

// openSoakMySQL has every second client use prepared statements.
func openSoakMySQL(l *leat, i int) (*sql.DB, error) {
	cfg, err := mysql.ParseDSN(l.DSN("soak"))
	if err != nil {
		return nil, err
	}
	cfg.InterpolateParams = i%2 == 0
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// openSoakPostgres has the clients take turns in the ways that the driver has.
func openSoakPostgres(l *leat, i int) (*sql.DB, error) {
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec,
	}
	cfg, err := pgx.ParseConfig("postgres://" + localdb.AppUser + ":" + localdb.AppPassword + "@" + l.Addr + "/" + localdb.AppDatabase + "?sslmode=disable")
	if err != nil {
		return nil, err
	}
	cfg.DefaultQueryExecMode = modes[i%len(modes)]
	return stdlib.OpenDB(*cfg), nil
}

// bind numbers the parameters where the dialect does.
func (d *soakDialect) bind(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	n := 0
	for {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}

// errorCode is the number or SQLSTATE of a server's error, and its text. Empty: it is none.
func errorCode(err error) (code, message string) {
	var byMySQL *mysql.MySQLError
	var byPostgres *pgconn.PgError
	switch {
	case errors.As(err, &byMySQL):
		return strconv.Itoa(int(byMySQL.Number)), byMySQL.Message
	case errors.As(err, &byPostgres):
		return byPostgres.Code, byPostgres.Message
	}
	return "", ""
}
