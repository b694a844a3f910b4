// The demo's online stores, one per dialect: what a Feast online store keeps (a row per entity and feature), and a wide
// table with a row per user, as hand-written stores have. Tables and traffic are the same, the SQL isn't quite.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"leat/internal/localdb"
)

// onlineStore is one database with the demo's tables, behind Leat.
type onlineStore struct {
	name           string // for people
	address        string // of Leat, for it
	user, password string

	first    string   // the database that is there before setup; may be empty
	database string   // with the tables
	setup    []string // makes it and the tables
	text     []any    // arguments by which the driver sends a statement as text
	sql      storeSQL
	connect  func(s *onlineStore, database string) (*sql.DB, error)
	dsn      func(*onlineStore) string
	client   func(s *onlineStore, flavor localdb.Flavor) string // a command line
}

// storeSQL are statements as the dialect has them.
type storeSQL struct {
	replace, orKeep string // around rows to load: "replace INTO ... VALUES ... orKeep"
	bytes           string // bytes, of hex digits
	user            string // looks up a user
	refresh         string // sets a feature, of entity, name and value
	write, read     string // a user's version
}

func mysqlStore(address, user, password string) *onlineStore {
	return &onlineStore{
		name: "MySQL", address: address, user: user, password: password, database: demoDatabase,
		setup: []string{
			"CREATE DATABASE IF NOT EXISTS " + demoDatabase, "USE " + demoDatabase,
			`CREATE TABLE IF NOT EXISTS demo_driver_stats (
				entity_key VARCHAR(512) NOT NULL, feature_name VARCHAR(256) NOT NULL, value BLOB,
				event_ts TIMESTAMP NULL, created_ts TIMESTAMP NULL, PRIMARY KEY (entity_key, feature_name))`,
			`CREATE TABLE IF NOT EXISTS user_features (
				tenant_id VARCHAR(32) NOT NULL, user_id INT NOT NULL, version INT NOT NULL DEFAULT 0,
				clicks_7d INT NOT NULL, spend_30d DOUBLE NOT NULL, segment VARCHAR(32) NOT NULL, embedding VARBINARY(256) NOT NULL,
				updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (tenant_id, user_id))`,
		},
		sql: storeSQL{
			replace: "REPLACE", bytes: "0x%s",
			user: "SELECT * FROM user_features WHERE tenant_id = ? AND user_id = ?",
			refresh: "INSERT INTO demo_driver_stats (entity_key, feature_name, value, event_ts, created_ts) VALUES ('%[1]s', '%[2]s', %[3]s, NOW(), NOW()) " +
				"ON DUPLICATE KEY UPDATE value = %[3]s, event_ts = NOW()",
			write: "REPLACE INTO user_features (tenant_id, user_id, version, clicks_7d, spend_30d, segment, embedding) VALUES (?, ?, ?, 1, 1, 's', 'e')",
			read:  "SELECT version FROM user_features WHERE tenant_id = ? AND user_id = ?",
		},
		connect: connectMySQL,
		dsn: func(s *onlineStore) string {
			return fmt.Sprintf("%s:%s@tcp(%s)/%s", s.user, s.password, s.address, s.database)
		},
		client: func(s *onlineStore, flavor localdb.Flavor) string {
			host, port, _ := net.SplitHostPort(s.address)
			program := "mysql"
			if flavor == localdb.MariaDB {
				program = "mariadb"
			}
			return fmt.Sprintf("%s -h %s -P %s -u %s -p%s %s", program, host, port, s.user, s.password, s.database)
		},
	}
}

func connectMySQL(s *onlineStore, database string) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = s.user, s.password, "tcp", s.address, database
	c.Timeout, c.Logger = 10*time.Second, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func postgresStore(address, user, password string) *onlineStore {
	return &onlineStore{
		name: "PostgreSQL", address: address, user: user, password: password, first: localdb.AppDatabase, database: localdb.AppDatabase,
		setup: []string{
			`CREATE TABLE IF NOT EXISTS demo_driver_stats (
				entity_key VARCHAR(512) NOT NULL, feature_name VARCHAR(256) NOT NULL, value BYTEA,
				event_ts TIMESTAMPTZ, created_ts TIMESTAMPTZ, PRIMARY KEY (entity_key, feature_name))`,
			`CREATE TABLE IF NOT EXISTS user_features (
				tenant_id VARCHAR(32) NOT NULL, user_id INT NOT NULL, version INT NOT NULL DEFAULT 0,
				clicks_7d INT NOT NULL, spend_30d DOUBLE PRECISION NOT NULL, segment VARCHAR(32) NOT NULL, embedding BYTEA NOT NULL,
				updated_at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, user_id))`,
		},
		text: []any{pgx.QueryExecModeSimpleProtocol},
		sql: storeSQL{
			replace: "INSERT", orKeep: " ON CONFLICT DO NOTHING", bytes: `'\x%s'`,
			user: "SELECT * FROM user_features WHERE tenant_id = $1 AND user_id = $2",
			refresh: "INSERT INTO demo_driver_stats (entity_key, feature_name, value, event_ts, created_ts) VALUES ('%[1]s', '%[2]s', %[3]s, now(), now()) " +
				"ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts",
			write: "INSERT INTO user_features (tenant_id, user_id, version, clicks_7d, spend_30d, segment, embedding) VALUES ($1, $2, $3, 1, 1, 's', 'e') " +
				"ON CONFLICT (tenant_id, user_id) DO UPDATE SET version = excluded.version",
			read: "SELECT version FROM user_features WHERE tenant_id = $1 AND user_id = $2",
		},
		connect: connectPostgres,
		dsn:     func(s *onlineStore) string { return s.url(s.database).String() },
		client: func(s *onlineStore, _ localdb.Flavor) string {
			return fmt.Sprintf("psql %s", s.url(s.database))
		},
	}
}

func (s *onlineStore) url(database string) *url.URL {
	return &url.URL{Scheme: "postgres", User: url.UserPassword(s.user, s.password), Host: s.address, Path: "/" + database}
}

func connectPostgres(s *onlineStore, database string) (*sql.DB, error) {
	u := s.url(database)
	u.RawQuery = "connect_timeout=10"
	c, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*c), nil
}

func (s *onlineStore) open(database string) (*sql.DB, error) { return s.connect(s, database) }

// load waits for Leat to answer, makes the tables and fills them, and waits until the replicas have them.
func (s *onlineStore) load(ctx context.Context, say func(string, ...any)) error {
	db, err := s.open(s.first)
	if err != nil {
		return err
	}
	defer db.Close()
	start, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	if err := waitFor(start, db.PingContext); err != nil {
		return fmt.Errorf("nobody answers at %s: %w", s.address, err)
	}
	say("Loading %d entities and %d users into %s ...", demoDrivers, demoUsers, s.name)
	if err := s.fill(ctx, db); err != nil {
		return fmt.Errorf("the data can't be loaded: %w", err)
	}
	if err := waitFor(start, s.settled); err != nil {
		return fmt.Errorf("the replicas don't get the data: %w", err)
	}
	return nil
}

// fill makes and fills the tables, through Leat.
func (s *onlineStore) fill(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, statement := range s.setup {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", firstWords(statement), err)
		}
	}
	var drivers, users []string
	for id := range demoDrivers {
		for _, feature := range demoFeatures {
			drivers = append(drivers, fmt.Sprintf("('%s','%s',%s,NOW(),NOW())", entityKey(id), feature, s.bytes(featureValue())))
		}
	}
	for id := range demoUsers {
		users = append(users, fmt.Sprintf("('%s',%d,%d,%.2f,'segment-%d',%s)",
			tenantOf(id), id, rand.IntN(500), 1000*rand.Float64(), id%7, s.bytes(embedding())))
	}
	if err := s.insert(ctx, conn, "demo_driver_stats", drivers); err != nil {
		return err
	}
	return s.insert(ctx, conn, "user_features (tenant_id, user_id, clicks_7d, spend_30d, segment, embedding)", users)
}

// settled reads from whatever replica is chosen, many times over, and fails where the data isn't there yet.
func (s *onlineStore) settled(ctx context.Context) error {
	db, err := s.open(s.database)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SET leat.consistency = 'eventual'"); err != nil {
		return err
	}
	for range 30 {
		var drivers, users int
		err := conn.QueryRowContext(ctx, "SELECT (SELECT COUNT(*) FROM demo_driver_stats), (SELECT COUNT(*) FROM user_features)").Scan(&drivers, &users)
		if err != nil {
			return err
		}
		if drivers < demoDrivers*len(demoFeatures) || users < demoUsers {
			return fmt.Errorf("%d and %d rows are there, not all", drivers, users)
		}
	}
	return nil
}

// bytes is a literal.
func (s *onlineStore) bytes(hex string) string { return fmt.Sprintf(s.sql.bytes, hex) }
