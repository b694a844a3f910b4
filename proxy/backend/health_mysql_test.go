package backend

// Tests of how replication status and errors of MySQL and MariaDB are read.

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"leat/proxy/wire"
)

func TestReplicaStatus(t *testing.T) {
	mysqlNames := []string{
		"Source_Host", "Source_Port", "Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source", "Last_IO_Error", "Last_SQL_Error",
	}
	mariaNames := []string{
		"Connection_name", "Master_Host", "Master_Port", "Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master", "Last_IO_Error", "Last_SQL_Error",
	}
	row := func(values ...any) []sql.NullString {
		out := make([]sql.NullString, len(values))
		for i, v := range values {
			if v != nil {
				out[i] = sql.NullString{String: fmt.Sprint(v), Valid: true}
			}
		}
		return out
	}
	tests := []struct {
		name    string
		columns []string
		rows    [][]sql.NullString
		want    Observation
		trouble string
	}{
		{"no source", mysqlNames, nil, Observation{}, ""},
		{"runs", mysqlNames, [][]sql.NullString{row("p", 3306, "Yes", "Yes", 0, "", "")}, Observation{Replicates: true, LagKnown: true}, ""},
		{
			"MariaDB", mariaNames,
			[][]sql.NullString{row("", "p", 3306, "Yes", "Yes", 7, "", "")},
			Observation{Replicates: true, LagKnown: true, Lag: 7 * time.Second},
			"",
		},
		{"lag null", mysqlNames, [][]sql.NullString{row("p", 3306, "Yes", "Yes", nil, "", "")}, Observation{Replicates: true}, "doesn't know"},
		{
			"not connected (case 120)", mysqlNames,
			[][]sql.NullString{row("p", 3306, "Connecting", "Yes", 0, "refused", "")},
			Observation{Replicates: true},
			"p:3306 isn't connected: refused",
		},
		{
			"not applying", mariaNames,
			[][]sql.NullString{row("", "p", 3306, "Yes", "No", nil, "", strings.Repeat("x", 1000))},
			Observation{Replicates: true},
			"aren't applied: xxx",
		},
		{"stopped", mysqlNames, [][]sql.NullString{row("p", 3306, "No", "No", nil, "", "")}, Observation{Replicates: true}, "isn't connected"},
		{"the worst of two sources", mysqlNames, [][]sql.NullString{
			row("p", 3306, "Yes", "Yes", 3, "", ""), row("q", 3306, "Yes", "Yes", 1, "", ""),
		}, Observation{Replicates: true, LagKnown: true, Lag: 3 * time.Second}, ""},
		{"one of two stopped", mysqlNames, [][]sql.NullString{
			row("p", 3306, "No", "Yes", nil, "", ""), row("q", 3306, "Yes", "Yes", 1, "", ""),
		}, Observation{Replicates: true, Lag: time.Second}, "p:3306"},
		{"columns missing", []string{"x"}, [][]sql.NullString{row("y")}, Observation{Replicates: true}, "isn't connected"},
	}
	for _, tt := range tests {
		var got Observation
		at := findReplicaColumns(tt.columns)
		for _, r := range tt.rows {
			at.observe(r, &got)
		}
		if got.Replicates != tt.want.Replicates || got.LagKnown != tt.want.LagKnown || got.Lag != tt.want.Lag {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
		if !strings.Contains(got.Trouble, tt.trouble) || tt.trouble == "" && got.Trouble != "" || len(got.Trouble) > 300 {
			t.Errorf("%s: got trouble %q, want %q in it", tt.name, got.Trouble, tt.trouble)
		}
	}
}

func TestAsServerError(t *testing.T) {
	denied := &mysql.MySQLError{Number: 1227, SQLState: [5]byte{'4', '2', '0', '0', '0'}, Message: "Access denied"}
	var got *wire.ServerError
	if err := asServerError(fmt.Errorf("SHOW REPLICA STATUS: %w", denied)); !errors.As(err, &got) {
		t.Fatalf("got %v", err)
	}
	if got.Number != 1227 || got.SQLState != "42000" || !strings.Contains(got.Message, "grant") || !strings.Contains(got.Message, "SHOW REPLICA STATUS") {
		t.Errorf("got %+v", got)
	}
	if err := asServerError(errTest); err != errTest {
		t.Errorf("got %v, want the error itself", err)
	}
	if asServerError(nil) != nil {
		t.Error("got an error of none")
	}
}
