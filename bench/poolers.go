package main

// The poolers of PostgreSQL that Leat is compared with, from the tree that scripts/poolers.sh makes.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"leat/internal/localdb"
)

// errNoPooler is of a pooler that isn't there.
var errNoPooler = errors.New("not there; scripts/poolers.sh fetches it")

// poolerCommand is how to run a program of the tree, by the tree's own loader.
func poolerCommand(name string) ([]string, error) {
	dirs := []string{os.Getenv("LEAT_SERVERS"), "/var/cache/leat-servers"}
	if own, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(own, "leat-servers"))
	}
	for _, dir := range dirs {
		root := filepath.Join(dir, "poolers/root")
		program, lib := filepath.Join(root, "usr/sbin", name), filepath.Join(root, "usr/lib/x86_64-linux-gnu")
		if _, err := os.Stat(program); dir != "" && err == nil {
			return []string{filepath.Join(lib, "ld-linux-x86-64.so.2"), "--library-path", lib, program}, nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: %w", name, errNoPooler)
}

// startPgBouncer starts PgBouncer in transaction pooling, with as many conns as Leat has by default.
func (s *starter) startPgBouncer(ctx context.Context, to string) (*target, error) {
	argv, err := poolerCommand("pgbouncer")
	if err != nil {
		return nil, err
	}
	dir, address, err := s.poolerPlace(pgbouncer)
	if err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(to, ":")
	_, listen, _ := strings.Cut(address, ":")
	user := ""
	if os.Geteuid() == 0 { // as which it refuses to run
		user = "user = nobody"
	}
	err = writeFiles(dir, map[string]string{
		"users.txt": fmt.Sprintf("%q %q\n", localdb.AppUser, localdb.AppPassword),
		"pgbouncer.ini": fmt.Sprintf(`[databases]
%s = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
max_prepared_statements = 200
max_client_conn = 10000
default_pool_size = %d
server_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
%s
`, localdb.AppDatabase, host, port, listen, filepath.Join(dir, "users.txt"), s.poolSize(), user),
	})
	if err != nil {
		return nil, err
	}
	argv = append(argv, filepath.Join(dir, "pgbouncer.ini"))
	return s.startPooler(ctx, pgbouncer, address, argv)
}

// startPgpool starts pgpool with one server: a process per client, each of which keeps its conn.
func (s *starter) startPgpool(ctx context.Context, to string) (*target, error) {
	argv, err := poolerCommand("pgpool")
	if err != nil {
		return nil, err
	}
	dir, address, err := s.poolerPlace(pgpool)
	if err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(to, ":")
	_, listen, _ := strings.Cut(address, ":")
	_, pcp, err := s.poolerPlace(pgpool)
	if err != nil {
		return nil, err
	}
	_, pcpPort, _ := strings.Cut(pcp, ":")
	err = writeFiles(dir, map[string]string{
		"pool_passwd": localdb.AppUser + ":TEXT" + localdb.AppPassword + "\n",
		"hba.conf":    "host all all 127.0.0.1/32 scram-sha-256\n",
		"pcp.conf":    "",
		"pgpool.conf": fmt.Sprintf(`listen_addresses = '127.0.0.1'
port = %s
unix_socket_directories = '%s'
pcp_port = %s
pcp_socket_dir = '%s'
pid_file_name = '%s/pgpool.pid'
work_dir = '%s'
enable_pool_hba = on
pool_passwd = '%s/pool_passwd'
backend_clustering_mode = 'streaming_replication'
backend_hostname0 = '%s'
backend_port0 = %s
backend_flag0 = 'ALWAYS_PRIMARY'
num_init_children = 100
max_pool = 1
sr_check_period = 0
health_check_period = 0
`, listen, dir, pcpPort, dir, dir, dir, dir, host, port),
	})
	if err != nil {
		return nil, err
	}
	argv = append(argv, "-n", "-f", filepath.Join(dir, "pgpool.conf"), "-a", filepath.Join(dir, "hba.conf"), "-F", filepath.Join(dir, "pcp.conf"))
	return s.startPooler(ctx, pgpool, address, argv)
}

// poolerPlace is a directory that any user may read, and a free address.
func (s *starter) poolerPlace(name string) (dir, address string, err error) {
	dir = filepath.Join(s.dir, name)
	if err := errors.Join(os.Chmod(s.dir, 0o711), os.MkdirAll(dir, 0o755)); err != nil {
		return "", "", err
	}
	address, err = freeAddress()
	return dir, address, err
}

func writeFiles(dir string, texts map[string]string) error {
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s *starter) startPooler(ctx context.Context, name, address string, argv []string) (*target, error) {
	p, err := startProcess(ctx, filepath.Join(s.dir, name+".log"), address, argv...)
	if err != nil {
		return nil, err
	}
	return &target{name: name, address: address, proc: p, pools: true}, nil
}

// poolSize is the number of conns that poolers may open.
func (s *starter) poolSize() int {
	const leatsDefault = 50
	if s.pool > 0 {
		return s.pool
	}
	return leatsDefault
}
