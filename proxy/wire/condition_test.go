package wire

import "testing"

func TestCondition(t *testing.T) {
	tests := []struct {
		name string
		err  ServerError
		want Condition
	}{
		{"read_only", ServerError{Number: 1290, SQLState: "HY000", Message: "The MariaDB server is running with the --read-only option so it cannot execute this statement"}, ReadOnlyServer},
		{"super_read_only", ServerError{Number: 1290, SQLState: "HY000", Message: "The MySQL server is running with the --super-read-only option so it cannot execute this statement"}, ReadOnlyServer},
		{"read_only, spelled as a variable", ServerError{Number: 1290, SQLState: "HY000", Message: "... with the READ_ONLY option ..."}, ReadOnlyServer},
		{"secure_file_priv", ServerError{Number: 1290, SQLState: "HY000", Message: "The MySQL server is running with the --secure-file-priv option so it cannot execute this statement"}, OtherCondition},
		{"read-only mode", ServerError{Number: 1836}, ReadOnlyServer},
		{"READ ONLY transaction", ServerError{Number: 1792, SQLState: "25006"}, ReadOnlyTx},
		{"replication hook", ServerError{Number: 3100}, Unreplicated},
		{"offline_mode", ServerError{Number: 3032}, Offline},
		{"shutdown", ServerError{Number: 1053, SQLState: "08S01"}, GoingAway},
		{"normal shutdown", ServerError{Number: 1079}, GoingAway},
		{"connection was killed", ServerError{Number: 1927, SQLState: "70100"}, ConnClosed},
		{"inactivity", ServerError{Number: 4031}, ConnClosed},
		{"max_connections", ServerError{Number: 1040, SQLState: "08004"}, TooManyConns},
		{"max_user_connections", ServerError{Number: 1203, SQLState: "42000"}, TooManyConns},
		{"user's resource limit", ServerError{Number: 1226, SQLState: "42000"}, TooManyConns},
		{"max_prepared_stmt_count", ServerError{Number: 1461, SQLState: "42000"}, TooManyStatements},
		{"syntax", ServerError{Number: 1064, SQLState: "42000"}, SyntaxError},
		{"max_allowed_packet", ServerError{Number: 1153, SQLState: "08S01"}, TooLarge},
		{"no such table", ServerError{Number: 1146, SQLState: "42S02"}, OtherCondition},
		{"the number decides", ServerError{Number: 1644, SQLState: "25006"}, OtherCondition},
		{"zero", ServerError{}, OtherCondition},
		{"PostgreSQL: read only", ServerError{SQLState: "25006"}, ReadOnlyTx},
		{"PostgreSQL: admin shutdown", ServerError{SQLState: "57P01"}, GoingAway},
		{"PostgreSQL: crash shutdown", ServerError{SQLState: "57P02"}, GoingAway},
		{"PostgreSQL: starting up", ServerError{SQLState: "57P03"}, GoingAway},
		{"PostgreSQL: query cancelled", ServerError{SQLState: "57014"}, OtherCondition},
		{"PostgreSQL: too many connections", ServerError{SQLState: "53300"}, TooManyConns},
		{"PostgreSQL: an unlogged table on a standby", ServerError{SQLState: "0A000", Message: "cannot access temporary or unlogged relations during recovery"}, ReadOnlyServer},
		{"PostgreSQL: not supported", ServerError{SQLState: "0A000", Message: "cached plan must not change result type"}, OtherCondition},
		{"PostgreSQL: idle for too long", ServerError{SQLState: "57P05"}, ConnClosed},
		{"PostgreSQL: syntax", ServerError{SQLState: "42601"}, SyntaxError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Condition(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestRefusesWrites(t *testing.T) {
	refuses := map[Condition]bool{ReadOnlyServer: true, ReadOnlyTx: true, Unreplicated: true, Offline: true}
	for c := OtherCondition; c <= TooLarge; c++ {
		if got, want := c.RefusesWrites(), refuses[c]; got != want {
			t.Errorf("condition %d: got %v, want %v", c, got, want)
		}
	}
}
