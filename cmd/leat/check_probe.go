// What leat check --connect asks one server.
package main

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"leat/proxy/backend"
)

// target is one server with all who log in to it.
type target struct {
	path    string // where it is in the config
	address string
	primary bool // as the config says
	tls     *tls.Config
	monitor backend.Monitor
	logins  []login
}

// login is one name and password for the servers, and whose they are.
type login struct{ name, password, whose string }

func (l login) same(o login) bool { return l.name == o.name && l.password == o.password }

// answer is what a server said.
type answer struct {
	version, flavor, role string
	problems              []string
}

func (a *answer) wrong(format string, args ...any) {
	a.problems = append(a.problems, fmt.Sprintf(format, args...))
}

func (t *target) ask(ctx context.Context) *answer {
	a := &answer{}
	monitor := login{t.monitor.User, t.monitor.Password, "monitor"}
	err := t.with(ctx, monitor, func(db *sql.Conn) error { return t.asMonitor(ctx, db, a) })
	if err != nil {
		a.wrong("%v", err)
	}
	if a.version == "" {
		return a // nobody else will get in either
	}
	for _, l := range t.logins {
		if err := t.with(ctx, l, func(*sql.Conn) error { return nil }); err != nil {
			a.wrong("%v", err)
		}
	}
	return a
}

// with runs do on a connection of that login.
func (t *target) with(ctx context.Context, l login, do func(*sql.Conn) error) error {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = l.name, l.password, "tcp", t.address
	c.Timeout, c.ReadTimeout, c.Logger = 5*time.Second, 10*time.Second, &mysql.NopLogger{}
	c.AllowNativePasswords = true
	if t.tls != nil {
		c.TLS = t.tls.Clone()
		if host, _, err := net.SplitHostPort(t.address); err == nil && c.TLS.ServerName == "" {
			c.TLS.ServerName = host
		}
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("%s (%s) can't log in: %w", l.whose, l.name, err)
	}
	defer conn.Close()
	return do(conn)
}

// asMonitor asks what Leat will ask again and again while it runs.
func (t *target) asMonitor(ctx context.Context, db *sql.Conn, a *answer) error {
	var readOnly bool
	if err := db.QueryRowContext(ctx, "SELECT VERSION(), @@global.read_only").Scan(&a.version, &readOnly); err != nil {
		return fmt.Errorf("it doesn't say its version: %w", err)
	}
	a.flavor, a.role = "MySQL", "writable"
	if strings.Contains(a.version, "MariaDB") {
		a.flavor = "MariaDB"
	}
	if readOnly {
		a.role = "read only"
	}
	replicates, err := t.replicates(ctx, db, a.flavor)
	if err != nil {
		return fmt.Errorf("monitor can't see the state of replication; GRANT REPLICATION CLIENT (MySQL) or SLAVE MONITOR (MariaDB) to it: %w", err)
	}
	switch {
	case t.primary && (readOnly || replicates):
		a.wrong("it is the primary here, but it is %s and replicates: %v; Leat would look for the primary among the replicas", a.role, replicates)
	case !t.primary && !replicates:
		a.wrong("it is a replica here, but it doesn't replicate from anywhere")
	case !t.primary && !readOnly:
		a.wrong("it is a replica here, but it takes writes; SET GLOBAL read_only = ON")
	}
	if t.monitor.Query != "" {
		return t.content(ctx, db)
	}
	return nil
}

func (t *target) replicates(ctx context.Context, db *sql.Conn, flavor string) (bool, error) {
	query := "SHOW REPLICA STATUS"
	if flavor == "MariaDB" {
		query = "SHOW ALL SLAVES STATUS"
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil && flavor == "MySQL" {
		rows, err = db.QueryContext(ctx, "SHOW SLAVE STATUS") // before 8.0.22
	}
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

// content is the optional check of the operator's own.
func (t *target) content(ctx context.Context, db *sql.Conn) error {
	rows, err := db.QueryContext(ctx, t.monitor.Query)
	if err != nil {
		return fmt.Errorf("monitor.query fails: %w", err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || len(columns) == 0 || !rows.Next() {
		return fmt.Errorf("monitor.query has no row to answer with (%v)", rows.Err())
	}
	fields := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range fields {
		into[i] = &fields[i]
	}
	if err := rows.Scan(into...); err != nil {
		return fmt.Errorf("monitor.query: %w", err)
	}
	if t.monitor.Expect != "" && fields[0].String != t.monitor.Expect {
		return fmt.Errorf("monitor.query doesn't answer %q", t.monitor.Expect)
	}
	return nil
}
