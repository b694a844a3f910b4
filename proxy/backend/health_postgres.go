package backend

// The questions that tell the health, role, lag and position of a PostgreSQL server.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"leat/proxy/wire"
	"leat/shard"
)

// postgresProber asks a PostgreSQL server how it is, from version 13 on. The monitor user needs pg_monitor.
type postgresProber struct {
	shard   shard.ID
	monitor Monitor
	config  *pgconn.Config
	err     error // why there is no config

	conn *pgconn.PgConn // nil: not connected
	// timeline is what the standby follows by the last probe, decimal; empty: none since it was connected to.
	timeline string
}

func newPostgresProber(t ProbeTarget) Prober {
	p := &postgresProber{shard: t.Shard, monitor: t.Monitor}
	p.config, p.err = postgresConfig(t)
	return p
}

// postgresConfig is made of the target alone: what the process's environment says (PGUSER and others) is overwritten.
func postgresConfig(t ProbeTarget) (*pgconn.Config, error) {
	host, text, err := net.SplitHostPort(t.Address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, err
	}
	c, err := pgconn.ParseConfig("host=server port=1 user=monitor password=none dbname=postgres sslmode=disable connect_timeout=0")
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	c.Host, c.Port, c.Fallbacks = host, uint16(port), nil
	c.User, c.Password, c.Database = t.Monitor.User, t.Monitor.Password, t.Monitor.Database
	c.TLSConfig = t.TLS
	c.ValidateConnect, c.AfterConnect = nil, nil
	c.MaxProtocolMessageBodyLen = 1 << 20
	c.RuntimeParams = map[string]string{
		"application_name": "leat-monitor",
		"client_encoding":  "UTF8",
		// A question that nobody waits for any more ends by itself.
		"statement_timeout": strconv.FormatInt(t.Monitor.Timeout.Milliseconds(), 10),
	}
	c.LookupFunc = func(context.Context, string) ([]string, error) { return []string{host}, nil }
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return t.Dial(ctx) }
	return c, nil
}

// dialOnce keeps the driver from connecting again by itself, to cancel what timed out.
func dialOnce(c *pgconn.Config) *pgconn.Config {
	c = c.Copy()
	dial, dialled := c.DialFunc, false
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dialled {
			return nil, errors.New("connected already")
		}
		dialled = true
		return dial(ctx, network, address)
	}
	return c
}

// Close says goodbye without waiting for an answer.
func (p *postgresProber) Close() error {
	if p.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := p.conn.Close(ctx)
	p.conn = nil
	return err
}

// drop closes a conn that failed, at once.
func (p *postgresProber) drop() {
	p.conn.Conn().Close()
	p.conn = nil
}

// ask runs a statement and returns the first row of its first result; nil if there is none. A conn that was
// closed since it was used last is replaced.
func (p *postgresProber) ask(ctx context.Context, what, query string) (postgresRow, error) {
	if p.err != nil {
		return nil, p.err
	}
	kept := p.conn != nil
	if !kept {
		if err := p.connect(ctx); err != nil {
			return nil, err
		}
	}
	row, err := firstRow(ctx, p.conn, query)
	if !p.conn.IsClosed() {
		return row, asPostgresError(what, err)
	}
	p.drop()
	if kept && ctx.Err() == nil {
		return p.ask(ctx, what, query)
	}
	return row, asPostgresError(what, err)
}

func (p *postgresProber) connect(ctx context.Context) error {
	conn, err := p.logIn(ctx, dialOnce(p.config))
	p.conn, p.timeline = conn, ""
	return err
}

func (p *postgresProber) logIn(ctx context.Context, config *pgconn.Config) (*pgconn.PgConn, error) {
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		var network *net.OpError
		if errors.As(err, &network) {
			err = network // the driver's own text is long
		}
		return nil, asPostgresError(fmt.Sprintf("log in as monitor user %q", p.monitor.User), err)
	}
	return conn, nil
}

// postgresRow is one row in text format; a nil entry is NULL.
type postgresRow [][]byte

func firstRow(ctx context.Context, conn *pgconn.PgConn, query string) (row postgresRow, err error) {
	results := conn.Exec(ctx, query)
	if results.NextResult() {
		if r := results.ResultReader(); r.NextRow() {
			row = make(postgresRow, len(r.Values()))
			for i, v := range r.Values() {
				if v != nil {
					row[i] = append([]byte{}, v...)
				}
			}
		}
	}
	return row, results.Close()
}

func (r postgresRow) text(i int) string { return string(r[i]) }
func (r postgresRow) is(i int) bool     { return string(r[i]) == "t" }
func (r postgresRow) null(i int) bool   { return r[i] == nil }

// The columns of the questions. On a standby the receiver tells the timeline, and the control file when there is
// none; it may be behind then, never ahead. It changes seldom and takes time: probes alone ask for it.
const (
	atStandby  = iota
	atTimeline // of what follows; NULL: of a standby, not asked for
	atDurable  // what a standby has replayed, or a primary has on its disk
	atWritten  // the primary's last record
	atAsync    // commits may be acknowledged before they are on the disk: of all, of a user's or in a database
	positionColumns
)

const followedTimeline = `greatest(w.received_tli,
	(SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
	(SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()))`

func positionQuery(timeline string) string {
	return `SELECT s.standby,
	CASE WHEN s.standby THEN ` + timeline + `::int8
		ELSE ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_flush_lsn()), 8))::bit(32)::int8 END,
	CASE WHEN s.standby THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END,
	CASE WHEN NOT s.standby THEN pg_catalog.pg_current_wal_insert_lsn() END,
	pg_catalog.current_setting('synchronous_commit') = 'off'
		OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting WHERE setconfig @> '{synchronous_commit=off}')`
}

const (
	fromServer   = ` FROM (SELECT pg_catalog.pg_is_in_recovery() AS standby OFFSET 0) s`
	withReceiver = ` LEFT JOIN pg_catalog.pg_stat_wal_receiver w ON s.standby`
)

const (
	atReadOnly = positionColumns + iota // for everybody: not for the monitor user alone
	atReceiver
	atStatus
	atCaughtUp // all that has arrived, and all that the primary has told of, is replayed
	atPaused
	atSeconds // since the commit that was replayed last
	probeColumns
)

var probeQuery = positionQuery(followedTimeline) + `,
	CASE pg_catalog.current_setting('default_transaction_read_only') WHEN 'on' THEN
		(SELECT source IN ('default', 'configuration file', 'command line', 'environment variable', 'global')
		FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only') END,
	w.pid, w.status,
	pg_catalog.pg_last_wal_replay_lsn() >= greatest(pg_catalog.pg_last_wal_receive_lsn(), w.latest_end_lsn),
	CASE WHEN s.standby THEN pg_catalog.pg_is_wal_replay_paused() END,
	extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8` + fromServer + withReceiver

var (
	timelineQuery = positionQuery(followedTimeline) + fromServer + withReceiver
	appliedQuery  = positionQuery("NULL") + fromServer
)

// Probe looks at the server's role, its replication and its position, and runs the operator's check if there is one.
func (p *postgresProber) Probe(ctx context.Context) (Observation, error) {
	row, err := p.askServer(ctx, probeQuery, probeColumns)
	if err != nil {
		return Observation{}, err
	}
	o, err := p.observe(row)
	if err != nil {
		return o, err
	}
	return o, p.check(ctx)
}

// Applied asks for the position alone.
func (p *postgresProber) Applied(ctx context.Context) (shard.Position, error) {
	row, err := p.askServer(ctx, appliedQuery, positionColumns)
	if err == nil && row.is(atStandby) && p.timeline == "" {
		row, err = p.askServer(ctx, timelineQuery, positionColumns)
	}
	if err != nil {
		return shard.Position{}, err
	}
	durable, _, err := p.positions(row)
	return durable, err
}

// Sample asks a primary how far it has written.
func (p *postgresProber) Sample(ctx context.Context) (durable, written shard.Position, err error) {
	row, err := p.askServer(ctx, appliedQuery, positionColumns)
	if err != nil {
		return durable, written, err
	}
	if row.is(atStandby) {
		return durable, written, errors.New("it is in recovery")
	}
	return p.positions(row)
}

func (p *postgresProber) askServer(ctx context.Context, query string, columns int) (postgresRow, error) {
	row, err := p.ask(ctx, "ask for role and position", query)
	if err == nil && len(row) != columns {
		err = fmt.Errorf("ask for role and position: got %d columns, want %d", len(row), columns)
	}
	return row, err
}

// positions reads what the server has applied or made durable, and what it has written. They differ on a primary
// alone. With asynchronous commits a reply doesn't wait for the disk, so that only what is written counts.
func (p *postgresProber) positions(row postgresRow) (durable, written shard.Position, err error) {
	timeline := row.text(atTimeline)
	switch {
	case timeline == "":
		timeline = p.timeline
	case row.is(atStandby):
		p.timeline = timeline
	default:
		p.timeline = ""
	}
	parse := func(i int) (shard.Position, error) {
		if row.null(i) || timeline == "" {
			return shard.Position{Shard: p.shard}, nil
		}
		return shard.ParsePostgresPosition(p.shard, timeline+":"+row.text(i))
	}
	if durable, err = parse(atDurable); err != nil || row.is(atStandby) {
		return durable, durable, err
	}
	written, err = parse(atWritten)
	if row.is(atAsync) {
		durable = written
	}
	return durable, written, err
}

func (p *postgresProber) observe(row postgresRow) (o Observation, err error) {
	o.Applied, o.Written, err = p.positions(row)
	o.Replicates = row.is(atStandby)
	o.ReadOnly = o.Replicates || row.is(atReadOnly)
	if !o.Replicates || err != nil {
		return o, err
	}
	seconds, unknown := strconv.ParseFloat(row.text(atSeconds), 64)
	switch {
	case row.null(atReceiver):
		o.Trouble = "no WAL receiver runs: it isn't connected to a primary"
	case row.null(atStatus):
		o.Trouble = "the monitor user may not see pg_stat_wal_receiver (grant it pg_monitor)"
	case row.text(atStatus) != "streaming":
		o.Trouble = because("the WAL receiver doesn't stream", row.text(atStatus))
	case row.is(atPaused):
		o.Trouble = "replay is paused"
	case row.is(atCaughtUp):
		o.LagKnown = true
	case unknown != nil:
		o.Trouble = "the server doesn't know it: it has replayed no commit yet"
	default:
		const longest = float64(1 << 32) // seconds: more is a clock that was never set
		o.Lag, o.LagKnown = time.Duration(min(max(seconds, 0), longest)*float64(time.Second)), true
	}
	return o, nil
}

// check runs the operator's statement.
func (p *postgresProber) check(ctx context.Context) error {
	if p.monitor.Query == "" {
		return nil
	}
	row, err := p.ask(ctx, "monitor query", p.monitor.Query)
	switch want := p.monitor.Expect; {
	case err != nil:
		return err
	case len(row) == 0:
		return noRow(nil)
	case want != "" && row.text(0) != want:
		return fmt.Errorf("monitor query: got %.40q, want %q", row.text(0), want)
	}
	return nil
}

// asPostgresError turns the driver's errors into ours, with a hint where an operator needs one.
func asPostgresError(what string, err error) error {
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &refused):
		return fmt.Errorf("%s: %w", what, err)
	}
	text := because(what, refused.Message)
	if refused.Code == "42501" {
		text += " (grant the monitor user pg_monitor)"
	}
	return &wire.ServerError{SQLState: refused.Code, Message: text}
}
