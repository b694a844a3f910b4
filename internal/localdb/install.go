package localdb

// Finding a server program, and the template that new data directories are copied from.

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Install is a server program that this machine has.
type Install struct {
	Flavor Flavor
	// Version as the program tells it, e.g. "10.11.19-MariaDB-0+deb12u1".
	Version string

	server string // the program
	root   string // of a tree that is run with its own loader; empty for the system's program
}

// found keeps what Find found, since asking a program for its version takes a while.
var found struct {
	sync.Mutex
	installs map[Flavor]*Install
}

// Find looks for a server of that flavor: the program that LEAT_MYSQLD or LEAT_MARIADBD names, the tree
// that scripts/mysql97.sh made, or one of the system's. The error is ErrNotInstalled if there is none.
func Find(ctx context.Context, flavor Flavor) (*Install, error) {
	found.Lock()
	defer found.Unlock()
	if in := found.installs[flavor]; in != nil {
		return in, nil
	}
	for _, in := range candidates(flavor) {
		out, err := in.commandContext(ctx, in.server, append(in.baseArgs(), "--version")...).Output()
		if err != nil || strings.Contains(string(out), "MariaDB") != (flavor == MariaDB) {
			continue
		}
		in.Version = versionOf(string(out))
		if found.installs == nil {
			found.installs = map[Flavor]*Install{}
		}
		found.installs[flavor] = in
		return in, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s server: %w", flavor, ErrNotInstalled)
}

// candidates are the programs that may be there, best first.
func candidates(flavor Flavor) []*Install {
	if flavor == MariaDB {
		return programs(flavor, os.Getenv("LEAT_MARIADBD"), "mariadbd", "/usr/sbin/mariadbd")
	}
	all := programs(flavor, os.Getenv("LEAT_MYSQLD"))
	root := filepath.Join(cacheDir(), "mysql97", "root")
	if program := filepath.Join(root, "usr/sbin/mysqld"); exists(program) {
		all = append(all, &Install{Flavor: flavor, server: program, root: root})
	}
	return append(all, programs(flavor, "mysqld", "/usr/sbin/mysqld")...)
}

func programs(flavor Flavor, names ...string) []*Install {
	var all []*Install
	for _, name := range names {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			all = append(all, &Install{Flavor: flavor, server: path})
		}
	}
	return all
}

// versionOf takes the version out of "mysqld  Ver 9.7.4 for Linux on x86_64 (...)".
func versionOf(out string) string {
	fields := strings.Fields(out)
	for i, f := range fields {
		if f == "Ver" && i+1 < len(fields) {
			return fields[i+1]
		}
	}
	return ""
}

// command runs a program of the installation; one of a tree is run by the tree's own loader.
func (in *Install) command(program string, args ...string) *exec.Cmd {
	return in.commandContext(context.Background(), program, args...)
}

func (in *Install) commandContext(ctx context.Context, program string, args ...string) *exec.Cmd {
	if in.root == "" {
		return exec.CommandContext(ctx, program, args...)
	}
	lib := filepath.Join(in.root, "usr/lib/x86_64-linux-gnu")
	path := lib + ":" + lib + "/mysql:" + filepath.Join(in.root, "usr/lib/mysql/private")
	loader := append([]string{"--library-path", path, program}, args...)
	return exec.CommandContext(ctx, filepath.Join(lib, "ld-linux-x86-64.so.2"), loader...)
}

// copyTemplate makes a data directory with the users of this package in it. The template behind it
// is made once per user of the machine and version of the server.
func (in *Install) copyTemplate(ctx context.Context, to string) error {
	template, err := in.template(ctx)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "cp", "-a", "--sparse=always", "--reflink=auto", template, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy the template: %w: %s", err, out)
	}
	return nil
}

// template returns the template's directory, after making it if need be. A lock keeps two processes
// from making it at once.
func (in *Install) template(ctx context.Context) (string, error) {
	sum := sha256.Sum256([]byte(in.Version + strings.Join(in.setupSQL(), ";")))
	dir := filepath.Join(cacheDir(), fmt.Sprintf("template-%s-%x", in.Flavor, sum[:6]))
	if exists(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if exists(dir) {
		return dir, nil
	}
	if err := in.makeTemplate(ctx, dir); err != nil {
		return "", fmt.Errorf("make a template for %s %s: %w", in.Flavor, in.Version, err)
	}
	return dir, nil
}

// makeTemplate initialises a data directory, makes the users there, and puts it into place.
func (in *Install) makeTemplate(ctx context.Context, dir string) error {
	work, err := os.MkdirTemp(cacheDir(), "making-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
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
	return os.Rename(data, dir)
}

func (in *Install) initCommand(ctx context.Context, data string) *exec.Cmd {
	if in.Flavor == MySQL {
		args := append(in.baseArgs(), "--initialize-insecure", "--datadir="+data, "--innodb-redo-log-capacity=32M")
		return in.commandContext(ctx, in.server, args...)
	}
	args := append(in.baseArgs(), "--datadir="+data, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--innodb-log-file-size=16M", "--skip-name-resolve")
	return in.commandContext(ctx, "mariadb-install-db", args...)
}

// cacheDir holds trees and templates. LEAT_SERVERS names another one.
func cacheDir() string {
	if dir := os.Getenv("LEAT_SERVERS"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "leat-servers")
}

// sweep runs once per process.
var sweep sync.Once

// tempDir makes a directory for a server. Those of processes that died without removing theirs go.
func tempDir() (string, error) {
	const prefix = "leat-db-"
	sweep.Do(func() {
		old, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
		for _, dir := range old {
			pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
			info, err := os.Stat(dir)
			if err == nil && !exists("/proc/"+pid) && time.Since(info.ModTime()) > time.Hour {
				os.RemoveAll(dir)
			}
		}
	})
	return os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
