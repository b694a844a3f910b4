package backend

// The questions that tell the health, role, lag and position of a MySQL or MariaDB server.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"leat/proxy/wire"
	"leat/shard"
)

// mysqlProber asks a MySQL or MariaDB server how it is.
type mysqlProber struct {
	shard   shard.ID
	monitor Monitor
	db      *sql.DB // never more than one conn
	err     error   // why db couldn't be made

	// learned from the server, after each connect
	version string
	mariaDB bool
	show    string // the statement that shows what the server replicates
}

func newMySQLProber(t ProbeTarget) Prober {
	c := mysql.NewConfig()
	c.User, c.Passwd = t.Monitor.User, t.Monitor.Password
	c.Net, c.Addr = "tcp", t.Address
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return t.Dial(ctx) }
	c.TLS = t.TLS
	c.Timeout, c.ReadTimeout, c.WriteTimeout = t.Monitor.Timeout, t.Monitor.Timeout, t.Monitor.Timeout
	c.ConnectionAttributes = "program_name:leat-monitor"
	c.InterpolateParams = true
	c.Logger = log.New(io.Discard, "", 0) // every failure is reported by the probe itself
	p := &mysqlProber{shard: t.Shard, monitor: t.Monitor}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		p.err = fmt.Errorf("monitor: %w", err)
		return p
	}
	p.db = sql.OpenDB(connector)
	p.db.SetMaxOpenConns(1)
	return p
}

func (p *mysqlProber) Close() error {
	if p.db == nil {
		return nil
	}
	return p.db.Close()
}

// Probe looks at the server's role, its replication and its position, and runs the operator's
// check if there is one. The log-in and each statement prove that it answers.
func (p *mysqlProber) Probe(ctx context.Context) (Observation, error) {
	o, err := p.probe(ctx)
	return o, asServerError(err)
}

func (p *mysqlProber) probe(ctx context.Context) (o Observation, err error) {
	if p.err != nil {
		return o, p.err
	}
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return o, fmt.Errorf("log in as monitor user %q: %w", p.monitor.User, err)
	}
	defer conn.Close()
	if err := p.learn(ctx, conn); err != nil {
		return o, fmt.Errorf("ask for the version: %w", err)
	}
	if err := p.replication(ctx, conn, &o); err != nil {
		return o, fmt.Errorf("%s: %w", p.show, err)
	}
	var readOnly string
	if err := conn.QueryRowContext(ctx, "SELECT @@global.read_only").Scan(&readOnly); err != nil {
		return o, fmt.Errorf("ask for read_only: %w", err)
	}
	o.ReadOnly = readOnly != "0" && !strings.EqualFold(readOnly, "OFF")
	if o.Applied, err = p.position(ctx, conn); err != nil {
		return o, fmt.Errorf("ask for the position: %w", err)
	}
	return o, p.check(ctx, conn)
}

// learn finds out what kind of server it is: at the first probe, and when it was upgraded.
func (p *mysqlProber) learn(ctx context.Context, conn *sql.Conn) error {
	var version string
	if err := conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return err
	}
	if version == p.version {
		return nil
	}
	p.version = version
	p.mariaDB = strings.Contains(strings.ToLower(version), "mariadb")
	switch {
	case p.mariaDB:
		p.show = "SHOW ALL SLAVES STATUS"
	case olderVersion(version, "8.0.22"):
		p.show = "SHOW SLAVE STATUS"
	default:
		p.show = "SHOW REPLICA STATUS"
	}
	return nil
}

// Applied asks for the position alone.
func (p *mysqlProber) Applied(ctx context.Context) (shard.Position, error) {
	if p.err != nil {
		return shard.Position{}, p.err
	}
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return shard.Position{}, asServerError(err)
	}
	defer conn.Close()
	at, err := p.position(ctx, conn)
	return at, asServerError(err)
}

// position is what the server has applied. On MariaDB that is gtid_current_pos: what it applied as
// a replica, and what it wrote itself. (Its binlog's position alone would be too early on a
// replica, where the binlog is written before the rows can be seen, and gtid_slave_pos alone too
// late on a server that was the primary before.)
func (p *mysqlProber) position(ctx context.Context, conn *sql.Conn) (shard.Position, error) {
	query, parse := "SELECT @@global.gtid_executed", shard.ParseMySQLPosition
	if p.mariaDB {
		query, parse = "SELECT @@global.gtid_current_pos", shard.ParseMariaDBPosition
	}
	var text string
	if err := conn.QueryRowContext(ctx, query).Scan(&text); err != nil {
		return shard.Position{}, err
	}
	return parse(p.shard, text)
}

// replication reads what the server follows, one row for each source.
func (p *mysqlProber) replication(ctx context.Context, conn *sql.Conn, o *Observation) error {
	rows, err := conn.QueryContext(ctx, p.show)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	at := findReplicaColumns(columns)
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		at.observe(values, o)
	}
	return rows.Err()
}

// replicaColumns are where the interesting columns stand; -1: nowhere. MySQL renamed them.
type replicaColumns struct{ host, port, io, sql, lag, ioError, sqlError int }

func findReplicaColumns(names []string) replicaColumns {
	find := func(wanted ...string) int {
		return slices.IndexFunc(names, func(n string) bool { return slices.Contains(wanted, n) })
	}
	return replicaColumns{
		host:     find("Source_Host", "Master_Host"),
		port:     find("Source_Port", "Master_Port"),
		io:       find("Replica_IO_Running", "Slave_IO_Running"),
		sql:      find("Replica_SQL_Running", "Slave_SQL_Running"),
		lag:      find("Seconds_Behind_Source", "Seconds_Behind_Master"),
		ioError:  find("Last_IO_Error"),
		sqlError: find("Last_SQL_Error"),
	}
}

// observe adds one source to the observation: the worst of them counts. A lag counts only while
// both threads run, since the server may go on to report the last one, or zero.
func (at replicaColumns) observe(row []sql.NullString, o *Observation) {
	get := func(i int) string {
		if i < 0 {
			return ""
		}
		return row[i].String
	}
	first := !o.Replicates
	o.Replicates = true
	if first {
		o.LagKnown = true
	}
	from, trouble := get(at.host)+":"+get(at.port), ""
	seconds, err := strconv.ParseInt(get(at.lag), 10, 32)
	switch {
	case get(at.io) != "Yes":
		trouble = because("replication from "+from+" isn't connected", get(at.ioError))
	case get(at.sql) != "Yes":
		trouble = because("changes from "+from+" aren't applied", get(at.sqlError))
	case err != nil:
		trouble = "the server doesn't know it"
	}
	if trouble != "" {
		o.LagKnown, o.Trouble = false, trouble
		return
	}
	o.Lag = max(o.Lag, time.Duration(seconds)*time.Second)
}

func because(what, why string) string {
	if why == "" {
		return what
	}
	if len(why) > 200 {
		why = why[:200] + "..."
	}
	return what + ": " + why
}

// check runs the operator's statement.
func (p *mysqlProber) check(ctx context.Context, conn *sql.Conn) error {
	if p.monitor.Query == "" {
		return nil
	}
	rows, err := conn.QueryContext(ctx, p.monitor.Query)
	if err != nil {
		return fmt.Errorf("monitor query: %w", err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return fmt.Errorf("monitor query: %w", err)
	}
	if len(columns) == 0 || !rows.Next() {
		return noRow(rows.Err())
	}
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return fmt.Errorf("monitor query: %w", err)
	}
	if want := p.monitor.Expect; want != "" && values[0].String != want {
		return fmt.Errorf("%w: got %.40q, want %q", errCheck, values[0].String, want)
	}
	return nil
}

func noRow(err error) error {
	if err != nil {
		return fmt.Errorf("monitor query: %w", err)
	}
	return fmt.Errorf("%w: no row", errCheck)
}

// asServerError turns the driver's errors into ours, with a hint where an operator needs one.
func asServerError(err error) error {
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) {
		return err
	}
	text := err.Error()
	if refused.Number == 1227 {
		text += " (grant the monitor user REPLICATION CLIENT; on MariaDB, SLAVE MONITOR)"
	}
	return &wire.ServerError{Number: refused.Number, SQLState: string(refused.SQLState[:]), Message: text}
}
