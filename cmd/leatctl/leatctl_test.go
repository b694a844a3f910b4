package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

const statusJSON = `{"version":"v1","pid":7,"started":"2026-01-02T03:04:05Z","ready":true,"listen":["127.0.0.1:6033"],
"config":{"file":"leat.yaml","loaded":"2026-01-02T03:04:05Z"},"clients":{"now":3,"max":10},
"requests":{"total":100,"to_replica":75,"to_primary":25,"classes":[{"name":"read","count":75,"seconds":1}]},
"shards":[{"name":"main","reason":"two servers are writable"}],
"pinned":[{"reason":"transaction","sessions":2}],
"servers":[{"address":"10.0.0.2:3306","shard":"main","role":"replica","state":"down","reason":"lag is unknown","lag_seconds":null,"availability":0.5}]}`

// api answers like Leat's admin port.
func api(t *testing.T, token string) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	var count atomic.Int64
	mux.HandleFunc("GET /api/status", text(statusJSON))
	mux.HandleFunc("GET /api/servers", text(`[{"address":"10.0.0.2:3306","role":"primary"}]`))
	mux.HandleFunc("POST /api/servers/drain", func(w http.ResponseWriter, r *http.Request) {
		shards := map[string]string{"10.0.0.2:3306": "main", "10.0.0.4:3306": "other"}
		address := r.URL.Query().Get("address")
		if shards[address] == "" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error":"no such server"}`))
			return
		}
		_ = json.NewEncoder(w).Encode([]server{
			{Address: address, Shard: shards[address], State: "draining", Role: "unknown"},
			{Address: "10.0.0.3:3306", Shard: "other", Role: "primary"},
		})
	})
	mux.HandleFunc("GET /api/digests", func(w http.ResponseWriter, _ *http.Request) {
		n := count.Add(10)
		_ = json.NewEncoder(w).Encode([]map[string]any{
			{"digest": "aa", "text": "SELECT\n\u001b[31m?", "count": n, "total_seconds": float64(n)},
			{"digest": "bb", "text": "quiet", "count": 5, "total_seconds": 100},
		})
	})
	mux.HandleFunc("GET /api/sessions", text(`[{"id":7,"user":"app","pinned":"transaction"}]`))
	mux.HandleFunc("POST /api/sessions/7/kill", text(`{"killed":7}`))
	mux.HandleFunc("POST /api/sessions/8/kill", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"no client has id 8: list them with leatctl sessions"}`))
	})
	mux.HandleFunc("POST /api/explain", text(`{"text":"SELECT ?","class":"read","rule":"pure read","role":"replica"}`))
	mux.HandleFunc("POST /api/reload", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"error":"the config has mistakes","problems":["leat.yaml:3: users: nobody"]}`))
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"wrong admin token"}`))
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		args  []string
		want  []string
		no    string
		err   string
		exact bool // err is all of it
	}{
		{args: []string{"status"}, want: []string{"Leat v1 is ready", "10.0.0.2:3306", "\n10.0.0.2:3306 is down: lag is unknown\n", "SHARD main: two servers", "75.0 %", "transaction"}},
		{args: []string{"status", "--check"}},
		{args: []string{"servers"}, want: []string{"10.0.0.2:3306", "primary"}},
		{args: []string{"servers", "drain", "10.0.0.2:3306"}, want: []string{"draining", "WARNING: shard main has no primary now. Its writes wait", "undrain 10.0.0.2:3306"}},
		{args: []string{"servers", "drain", "10.0.0.4:3306"}, want: []string{"draining"}, no: "WARNING"},
		{args: []string{"servers", "drain", "x"}, err: "no such server; leatctl servers lists them"},
		{args: []string{"servers", "drain"}, err: "accepts 1 arg"},
		{args: []string{"digests"}, want: []string{"[31m?", "quiet"}},
		{args: []string{"digests", "--by", "color"}, err: "give time, count, errors or max"},
		{args: []string{"digests", "-n", "-1"}, want: []string{"no statements yet"}},
		{args: []string{"sessions"}, want: []string{"app", "transaction"}},
		{args: []string{"sessions", "kill", "7"}, want: []string{"killed 7"}},
		{args: []string{"sessions", "kill", "8"}, err: "no client has id 8: list them with leatctl sessions", exact: true},
		{args: []string{"sessions", "kill", "x"}, err: `"x" is not a session's id, which is a number; leatctl sessions lists them`, exact: true},
		{args: []string{"servers", "--help"}, want: []string{"\nLATENCY    time from", "\nSTATE      up; warming: it came back"}},
		{args: []string{"top", "--help"}, want: []string{"\nLATENCY    time from"}},
		{args: []string{"explain", "SELECT 1"}, want: []string{"pure read", "pins the session  no"}},
		{args: []string{"reload"}, err: "leat.yaml:3: users: nobody"},
		{args: []string{"top", "--every", "100ms", "--rounds", "1"}, want: []string{"requests/s", "SELECT"}},
		{args: []string{"version"}, want: []string{"leat    v1"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			s := api(t, "")
			out, err := run(t, append(c.args, "--admin", s.URL)...)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("error: got %v, want %q", err, c.err)
			}
			if c.exact && err.Error() != c.err {
				t.Errorf("error: got %v, want no more than %q", err, c.err)
			}
			if c.no != "" && strings.Contains(out, c.no) {
				t.Errorf("got:\n%s\nwant nothing of: %s", out, c.no)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("got:\n%s\nwant in it: %s", out, want)
				}
			}
			if strings.Contains(out, "\x1b") {
				t.Errorf("a control character reached the terminal: %q", out)
			}
			if c.err == "" && c.args[0] != "top" && c.args[len(c.args)-1] != "--help" && len(c.want) > 0 {
				out, err := run(t, append(c.args, "--admin", s.URL, "--json")...)
				if err != nil || !json.Valid([]byte(out)) {
					t.Errorf("--json: got %v and %q, want JSON", err, out)
				}
			}
		})
	}
}

// TestDrain ends when nothing answers any more.
func TestDrain(t *testing.T) {
	asked := 0
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 3 {
			go s.CloseClientConnections()
			s.Listener.Close()
		}
		_, _ = w.Write([]byte(statusJSON))
	}))
	defer s.Close()
	out, err := run(t, "drain", "--admin", s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 clients left, 2 in a transaction", "Leat has stopped"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
}

func TestToken(t *testing.T) {
	s := api(t, "right")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := file + ".wrong"
	if err := os.WriteFile(wrong, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		env  string
		err  string
	}{
		{name: "none", err: "the admin token is needed; give it with --token-file, LEAT_TOKEN_FILE or LEAT_TOKEN"},
		{name: "flag", args: []string{"--token", "right"}},
		{name: "file", args: []string{"--token-file", file}},
		{name: "no file", args: []string{"--token-file", file + "x"}, err: "LEAT_TOKEN_FILE"},
		{name: "environment", env: "right"},
		{name: "wrong", env: "wrong", err: "wrong admin token; this one is from LEAT_TOKEN"},
		{name: "wrong flag", args: []string{"--token", "wrong"}, env: "right", err: "this one is from --token,"},
		{name: "wrong file", args: []string{"--token-file", wrong}, err: "this one is from " + wrong},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("LEAT_TOKEN", c.env)
			_, err := run(t, append([]string{"status", "--admin", s.URL}, c.args...)...)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %v, want %q", err, c.err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	none, dead := filepath.Join(t.TempDir(), "none.sock"), filepath.Join(t.TempDir(), "dead.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer html.Close()
	for _, c := range []struct{ admin, want string }{
		{l.Addr().String(), "start it with leat serve"},
		{none, "no Leat answers: there is no socket " + none + "; start it with leat serve"},
		{"unix:" + none, "no Leat answers: there is no socket " + none},
		{dead, "no Leat answers at the socket " + dead},
		{"http://", "is no place to reach Leat"},
		{html.URL, "is not a Leat's admin port"},
	} {
		if _, err := run(t, "status", "--admin", c.admin); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.admin, err, c.want)
		}
	}
}

// TestSocketNotPermitted goes by the error alone: root, who runs some tests, may open any socket.
func TestSocketNotPermitted(t *testing.T) {
	c, err := newClient("/run/leat/admin.sock", "", "")
	if err != nil {
		t.Fatal(err)
	}
	denied := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	got, want := c.unreachable(t.Context(), denied).Error(), "the socket /run/leat/admin.sock may not be opened by you; run leatctl as the user that Leat runs as"
	if !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLongReason: a server's trouble is beside the table, and no longer than a line or two.
func TestLongReason(t *testing.T) {
	var out bytes.Buffer
	o := &options{out: &out}
	o.showServers([]server{
		{Address: "a:1", State: "down", Reason: strings.Repeat("no route\x1b ", 60)},
		{Address: "b:1", State: "up"},
		{Address: "c:1", State: "lagging", Reason: "lag unknown", Warnings: []string{"it is stopped"}},
	})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 6 || lines[5] != "WARNING: c:1: it is stopped" || !strings.HasPrefix(lines[4], "a:1 is down: no route") || !strings.HasSuffix(lines[4], "… (--json has all of it)") {
		t.Fatalf("got:\n%s\nwant a table and the reason below it, cut", out.String())
	}
	for _, line := range lines {
		if len(line) > maxReason+60 || strings.Contains(line, "\x1b") {
			t.Errorf("got %q, want it shorter, and for a terminal", line)
		}
	}
}
