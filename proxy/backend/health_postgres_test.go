package backend

// Tests of how replication status, positions and errors of PostgreSQL are read.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"leat/proxy/wire"
)

// pgRow is a row as the server sends it; nil is NULL.
func pgRow(values ...any) postgresRow {
	row := make(postgresRow, len(values))
	for i, v := range values {
		if v != nil {
			row[i] = []byte(fmt.Sprint(v))
		}
	}
	return row
}

func TestObservePostgres(t *testing.T) {
	tests := []struct {
		name    string
		row     postgresRow
		want    Observation
		applied string
		written string
		trouble string
	}{
		{
			"primary", pgRow("f", 1, "0/10", "0/18", "f", nil, nil, nil, nil, nil, nil),
			Observation{},
			"1:0/10", "1:0/18", "",
		},
		{
			"primary of asynchronous commits", pgRow("f", 1, "0/10", "0/18", "t", nil, nil, nil, nil, nil, nil),
			Observation{},
			"1:0/18", "1:0/18", "",
		},
		{
			"read only by its configuration", pgRow("f", 3, "0/10", "0/10", "f", "t", nil, nil, nil, nil, nil),
			Observation{ReadOnly: true},
			"3:0/10", "3:0/10", "",
		},
		{
			"read only for the monitor alone", pgRow("f", 3, "0/10", "0/10", "f", "f", nil, nil, nil, nil, nil),
			Observation{},
			"3:0/10", "3:0/10", "",
		},
		{
			"standby of an idle primary", pgRow("t", 2, "0/10", nil, "f", nil, 77, "streaming", "t", "f", 3600),
			Observation{ReadOnly: true, Replicates: true, LagKnown: true},
			"2:0/10", "2:0/10", "",
		},
		{
			"standby that lags", pgRow("t", 2, "0/10", nil, "t", nil, 77, "streaming", "f", "f", 1.5),
			Observation{ReadOnly: true, Replicates: true, LagKnown: true, Lag: 1500 * time.Millisecond},
			"2:0/10", "2:0/10", "",
		},
		{
			"its clock is behind", pgRow("t", 2, "0/10", nil, "f", nil, 77, "streaming", "f", "f", -8),
			Observation{ReadOnly: true, Replicates: true, LagKnown: true},
			"2:0/10", "2:0/10", "",
		},
		{
			"its clock was never set", pgRow("t", 2, "0/10", nil, "f", nil, 77, "streaming", "f", "f", 1e300),
			Observation{ReadOnly: true, Replicates: true, LagKnown: true, Lag: 1 << 32 * time.Second},
			"2:0/10", "2:0/10", "",
		},
		{
			"no commit yet", pgRow("t", 2, "0/10", nil, "f", nil, 77, "streaming", "f", "f", nil),
			Observation{ReadOnly: true, Replicates: true},
			"2:0/10", "2:0/10", "no commit",
		},
		{
			"not connected (case 78)", pgRow("t", 2, "0/10", nil, "f", nil, nil, nil, nil, "f", 1),
			Observation{ReadOnly: true, Replicates: true},
			"2:0/10", "2:0/10", "isn't connected",
		},
		{
			"no privilege", pgRow("t", 2, "0/10", nil, "f", nil, 77, nil, nil, "f", 1),
			Observation{ReadOnly: true, Replicates: true},
			"2:0/10", "2:0/10", "grant it pg_monitor",
		},
		{
			"waits", pgRow("t", 2, "0/10", nil, "f", nil, 77, "waiting", "t", "f", 1),
			Observation{ReadOnly: true, Replicates: true},
			"2:0/10", "2:0/10", "doesn't stream: waiting",
		},
		{
			"paused", pgRow("t", 2, "0/10", nil, "f", nil, 77, "streaming", "t", "t", 1),
			Observation{ReadOnly: true, Replicates: true},
			"2:0/10", "2:0/10", "paused",
		},
		{
			"nothing replayed yet", pgRow("t", 2, nil, nil, "f", nil, 77, "streaming", nil, "f", nil),
			Observation{ReadOnly: true, Replicates: true},
			"", "", "no commit",
		},
	}
	for _, tt := range tests {
		if len(tt.row) != probeColumns {
			t.Fatalf("%s: %d columns, want %d", tt.name, len(tt.row), probeColumns)
		}
		p := &postgresProber{shard: "main"}
		got, err := p.observe(tt.row)
		if err != nil || got.ReadOnly != tt.want.ReadOnly || got.Replicates != tt.want.Replicates || got.LagKnown != tt.want.LagKnown || got.Lag != tt.want.Lag {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
		if got.Applied.String() != tt.applied || got.Written.String() != tt.written {
			t.Errorf("%s: got %v applied, %v written", tt.name, got.Applied, got.Written)
		}
		if !strings.Contains(got.Trouble, tt.trouble) || tt.trouble == "" && got.Trouble != "" {
			t.Errorf("%s: got trouble %q, want %q in it", tt.name, got.Trouble, tt.trouble)
		}
	}
	p := &postgresProber{shard: "main"}
	if o, err := p.observe(pgRow("f", 1, "x", "0/18", "f", nil, nil, nil, nil, nil, nil)); err == nil {
		t.Errorf("a position that can't be read: got %+v", o)
	}
}

// A standby's timeline is that of the last probe, and nobody's once the server was a primary.
func TestTimelineIsKept(t *testing.T) {
	p := &postgresProber{shard: "main"}
	for _, tt := range []struct {
		row  postgresRow
		want string
	}{
		{pgRow("t", nil, "0/10", nil, "f"), ""},
		{pgRow("t", 4, "0/10", nil, "f"), "4:0/10"},
		{pgRow("t", nil, "0/20", nil, "f"), "4:0/20"},
		{pgRow("f", 5, "0/30", "0/30", "f"), "5:0/30"},
		{pgRow("t", nil, "0/40", nil, "f"), ""},
	} {
		if got, _, err := p.positions(tt.row); err != nil || got.String() != tt.want {
			t.Errorf("got %v, %v, want %q", got, err, tt.want)
		}
	}
}

func TestAsPostgresError(t *testing.T) {
	var got *wire.ServerError
	if err := asPostgresError("list", fmt.Errorf("x: %w", &pgconn.PgError{Code: "42501", Message: "no"})); !errors.As(err, &got) {
		t.Fatalf("got %v", err)
	}
	if got.Number != 0 || got.SQLState != "42501" || got.Message != "list: no (grant the monitor user pg_monitor)" {
		t.Errorf("got %+v", got)
	}
	if err := asPostgresError("list", errTest); !errors.Is(err, errTest) || !strings.HasPrefix(err.Error(), "list: ") {
		t.Errorf("got %v", err)
	}
	if asPostgresError("list", nil) != nil {
		t.Error("got an error of none")
	}
}

// fakePostgres answers every query with the row, and closes each conn after some queries; 0: never.
func fakePostgres(t *testing.T, row postgresRow, queries int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go servePostgres(conn, row, queries)
		}
	}()
	return l
}

func servePostgres(conn net.Conn, row postgresRow, queries int) {
	defer conn.Close()
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for n := 1; b.Flush() == nil; n++ {
		if m, err := b.Receive(); err != nil {
			return
		} else if _, ok := m.(*pgproto3.Query); !ok {
			return
		}
		fields := make([]pgproto3.FieldDescription, len(row))
		for i := range fields {
			fields[i].Name = []byte("c")
		}
		b.Send(&pgproto3.RowDescription{Fields: fields})
		b.Send(&pgproto3.DataRow{Values: row})
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if n == queries {
			b.Flush()
			return
		}
	}
}

// proberOf is a prober of what listens there, and counts how often it connects.
func proberOf(t *testing.T, address string, m Monitor, dials *int) *postgresProber {
	t.Helper()
	m.User, m.Password, m.Database, m.Timeout = "monitor", "secret", "postgres", time.Second
	p := newPostgresProber(ProbeTarget{Shard: "main", Address: address, Monitor: m, Dial: func(ctx context.Context) (net.Conn, error) {
		*dials++
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}).(*postgresProber)
	t.Cleanup(func() { p.Close() })
	return p
}

// The environment is for the operator's own tools.
func TestProbePostgres(t *testing.T) {
	for name, value := range map[string]string{
		"PGHOST": "/nowhere", "PGUSER": "other", "PGSSLMODE": "verify-full", "PGTARGETSESSIONATTRS": "standby", "PGOPTIONS": "-c x=1", "PGCONNECT_TIMEOUT": "1",
	} {
		t.Setenv(name, value)
	}
	row := pgRow("f", 1, "0/10", "0/18", "f", nil, nil, nil, nil, nil, nil)
	dials := 0
	p := proberOf(t, fakePostgres(t, row, 0).Addr().String(), Monitor{Query: "SELECT x", Expect: "f"}, &dials)
	for range 3 {
		if o, err := p.Probe(t.Context()); err != nil || o.Applied.String() != "1:0/10" {
			t.Fatalf("got %+v, %v", o, err)
		}
	}
	if dials != 1 {
		t.Errorf("connected %d times, want once", dials)
	}
	if _, err := p.Applied(t.Context()); err == nil {
		t.Error("a row of another width is taken")
	}
	p.monitor.Expect = "secret"
	if _, err := p.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "monitor query") {
		t.Errorf("a check that fails: got %v", err)
	}
}

func TestProbePostgresAgain(t *testing.T) {
	dials := 0
	closes := fakePostgres(t, pgRow("f", 1, "0/10", "0/18", "f"), 1)
	p := proberOf(t, closes.Addr().String(), Monitor{}, &dials)
	for range 3 {
		if at, err := p.Applied(t.Context()); err != nil || at.String() != "1:0/10" {
			t.Fatalf("a conn that was closed meanwhile isn't replaced: got %v, %v", at, err)
		}
	}
	if dials != 3 {
		t.Errorf("connected %d times, want 3", dials)
	}
	closes.Close()
	if _, err := p.Applied(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a server that is gone: got %v, want connection refused", err)
	}
}

// A server that hangs costs the time that the probe has, one dial, and no goroutine that goes on.
func TestProbeOfHangingPostgres(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hung := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		b := pgproto3.NewBackend(conn, conn)
		b.ReceiveStartupMessage()
		b.Send(&pgproto3.AuthenticationOk{})
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		b.Flush()
		for err == nil { // the query, and then the end
			_, err = b.Receive()
		}
		hung <- err
	}()
	dials := 0
	p := proberOf(t, l.Addr().String(), Monitor{}, &dials)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Probe(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	<-hung
	if dials != 1 {
		t.Errorf("connected %d times, want once", dials)
	}
}
