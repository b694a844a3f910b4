package admin

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fake is a Control with one server and one client, which remembers what it was asked to do.
type fake struct {
	did      []string
	notReady error
	reload   error
	onDrain  func()
}

func (f *fake) Status() Status {
	lag := 0.25
	return Status{
		Version: "v1", Ready: f.notReady == nil, MapVersion: 3,
		Clients: Clients{Now: 1, Max: 10, Total: 5, Refused: 2},
		Requests: Requests{Total: 10, ToReplica: 7, ToPrimary: 3, Classes: []Class{
			{Name: "read", Count: 7, Seconds: 0.5, Buckets: []Bucket{{UpTo: 0.001, Count: 6}}},
		}},
		Pinned: []PinCount{{"transaction", 1, 9}},
		Shards: []Shard{{Name: "main", Primary: "10.0.0.1:3306"}},
		Servers: []Server{
			{Address: "10.0.0.1:3306", Shard: "main", Role: "primary", State: "up", Availability: 1},
			{Address: "10.0.0.2:3306", Shard: "main", Role: "replica", State: "down", LagSeconds: &lag, Conns: Conns{Open: 4, Busy: 1}},
		},
	}
}
func (f *fake) Ready() error        { return f.notReady }
func (f *fake) Servers() []Server   { return f.Status().Servers }
func (f *fake) Sessions() []Session { return []Session{{ID: 7, User: "app"}} }
func (f *fake) Digests() []Digest   { return []Digest{{Digest: "00000000000000ff", Text: "SELECT ?"}} }
func (f *fake) Reload() error       { f.did = append(f.did, "reload"); return f.reload }
func (f *fake) Drain() {
	f.did = append(f.did, "drain")
	if f.onDrain != nil {
		f.onDrain()
	}
}
func (f *fake) Kill(id uint32) error { return f.on("kill", fmt.Sprint(id), "7") }
func (f *fake) DrainServer(a string) error {
	return f.on("drain", a, "10.0.0.2:3306")
}

func (f *fake) UndrainServer(a string) error {
	return f.on("undrain", a, "10.0.0.2:3306")
}

func (f *fake) Explain(q Question) (Explanation, error) {
	return Explanation{Text: q.SQL, Class: "read"}, nil
}

func (f *fake) on(what, name, known string) error {
	if name != known {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	f.did = append(f.did, what+" "+name)
	return nil
}

type listError struct{}

func (listError) Error() string   { return "x" }
func (listError) Lines() []string { return []string{"leat.yaml:3: users: nobody"} }

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		name, method, path, body string
		control                  fake
		status                   int
		want                     string // in the body
		did                      string
	}{
		{name: "page", path: "/", status: 200, want: "<title>Leat</title>"},
		{name: "elsewhere", path: "/nosuch", status: 404},
		{name: "healthz", path: "/healthz", status: 200, want: "ok"},
		{name: "readyz", path: "/readyz", status: 200, want: "ready"},
		{name: "not ready", path: "/readyz", control: fake{notReady: errors.New("shard main has no usable server")}, status: 503, want: "shard main has no usable server"},
		{name: "status", path: "/api/status", status: 200, want: `"map_version":3`},
		{name: "lag unknown is null", path: "/api/servers", status: 200, want: `"lag_seconds":null`},
		{name: "sessions", path: "/api/sessions", status: 200, want: `"user":"app"`},
		{name: "digests", path: "/api/digests", status: 200, want: `"digest":"00000000000000ff"`},
		{name: "drain server", method: "POST", path: "/api/servers/drain?address=10.0.0.2:3306", status: 200, did: "drain 10.0.0.2:3306"},
		{name: "undrain server", method: "POST", path: "/api/servers/undrain?address=10.0.0.2:3306", status: 200, did: "undrain 10.0.0.2:3306"},
		{name: "drain unknown server", method: "POST", path: "/api/servers/drain?address=x", status: 404, want: "not found: x"},
		{name: "drain which", method: "POST", path: "/api/servers/drain", status: 400, want: "which server?"},
		{name: "a link drains nothing", path: "/api/servers/drain?address=10.0.0.2:3306", status: 405},
		{name: "explain", method: "POST", path: "/api/explain", body: `{"sql":"SELECT 1"}`, status: 200, want: `"class":"read"`},
		{name: "explain nothing", method: "POST", path: "/api/explain", body: `{`, status: 400, want: `send {`},
		{name: "explain too much", method: "POST", path: "/api/explain", body: `{"sql":"` + strings.Repeat("x", maxBody) + `"}`, status: 400},
		{name: "kill", method: "POST", path: "/api/sessions/7/kill", status: 200, did: "kill 7"},
		{name: "kill unknown", method: "POST", path: "/api/sessions/8/kill", status: 404},
		{name: "kill no number", method: "POST", path: "/api/sessions/x/kill", status: 400},
		{name: "reload", method: "POST", path: "/api/reload", status: 200, did: "reload"},
		{name: "reload refused", method: "POST", path: "/api/reload", control: fake{reload: listError{}}, status: 422, want: `"problems":["leat.yaml:3: users: nobody"]`, did: "reload"},
		{name: "drain", method: "POST", path: "/api/drain", status: 202, did: "drain"},
		{name: "pprof", path: "/debug/pprof/cmdline", status: 200},
		{name: "metrics", path: "/metrics", status: 200, want: `leat_requests_total{by="replica"} 7`},
	} {
		t.Run(c.name, func(t *testing.T) {
			method := c.method
			if method == "" {
				method = "GET"
			}
			r := httptest.NewRequest(method, "http://127.0.0.1:6070"+c.path, strings.NewReader(c.body))
			w := httptest.NewRecorder()
			New(&c.control, "", slog.New(slog.DiscardHandler)).Handler().ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("status: got %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("body: got %s, want %s in it", w.Body, c.want)
			}
			if got := strings.Join(c.control.did, ","); got != c.did {
				t.Errorf("did: got %q, want %q", got, c.did)
			}
		})
	}
}

func TestGuard(t *testing.T) {
	const token = "0123456789abcdef"
	basic := func(pw string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth("any", pw)
		return r.Header.Get("Authorization")
	}
	for _, c := range []struct {
		name, token, host, path string
		header                  map[string]string
		want                    int
		text                    string // in the body
	}{
		{name: "address", host: "127.0.0.1:6070", want: 200},
		{name: "localhost", host: "localhost:6070", want: 200},
		{name: "ipv6", host: "[::1]:6070", want: 200},
		{name: "rebound name", host: "evil.example:6070", want: 403},
		{name: "no host", host: "", want: 403},
		{name: "page of another site", host: "127.0.0.1:6070", header: map[string]string{"Origin": "http://evil.example"}, want: 403},
		{name: "sandboxed page", host: "127.0.0.1:6070", header: map[string]string{"Origin": "null"}, want: 403},
		{name: "other port is another site", host: "127.0.0.1:6070", header: map[string]string{"Origin": "http://127.0.0.1:8080"}, want: 403},
		{name: "link of another site", host: "127.0.0.1:6070", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, want: 403},
		{name: "own page", host: "127.0.0.1:6070", header: map[string]string{"Origin": "http://127.0.0.1:6070"}, want: 200},
		{name: "token missing", token: token, host: "leat.example:6070", want: 401, text: "the admin token is needed"},
		{name: "token wrong", token: token, host: "leat.example", header: map[string]string{"Authorization": "Bearer x"}, want: 401, text: "wrong admin token"},
		{name: "token empty", token: token, host: "leat.example", header: map[string]string{"Authorization": "Bearer "}, want: 401, text: "the admin token is needed"},
		{name: "token", token: token, host: "leat.example", header: map[string]string{"Authorization": "Bearer " + token}, want: 200},
		{name: "token from a browser", token: token, host: "leat.example", header: map[string]string{"Authorization": basic(token)}, want: 200},
		{name: "wrong from a browser", token: token, host: "leat.example", header: map[string]string{"Authorization": basic("x")}, want: 401, text: "wrong admin token"},
		{name: "token, other site", token: token, host: "leat.example", header: map[string]string{"Authorization": basic(token), "Origin": "http://evil.example"}, want: 403},
		{name: "health is open", token: token, host: "leat.example", path: "/healthz", want: 200},
		{name: "readiness is open", token: token, host: "10.0.0.1:6070", path: "/readyz", want: 200},
		{name: "metrics are not", token: token, host: "leat.example", path: "/metrics", want: 401},
		{name: "pprof is not", token: token, host: "leat.example", path: "/debug/pprof/", want: 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.path
			if path == "" {
				path = "/api/status"
			}
			r := httptest.NewRequest("GET", path, nil)
			r.Host = c.host
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			New(&fake{}, c.token, slog.New(slog.DiscardHandler)).Handler().ServeHTTP(w, r)
			if w.Code != c.want || !strings.Contains(w.Body.String(), c.text) {
				t.Errorf("got %d, want %d and %q: %s", w.Code, c.want, c.text, w.Body)
			}
		})
	}
}

// TestServe goes over a unix socket, where the host of a request means nothing.
func TestServe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	h := New(&fake{onDrain: func() {
		stop()
		for err := error(nil); err == nil; { // until the server has begun to stop
			var nc net.Conn
			if nc, err = net.Dial("unix", path); err == nil {
				nc.Close()
			}
		}
	}}, "", slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx, l) }()
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
	for range maxConns + 10 { // the bound counts what is open, not what was
		res, err := client.Get("http://leat/api/status")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Fatalf("got %s, want 200", res.Status)
		}
	}
	res, err := client.Post("http://leat/api/drain", "", nil) // whose answer is on its way when the server stops
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusAccepted {
		t.Errorf("drain: got %s, %v, want 202", res.Status, err)
	}
	res.Body.Close()
	if err := <-done; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
}

var update = flag.Bool("update", false, "rewrite testdata")

// TestMetricsAreStable holds every metric's name and labels: dashboards depend on them.
func TestMetricsAreStable(t *testing.T) {
	w := httptest.NewRecorder()
	metricsHandler(&fake{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var got strings.Builder
	value := regexp.MustCompile(` [^ ]+$`)
	for _, line := range strings.Split(w.Body.String(), "\n") {
		if strings.HasPrefix(line, "leat_") && !strings.HasPrefix(line, "leat_build_info") {
			got.WriteString(value.ReplaceAllString(line, "") + "\n")
		}
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s\n(-update rewrites it)", got.String(), want)
	}
}

// TestPageIsSelfContained: the page loads nothing from elsewhere and asks only for what the API has.
func TestPageIsSelfContained(t *testing.T) {
	text, err := os.ReadFile("page.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"http://", "https://", "src=", "innerHTML"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	var fields map[string]any
	status, _ := json.Marshal((&fake{}).Status())
	if err := json.Unmarshal(status, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"requests", "clients", "shards", "draining", "ready", "version", "listen", "started", "config", "servers", "pinned"} {
		if _, ok := fields[name]; !ok || !strings.Contains(string(text), "s."+name) {
			t.Errorf("field %s: not in the API, or not on the page", name)
		}
	}
}
