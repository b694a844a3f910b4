package localdb

// MySQL and MariaDB: their programs, the options that they are started with (small, unsynced, with GTID
// replication), and the users that each server has.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
)

// mysqlKin is the family of MySQL and MariaDB.
type mysqlKin struct{}

func (mysqlKin) candidates(flavor Flavor) []*Install {
	if flavor == MariaDB {
		return programs(flavor, os.Getenv("LEAT_MARIADBD"), "mariadbd", "/usr/sbin/mariadbd")
	}
	all := programs(flavor, os.Getenv("LEAT_MYSQLD"))
	root := filepath.Join(cacheDir(), "mysql97", "root")
	if program := filepath.Join(root, "usr/sbin/mysqld"); exists(program) {
		all = append(all, &Install{Flavor: flavor, family: mysqlKin{}, server: program, root: root})
	}
	return append(all, programs(flavor, "mysqld", "/usr/sbin/mysqld")...)
}

// version is the third word of "mysqld  Ver 9.7.4 for Linux on x86_64 (...)".
func (mysqlKin) version(ctx context.Context, in *Install) string {
	out, err := in.command(ctx, in.server, append(in.baseArgs(), "--version")...).Output()
	if err != nil || strings.Contains(string(out), "MariaDB") != (in.Flavor == MariaDB) {
		return ""
	}
	return wordAfter(string(out), "Ver")
}

func (mysqlKin) prepareCommand(*exec.Cmd)   {}
func (mysqlKin) owner() *syscall.Credential { return nil }

func (mysqlKin) setup(in *Install) string { return strings.Join(in.setupSQL(), ";") }

func (mysqlKin) initialise(ctx context.Context, in *Install, work string) error {
	data := filepath.Join(work, "data")
	if out, err := in.initCommand(ctx, data).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	rootSQL := filepath.Join(work, "root.sql")
	if err := os.WriteFile(rootSQL, []byte(setupRoot), 0o644); err != nil {
		return err
	}
	s, err := Start(ctx, Options{Flavor: in.Flavor, Dir: work, Extra: []string{"--skip-log-bin", "--init-file=" + rootSQL}})
	if err != nil {
		return err
	}
	for _, query := range in.setupSQL() {
		if err := s.Exec(ctx, query); err != nil {
			s.Close()
			return err
		}
	}
	if err := s.Stop(ctx); err != nil {
		return err
	}
	// Each copy shall have an identity of its own.
	if err := os.Remove(filepath.Join(data, "auto.cnf")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (in *Install) initCommand(ctx context.Context, data string) *exec.Cmd {
	if in.Flavor == MySQL {
		args := append(in.baseArgs(), "--initialize-insecure", "--datadir="+data, "--innodb-redo-log-capacity=32M")
		return in.command(ctx, in.server, args...)
	}
	args := append(in.baseArgs(), "--datadir="+data, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--innodb-log-file-size=16M", "--skip-name-resolve")
	return in.command(ctx, "mariadb-install-db", args...)
}

func (mysqlKin) args(s *Server) []string {
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

// asReplica does nothing: the options see to it.
func (mysqlKin) asReplica(*Server) error { return nil }

func (mysqlKin) dataDir(ctx context.Context, s *Server) (string, error) {
	return s.Value(ctx, "SELECT @@datadir")
}

func (mysqlKin) portTaken() []string {
	return []string{"Address already in use", "Bind on TCP/IP port"}
}

func (mysqlKin) stopSignal() syscall.Signal { return syscall.SIGTERM }
func (mysqlKin) killed(*Server)             {}
