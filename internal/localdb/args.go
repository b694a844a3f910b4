package localdb

// The options that servers are started with: small, unsynced, and with GTID replication.

import (
	"fmt"
	"os/user"
	"path/filepath"
)

// args are the command line of the server program.
func (s *Server) args() []string {
	args := append(s.install.baseArgs(),
		"--datadir="+s.dataDir(),
		fmt.Sprintf("--port=%d", s.Port),
		"--bind-address=127.0.0.1",
		"--socket="+filepath.Join(s.dir, "sock"),
		"--pid-file="+filepath.Join(s.dir, "pid"),
		fmt.Sprintf("--server-id=%d", s.opts.ServerID),
		"--log-bin="+filepath.Join(s.dataDir(), "bin"),
		"--relay-log="+filepath.Join(s.dataDir(), "relay"),
		"--relay-log-recovery=ON",
		"--log-bin-trust-function-creators=ON",
		"--skip-name-resolve",
		"--local-infile=ON",
		"--secure-file-priv=",
		"--max-connections=500",
		"--max-allowed-packet=128M",
		"--innodb-buffer-pool-size=64M",
		// Written at each commit, synced never: an acknowledged write survives kill -9, not a power cut.
		"--innodb-flush-log-at-trx-commit=2",
		"--sync-binlog=0",
	)
	if s.opts.ReadOnly {
		args = append(args, "--read-only=ON")
	}
	if s.opts.Flavor == MySQL {
		args = append(args, mysqlArgs...)
		if s.opts.ReadOnly {
			args = append(args, "--super-read-only=ON")
		}
	} else {
		args = append(args, mariadbArgs...)
	}
	return append(args, s.opts.Extra...)
}

var mysqlArgs = []string{
	"--mysqlx=OFF",
	"--gtid-mode=ON",
	"--enforce-gtid-consistency=ON",
	"--innodb-redo-log-capacity=32M",
	"--replica-net-timeout=4",
	"--table-open-cache=400",
	"--table-definition-cache=400",
}

var mariadbArgs = []string{
	"--binlog-format=ROW", // MySQL's default
	"--log-slave-updates=ON",
	"--gtid-strict-mode=ON",
	"--innodb-log-file-size=16M",
	"--slave-net-timeout=4",
}

// baseArgs are needed by every run of the server program, also to make the template.
func (in *Install) baseArgs() []string {
	args := []string{"--no-defaults"}
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		args = append(args, "--user=root")
	}
	if in.root == "" {
		return args
	}
	return append(args,
		"--basedir="+filepath.Join(in.root, "usr"),
		"--lc-messages-dir="+filepath.Join(in.root, "usr/share/mysql"),
		"--character-sets-dir="+filepath.Join(in.root, "usr/share/mysql/charsets"),
		"--plugin-dir="+filepath.Join(in.root, "usr/lib/mysql/plugin"),
	)
}
