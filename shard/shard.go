// Package shard says who owns what: the immutable, versioned Map of shards and databases, and
// Position, a point in a shard's history. It knows no protocol, no pool and no server process.
package shard

// Dialect is the protocol and SQL that a shard's servers speak.
type Dialect uint8

const (
	MySQL Dialect = iota + 1 // MySQL and MariaDB
	Postgres
)

func (d Dialect) String() string {
	switch d {
	case MySQL:
		return "mysql"
	case Postgres:
		return "postgres"
	}
	return "unknown"
}

// ID names a shard, as the config does.
type ID string
