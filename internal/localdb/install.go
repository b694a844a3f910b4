package localdb

// Finding a server program, and the template that new data directories are copied from.

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

	family family
	server string // the program
	root   string // of a tree that is run with its own loader; empty for the system's program
}

// found keeps what Find found, since asking a program for its version takes a while.
var found struct {
	sync.Mutex
	installs map[Flavor]*Install
}

// Find looks for a server of that flavor: the program that LEAT_MYSQLD, LEAT_MARIADBD, LEAT_POSTGRES or
// LEAT_POSTGRES18 names, the tree that scripts/mysql97.sh or pg18.sh made, or one of the system's. The error is
// ErrNotInstalled if there is none.
func Find(ctx context.Context, flavor Flavor) (*Install, error) {
	found.Lock()
	defer found.Unlock()
	if in := found.installs[flavor]; in != nil {
		return in, nil
	}
	for _, in := range flavor.family().candidates(flavor) {
		if in.Version = in.family.version(ctx, in); in.Version == "" {
			continue
		}
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

func programs(flavor Flavor, names ...string) []*Install {
	var all []*Install
	for _, name := range names {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			all = append(all, &Install{Flavor: flavor, server: path, family: flavor.family()})
		}
	}
	return all
}

// wordAfter is the word of text that follows another, or empty.
func wordAfter(text, word string) string {
	words := strings.Fields(text)
	if i := slices.Index(words, word); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// command runs a program of the installation; one of a tree is run by the tree's own loader.
func (in *Install) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := in.loaderCommand(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: in.family.owner()}
	in.family.prepareCommand(cmd)
	return cmd
}

func (in *Install) loaderCommand(ctx context.Context, program string, args ...string) *exec.Cmd {
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
	return copyDir(ctx, template, to)
}

// copyDir copies a directory with its owners.
func copyDir(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "-a", "--sparse=always", "--reflink=auto", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

// template returns the template's directory, after making it if need be. A lock keeps two processes
// from making it at once.
func (in *Install) template(ctx context.Context) (string, error) {
	sum := sha256.Sum256([]byte(in.Version + in.family.setup(in)))
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

// makeTemplate initialises a data directory, makes the users there, and puts it into place. It is made
// where the server's own user may go.
func (in *Install) makeTemplate(ctx context.Context, dir string) error {
	work, err := tempDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := giveTo(in.family.owner(), work); err != nil {
		return err
	}
	if err := in.family.initialise(ctx, in, work); err != nil {
		return err
	}
	whole := dir + ".new" // half a copy is never taken for a template
	defer os.RemoveAll(whole)
	if err := os.RemoveAll(whole); err != nil {
		return err
	}
	if err := copyDir(ctx, filepath.Join(work, "data"), whole); err != nil {
		return err
	}
	return os.Rename(whole, dir)
}

// giveTo makes a file or directory a user's; nil is the user who owns it already.
func giveTo(owner *syscall.Credential, path string) error {
	if owner == nil {
		return nil
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
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
