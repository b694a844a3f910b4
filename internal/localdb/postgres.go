package localdb

// PostgreSQL: its programs, the settings that servers are started with (small, unsynced, ready to replicate), and
// what it needs of its environment: it refuses to run as root.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// postgres is the family of PostgreSQL.
type postgres struct{}

// AppDatabase belongs to AppUser on PostgreSQL.
const AppDatabase = "app"

func (postgres) candidates(flavor Flavor) []*Install {
	if flavor == Postgres18 {
		return programs(flavor, os.Getenv("LEAT_POSTGRES18"),
			filepath.Join(cacheDir(), postgres18Program), filepath.Join(rootCacheDir, postgres18Program), "/usr/lib/postgresql/18/bin/postgres")
	}
	names := []string{os.Getenv("LEAT_POSTGRES"), "postgres"}
	system, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	return programs(flavor, append(names, system...)...)
}

const (
	postgres18Program = "pg18/root/usr/lib/postgresql/18/bin/postgres"
	// rootCacheDir is where scripts/pg18.sh puts root's tree: others can't look into root's home.
	rootCacheDir = "/var/cache/leat-servers"
)

// version is the third word of "postgres (PostgreSQL) 15.18 (Debian ...)". Other programs stand beside the server.
func (postgres) version(ctx context.Context, in *Install) string {
	program, err := filepath.EvalSymlinks(in.server)
	if err != nil {
		return ""
	}
	in.server = program
	out, err := in.command(ctx, in.server, "--version").Output()
	if err != nil {
		return ""
	}
	version := wordAfter(string(out), "(PostgreSQL)")
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || (n >= 18) != (in.Flavor == Postgres18) {
		return ""
	}
	return version
}

// program is the path of another program of the installation.
func (in *Install) program(name string) string { return filepath.Join(filepath.Dir(in.server), name) }

// prepareCommand hides what the environment says of other servers.
func (postgres) prepareCommand(cmd *exec.Cmd) {
	cmd.Env = []string{"LC_ALL=C"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Dir = "/" // the user who runs it may not be allowed into ours
}

// owner is nobody, for root.
func (postgres) owner() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	owner := &syscall.Credential{Uid: 65534, Gid: 65534}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return owner
	}
	if uid, err := strconv.ParseUint(nobody.Uid, 10, 32); err == nil {
		owner.Uid = uint32(uid)
	}
	if gid, err := strconv.ParseUint(nobody.Gid, 10, 32); err == nil {
		owner.Gid = uint32(gid)
	}
	return owner
}

// settings are the same for all servers, in the template's postgresql.conf.
const settings = `
listen_addresses = '127.0.0.1'
unix_socket_permissions = 0700
max_connections = 200
superuser_reserved_connections = 10
password_encryption = 'scram-sha-256'
ssl = on
shared_buffers = '16MB'
# A part of the data directory: a killed server leaves nothing in /dev/shm.
dynamic_shared_memory_type = 'mmap'
# Written at each commit, synced never: an acknowledged write survives kill -9, not a power cut.
fsync = off
jit = off
min_wal_size = '32MB'
max_wal_size = '256MB'
max_prepared_transactions = 20
wal_level = 'replica'
wal_log_hints = on # pg_rewind asks for it
wal_keep_size = '256MB'
max_wal_senders = 20
hot_standby = on
wal_receiver_timeout = '4s'
wal_receiver_status_interval = '100ms'
wal_retrieve_retry_interval = '200ms'
recovery_target_timeline = 'latest'
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, mdy'
lc_messages = 'C'
log_checkpoints = off
`

// access is pg_hba.conf. The socket is open to the server's own user and root alone.
const access = `
local all all trust
local replication all trust
host replication repl 127.0.0.1/32 scram-sha-256
host all app_plain 127.0.0.1/32 password
host all app_md5 127.0.0.1/32 md5
hostssl all app_cert 127.0.0.1/32 cert
host all all 127.0.0.1/32 scram-sha-256
`

func (postgres) args(s *Server) []string {
	args := []string{
		"-D", s.dataDir(),
		"-p", strconv.Itoa(s.Port),
		"-k", s.dir,
	}
	return append(args, s.opts.Extra...)
}

// asReplica makes it a standby, that follows nobody until it is told whom.
func (f postgres) asReplica(s *Server) error { return f.write(s, "standby.signal", "") }

// write writes a file of the data directory.
func (f postgres) write(s *Server, name, text string) error {
	file := filepath.Join(s.dataDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	return giveTo(f.owner(), file)
}

// dataDir asks in a database that is there before the template is made.
func (f postgres) dataDir(ctx context.Context, s *Server) (string, error) {
	_, row, err := f.firstRow(ctx, s, "postgres", "SHOW data_directory")
	if err != nil {
		return "", err
	}
	return row[0].String, nil
}

func (postgres) portTaken() []string {
	return []string{"could not bind IPv4 address", "could not create any TCP/IP sockets"}
}

func (postgres) stopSignal() syscall.Signal { return syscall.SIGINT }

// killed removes the System V shared memory segment, whose id the pid file has: there are only so many of them.
func (postgres) killed(s *Server) {
	pidFile, err := os.ReadFile(filepath.Join(s.dataDir(), "postmaster.pid"))
	if err != nil {
		return
	}
	lines := strings.Split(string(pidFile), "\n")
	const place = 6 // of "key id"
	if len(lines) <= place {
		return
	}
	var key, id uintptr
	if n, err := fmt.Sscan(lines[place], &key, &id); err == nil && n == 2 {
		const ipcRemove = 0
		_, _, _ = syscall.Syscall(syscall.SYS_SHMCTL, id, ipcRemove, 0)
	}
}
