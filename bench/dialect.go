package main

// What differs between MySQL's kin and PostgreSQL: the servers, and who loads them.

import (
	"context"
	"io"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
	"leat/internal/rawpostgres"
)

// dialect is one of them.
type dialect struct {
	name     string   // as Leat's config has it
	parts    []string // that there are, in their order
	targets  []string // that are measured unless others are named
	modes    []string // of a look-up
	rowsMode string   // of replies of many rows

	start   func(context.Context, localdb.Flavor) (*localdb.Topology, error)
	reads   func(*localdb.Topology) *localdb.Server // the server that answers
	version string                                  // the statement that asks for its

	client  string // who sends the look-ups
	lookups runner
	load    runner // all else: warm-up, replies of many rows, profiles
	login   func(ctx context.Context, address string) (io.Closer, error)
}

// dialectOf is the flavor's. Dir is for files of the load.
func dialectOf(o options, dir string) *dialect {
	if localdb.Flavor(o.flavor).Dialect() == "postgres" {
		return postgresDialect(dir)
	}
	return mysqlDialect(o.script)
}

func mysqlDialect(script string) *dialect {
	return &dialect{
		name: "mysql", parts: []string{partLookups, partEOF, partRows, partLogins, partIdle},
		targets: []string{direct, haproxy, relay, leat}, modes: []string{modeText, modePrepared}, rowsMode: modeText,
		start: startMySQL, reads: func(t *localdb.Topology) *localdb.Server { return t.Replicas()[0] }, version: "SELECT VERSION()",
		client: "sysbench",
		lookups: func(ctx context.Context, t *target, w workload, length time.Duration) (sample, error) {
			return runSysbench(ctx, script, t, w, length)
		},
		load: runLoad,
		login: func(ctx context.Context, address string) (io.Closer, error) {
			return rawmysql.Dial(ctx, address, clientOptions(false))
		},
	}
}

func postgresDialect(dir string) *dialect {
	p := &pgbench{dir: dir}
	return &dialect{
		name: "postgres", parts: []string{partLookups, partRows, partLogins, partIdle},
		targets: []string{direct, haproxy, relay, leat, pgbouncer, pgpool},
		modes:   []string{modeSimple, modeExtended, modePrepared}, rowsMode: modeExtended,
		start: startPostgres, reads: (*localdb.Topology).Primary, version: "SHOW server_version",
		client: "pgbench", lookups: p.run, load: p.run,
		login: func(ctx context.Context, address string) (io.Closer, error) {
			return rawpostgres.Dial(ctx, address, rawpostgres.Options{
				User: localdb.AppUser, Password: localdb.AppPassword, Database: localdb.AppDatabase,
			})
		},
	}
}
