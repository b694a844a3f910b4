// The routes of the admin port, and how it is served.
package admin

import (
	"context"
	_ "embed" // the page
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"sync/atomic"
	"time"
)

// Bounds of the admin port.
const (
	maxBody    = 1 << 20 // bytes of a request's body
	maxConns   = 256     // connections at a time; more wait
	maxHeader  = 64 << 10
	headerTime = 5 * time.Second
	idleTime   = 2 * time.Minute
	writeTime  = 5 * time.Minute // a CPU profile takes as long as was asked for

	lastAnswers = time.Second // how long a stop waits for answers that have begun
)

//go:embed page.html
var page []byte

// HTTP serves the admin API.
type HTTP struct {
	control Control
	token   atomic.Pointer[string]
	server  *http.Server
}

// New makes the admin API for a Control. An empty token asks for none.
func New(control Control, token string, log *slog.Logger) *HTTP {
	h := &HTTP{control: control}
	h.SetToken(token)
	h.server = &http.Server{
		Handler:           h.guard(h.routes()),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       idleTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return h
}

// SetToken changes the token that is asked for.
func (h *HTTP) SetToken(token string) { h.token.Store(&token) }

// Handler is what Serve answers with.
func (h *HTTP) Handler() http.Handler { return h.server.Handler }

// Serve answers on l until ctx ends, and lets the answers that are on their way then arrive. It closes l.
func (h *HTTP) Serve(ctx context.Context, l net.Listener) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
		defer cancel()
		if h.server.Shutdown(last) != nil {
			h.server.Close()
		}
	})
	err := h.server.Serve(limit(l, maxConns))
	if stop() { // ctx didn't end it
		return err
	}
	<-closed
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (h *HTTP) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.page)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", metricsHandler(h.control))

	mux.HandleFunc("GET /api/status", func(w http.ResponseWriter, _ *http.Request) { reply(w, h.control.Status()) })
	mux.HandleFunc("GET /api/servers", func(w http.ResponseWriter, _ *http.Request) { reply(w, h.control.Servers()) })
	mux.HandleFunc("GET /api/sessions", func(w http.ResponseWriter, _ *http.Request) { reply(w, h.control.Sessions()) })
	mux.HandleFunc("GET /api/digests", func(w http.ResponseWriter, _ *http.Request) { reply(w, h.control.Digests()) })
	mux.HandleFunc("POST /api/servers/drain", h.change(Control.DrainServer))
	mux.HandleFunc("POST /api/servers/undrain", h.change(Control.UndrainServer))
	mux.HandleFunc("POST /api/sessions/{id}/kill", h.kill)
	mux.HandleFunc("POST /api/explain", h.explain)
	mux.HandleFunc("POST /api/reload", h.reload)
	mux.HandleFunc("POST /api/drain", h.drain)

	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func (h *HTTP) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(page)
}

func (h *HTTP) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := h.control.Ready(); err != nil {
		plain(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	plain(w, http.StatusOK, "ready")
}

// change answers a change of one server, named by ?address=.
func (h *HTTP) change(do func(Control, string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		address := r.URL.Query().Get("address")
		if address == "" {
			fail(w, http.StatusBadRequest, "which server? add ?address=host:port")
			return
		}
		if err := do(h.control, address); err != nil {
			failFor(w, err)
			return
		}
		reply(w, h.control.Servers())
	}
}

func (h *HTTP) kill(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 32)
	if err != nil {
		fail(w, http.StatusBadRequest, "a session's id is a number; GET /api/sessions lists them")
		return
	}
	if err := h.control.Kill(uint32(id)); err != nil {
		failFor(w, err)
		return
	}
	reply(w, map[string]uint64{"killed": id})
}

func (h *HTTP) explain(w http.ResponseWriter, r *http.Request) {
	var q Question
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&q)
	if err != nil || q.SQL == "" {
		fail(w, http.StatusBadRequest, `send {"sql": "SELECT ...", "user": "", "database": ""}, up to 1 MiB`)
		return
	}
	answer, err := h.control.Explain(q)
	if err != nil {
		failFor(w, err)
		return
	}
	reply(w, answer)
}

func (h *HTTP) reload(w http.ResponseWriter, _ *http.Request) {
	if err := h.control.Reload(); err != nil {
		failFor(w, err)
		return
	}
	reply(w, h.control.Status().Config)
}

func (h *HTTP) drain(w http.ResponseWriter, _ *http.Request) {
	h.control.Drain()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(h.control.Status().Clients)
}

// failure is the body of every answer that isn't a success.
type failure struct {
	Error string `json:"error"`
	// Problems are what is wrong with a config, a line each.
	Problems []string `json:"problems,omitempty"`
}

// failFor answers an error of the Control's.
func failFor(w http.ResponseWriter, err error) {
	status := http.StatusUnprocessableEntity
	if errors.Is(err, ErrNotFound) {
		status = http.StatusNotFound
	}
	body := failure{Error: err.Error()}
	var lines interface{ Lines() []string }
	if errors.As(err, &lines) {
		body = failure{Error: "the config has mistakes; the old one stays in force", Problems: lines.Lines()}
	}
	answer(w, status, body)
}

func fail(w http.ResponseWriter, status int, text string) { answer(w, status, failure{Error: text}) }

func reply(w http.ResponseWriter, body any) { answer(w, http.StatusOK, body) }

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that went away needs no answer
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
