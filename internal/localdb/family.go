package localdb

// What differs between the kin of MySQL and PostgreSQL. All the rest is the same for both.

import (
	"context"
	"database/sql"
	"os/exec"
	"syscall"
)

// family is what running servers of one dialect takes.
type family interface {
	// candidates are the programs that may be there, best first.
	candidates(flavor Flavor) []*Install
	// version asks a program for its version. It is empty if the program is none of the flavor.
	version(ctx context.Context, in *Install) string
	// prepareCommand sees to what programs of the dialect need of their environment.
	prepareCommand(cmd *exec.Cmd)
	// owner is whom the data belongs to, or nil for the user who runs this process.
	owner() *syscall.Credential

	// setup is all that goes into a template besides the program, to tell templates apart.
	setup(in *Install) string
	// initialise makes a data directory in work ("data") with the users of this package.
	initialise(ctx context.Context, in *Install, work string) error

	// args are the server's command line.
	args(s *Server) []string
	// asReplica makes a data directory copied from the template one that takes no writes.
	asReplica(s *Server) error
	// dataDir asks the server for its data directory.
	dataDir(ctx context.Context, s *Server) (string, error)
	// portTaken is what the log has when the port is in use.
	portTaken() []string
	// stopSignal ends the server in order, without waiting for clients.
	stopSignal() syscall.Signal
	// killed removes what a killed server leaves behind outside its directory.
	killed(s *Server)

	// driver is the name of the database/sql driver that dsn is for.
	driver() string
	dsn(s *Server, user, password, database string) string
	// exec runs statements as root on a new connection. An empty database means the default one.
	exec(ctx context.Context, s *Server, database, query string) error
	// firstRow is exec for a query; no row is sql.ErrNoRows.
	firstRow(ctx context.Context, s *Server, database, query string) (names []string, row []sql.NullString, err error)
}

// replication is what topologies of one dialect need.
type replication interface {
	// follow makes a server a replica of the primary, and starts its replication.
	follow(ctx context.Context, t *Topology, s *Server) error
	start(ctx context.Context, s *Server) error
	stop(ctx context.Context, s *Server) error
	// running reports whether the server receives and applies.
	running(ctx context.Context, s *Server) (bool, error)
	// describe is what the server says of its replication.
	describe(ctx context.Context, s *Server) string

	// position is how far a primary has written, or a replica has applied.
	position(ctx context.Context, s *Server) (string, error)
	// wait waits until the server has applied a position.
	wait(ctx context.Context, s *Server, position string) error
	// contains reports whether a has all of b. Any server may be asked.
	contains(ctx context.Context, s *Server, a, b string) (bool, error)
	// applyReceived waits until what the replica has received is applied.
	applyReceived(ctx context.Context, s *Server) error

	// close ends the primary's writes and returns its last position; open allows them again.
	close(ctx context.Context, t *Topology) (string, error)
	open(ctx context.Context, t *Topology) error
	// promote makes a replica take writes.
	promote(ctx context.Context, s *Server) error
	// rebuild makes a server that is down a replica with nothing of its own.
	rebuild(ctx context.Context, t *Topology, s *Server) error
	// rejoin makes a primary that died a replica, with its data if it can be had.
	rejoin(ctx context.Context, t *Topology, s *Server) error
}

// Dialect is "mysql" or "postgres", as in Leat's config.
func (f Flavor) Dialect() string {
	if f == Postgres || f == Postgres18 {
		return "postgres"
	}
	return "mysql"
}

func (f Flavor) family() family {
	if f.Dialect() == "postgres" {
		return postgres{}
	}
	return mysqlKin{}
}

func (f Flavor) replication() replication {
	if f.Dialect() == "postgres" {
		return streaming{}
	}
	if f == MySQL {
		return gtids{&mysqlStatements}
	}
	return gtids{&mariadbStatements}
}
