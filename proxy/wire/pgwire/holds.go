package pgwire

// holds.go: what of a session's is left on a conn, by the server's own word.

import "leat/proxy/wire"

// heldSQL asks for each. Names are PostgreSQL's own, whatever the session's search path is.
var heldSQL = map[wire.Held]string{
	wire.HeldLocks: "SELECT 1 FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' " +
		"AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()",
	wire.HeldCursors:    "SELECT 1 FROM pg_catalog.pg_cursors WHERE is_holdable",
	wire.HeldChannels:   "SELECT 1 FROM pg_catalog.pg_listening_channels()",
	wire.HeldTables:     "SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()",
	wire.HeldStatements: "SELECT 1 FROM pg_catalog.pg_prepared_statements WHERE from_sql",
}

// ForgetSequences implements wire.HoldingConn.
func (c *Conn) ForgetSequences() error {
	_, err := c.query("DISCARD SEQUENCES", 0)
	return err
}

// Holds implements wire.HoldingConn.
func (c *Conn) Holds(what wire.Held) (bool, error) {
	row, err := c.query("SELECT EXISTS ("+heldSQL[what]+")", 1)
	if err != nil {
		return false, err
	}
	return row[0] == nil || *row[0] != "f", nil
}
