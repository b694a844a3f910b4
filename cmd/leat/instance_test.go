package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leat/proxy/admin"
)

// leatTest is an instance whose servers don't answer, run as leat serve would.
type leatTest struct {
	*instance
	path    string
	signals chan os.Signal
	ended   chan error
	http    *http.Client
}

func startLeat(t *testing.T, text string) *leatTest {
	t.Helper()
	dir := t.TempDir()
	lt := &leatTest{path: filepath.Join(dir, "leat.yaml"), signals: make(chan os.Signal, 4), ended: make(chan error, 1)}
	lt.write(t, text)
	l, err := loadConfig(lt.path)
	if err != nil {
		t.Fatal(err)
	}
	level := new(slog.LevelVar)
	if lt.instance, err = newInstance(lt.path, l, newLogger(io.Discard, l.json, level), level); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { lt.ended <- lt.Run(ctx, lt.signals) }()
	t.Cleanup(cancel)
	lt.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "admin.sock"))
		},
		DisableKeepAlives: true,
	}}
	return lt
}

func (lt *leatTest) write(t *testing.T, text string) {
	t.Helper()
	write(t, filepath.Dir(lt.path), filepath.Base(lt.path), strings.ReplaceAll(text, "DIR", filepath.Dir(lt.path)))
}

// status waits until the admin port shows what is wanted.
func (lt *leatTest) status(t *testing.T, wanted func(admin.Status) bool) admin.Status {
	t.Helper()
	var s admin.Status
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := waitFor(ctx, func(context.Context) error {
		res, err := lt.http.Get("http://leat/api/status")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
			return err
		}
		if !wanted(s) {
			return io.ErrNoProgress
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v; the last status was %+v", err, s)
	}
	return s
}

const deadServers = `listen: {mysql: DIR/leat.sock, admin: DIR/admin.sock}
users: [{name: app, password: secret}]
monitor: {user: leat_monitor, password: m, interval: 20ms, timeout: 200ms}
shards: [{name: main, primary: "127.0.0.1:1", replicas: ["127.0.0.1:2"]}]
`

func TestReloadAndDrain(t *testing.T) {
	lt := startLeat(t, deadServers)
	s := lt.status(t, func(admin.Status) bool { return true })
	if s.Ready || s.NotReady == "" {
		t.Errorf("ready: got %v (%q), want false and why", s.Ready, s.NotReady)
	}

	for sql, want := range map[string]string{"": "give one", "/* x */": "give one", "/* leat: role=x */ SELECT 1": "must be primary or replica"} {
		if _, err := lt.proxy.Explain("", "", sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("explain %q: got %v, want %q", sql, err, want)
		}
	}

	for _, err := range []error{control{lt.instance}.DrainServer("x:1"), control{lt.instance}.Kill(7)} {
		if !errors.Is(err, admin.ErrNotFound) || strings.HasPrefix(err.Error(), "not found") {
			t.Errorf("of what isn't there: got %v, want ErrNotFound in the words of who looked", err)
		}
	}

	lt.write(t, deadServers+"limits: {clients: none}\n")
	lt.signals <- syscall.SIGHUP
	s = lt.status(t, func(s admin.Status) bool { return s.Config.Failed != "" })
	if want := "leat.yaml:5: limits.clients: "; !strings.Contains(s.Config.Failed, want) || s.MapVersion != 1 {
		t.Errorf("bad config: got version %d and %q, want 1 and %q", s.MapVersion, s.Config.Failed, want)
	}

	lt.write(t, strings.Replace(deadServers, "leat.sock", "other.sock", 1))
	lt.signals <- syscall.SIGHUP
	s = lt.status(t, func(s admin.Status) bool { return strings.Contains(s.Config.Failed, "can't change at a reload") })
	if want := "leat.yaml:1: listen.mysql: "; !strings.Contains(s.Config.Failed, want) {
		t.Errorf("another port: got %q, want %q", s.Config.Failed, want)
	}

	lt.write(t, deadServers+"limits: {clients: 7}\nlog: {level: debug}\n")
	lt.signals <- syscall.SIGHUP
	s = lt.status(t, func(s admin.Status) bool { return s.MapVersion == 2 })
	if s.Config.Failed != "" || s.Clients.Max != 7 || lt.level.Level() != slog.LevelDebug {
		t.Errorf("good config: got %q, %d clients, level %v, want none, 7, DEBUG", s.Config.Failed, s.Clients.Max, lt.level.Level())
	}

	res, err := lt.http.Post("http://leat/api/drain", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := <-lt.ended; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
	for _, name := range []string{"leat.sock", "admin.sock"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(lt.path), name)); err == nil {
			t.Errorf("%s is left behind", name)
		}
	}
}

// TestSignals: SIGTERM ends it cleanly, whether anything worked or not.
func TestSignals(t *testing.T) {
	lt := startLeat(t, deadServers)
	lt.signals <- syscall.SIGTERM
	if err := <-lt.ended; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
}

// TestPortTaken: it can't serve, and says why.
func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	lt := startLeat(t, strings.Replace(deadServers, "DIR/leat.sock", taken.Addr().String(), 1))
	if err := <-lt.ended; err == nil || !strings.Contains(err.Error(), "is something else listening there?") {
		t.Errorf("Run: got %v, want an error that says why", err)
	}
}

// TestNotify tells systemd how far it is.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	notify("READY=1")
	notifyReloading()
	for _, want := range []string{"READY=1", "RELOADING=1\nMONOTONIC_USEC="} {
		buf := make([]byte, 100)
		n, err := l.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Errorf("got %q and %v, want %q", buf[:n], err, want)
		}
	}
}
