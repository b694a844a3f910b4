// HTTP to the admin API, and what it answers. Only the fields that leatctl shows are named here;
// --json prints what came as it came.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 64 << 20

type client struct {
	base   string
	socket string // the path of a unix socket; empty: TCP
	token  string
	from   string // where the token was found
	http   *http.Client
}

// newClient takes a URL, host:port, or the path of a unix socket; and a token, with where it was found.
func newClient(admin, token, from string) (*client, error) {
	c := &client{base: strings.TrimSuffix(admin, "/"), token: token, from: from, http: &http.Client{Timeout: 30 * time.Second}}
	path, marked := strings.CutPrefix(admin, "unix:")
	if marked || strings.HasPrefix(path, "/") || strings.HasPrefix(path, ".") {
		c.base, c.socket = "http://leat", path
		c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}}
		return c, nil
	}
	if !strings.Contains(admin, "://") {
		c.base = "http://" + c.base
	}
	if u, err := url.Parse(c.base); err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is no place to reach Leat; give --admin http://127.0.0.1:6070 or a unix socket's path", admin)
	}
	return c, nil
}

func (c *client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

func (c *client) post(ctx context.Context, path string, body, into any) error {
	return c.do(ctx, http.MethodPost, path, body, into)
}

// do sends one request. Its errors say what to do next.
func (c *client) do(ctx context.Context, method, path string, body, into any) error {
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		send = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, send)
	if err != nil {
		return err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if res.StatusCode >= 300 {
		return c.refused(res, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("what answers at %s is not a Leat's admin port; give its address with --admin", c.place())
	}
	return nil
}

func (c *client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("the Leat at %s takes too long to answer; look at its log", c.place())
	}
	if c.socket != "" {
		return c.socketTrouble(err)
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%w at %s; start it with leat serve, or name its admin port with --admin or LEAT_ADMIN", errGone, c.base)
	}
	return fmt.Errorf("%w; name Leat's admin port with --admin or LEAT_ADMIN", err)
}

// socketTrouble says why a unix socket can't be talked to, and what to do.
func (c *client) socketTrouble(err error) error {
	const how = "start it with leat serve, or name its admin port (listen.admin in its config) with --admin or LEAT_ADMIN"
	switch {
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w: there is no socket %s; %s", errGone, c.socket, how)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w at the socket %s; %s", errGone, c.socket, how)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("the socket %s may not be opened by you; run leatctl as the user that Leat runs as, or as root", c.socket)
	}
	return fmt.Errorf("%w; %s", err, how)
}

// place is where Leat should be, for messages.
func (c *client) place() string {
	if c.socket != "" {
		return c.socket
	}
	return c.base
}

// refused is what Leat said when it didn't do what was asked. About the token, it also says where leatctl has it from.
func (c *client) refused(res *http.Response, text []byte) error {
	var f struct {
		Error    string   `json:"error"`
		Problems []string `json:"problems"`
	}
	if json.Unmarshal(text, &f) != nil || f.Error == "" {
		f.Error = fmt.Sprintf("%s: %s; is this a Leat's admin port?", res.Status, bytes.TrimSpace(text[:min(len(text), 200)]))
	}
	const where = "--token-file, LEAT_TOKEN_FILE or LEAT_TOKEN"
	switch {
	case res.StatusCode != http.StatusUnauthorized:
	case c.token == "":
		f.Error = "the admin token is needed; give it with " + where
	default:
		f.Error += "; this one is from " + c.from + ", and another one can be given with " + where
	}
	return &errRefused{res.StatusCode, f.Error, f.Problems}
}

type status struct {
	Version    string    `json:"version"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	Ready      bool      `json:"ready"`
	NotReady   string    `json:"not_ready"`
	Draining   bool      `json:"draining"`
	Listen     []string  `json:"listen"`
	MapVersion uint64    `json:"map_version"`
	Config     struct {
		File   string    `json:"file"`
		Loaded time.Time `json:"loaded"`
		Failed string    `json:"failed"`
	} `json:"config"`
	Clients struct {
		Now     int    `json:"now"`
		Max     int    `json:"max"`
		Total   uint64 `json:"total"`
		Refused uint64 `json:"refused"`
	} `json:"clients"`
	Requests struct {
		Total     uint64 `json:"total"`
		ToPrimary uint64 `json:"to_primary"`
		ToReplica uint64 `json:"to_replica"`
		ByLeat    uint64 `json:"by_leat"`
		Classes   []struct {
			Name    string  `json:"name"`
			Count   uint64  `json:"count"`
			Seconds float64 `json:"seconds"`
		} `json:"classes"`
		Errors    uint64 `json:"errors"`
		Retries   uint64 `json:"retries"`
		Misroutes uint64 `json:"misroutes"`
	} `json:"requests"`
	Pinned []struct {
		Reason   string `json:"reason"`
		Sessions int    `json:"sessions"`
	} `json:"pinned"`
	Shards []struct {
		Name       string `json:"name"`
		Primary    string `json:"primary"`
		Reason     string `json:"reason"`
		HeldWrites int    `json:"held_writes"`
		HeldReads  int    `json:"held_reads"`
	} `json:"shards"`
	Servers []server `json:"servers"`
}

// held is how many requests wait for a server.
func (s *status) held() int {
	n := 0
	for _, sh := range s.Shards {
		n += sh.HeldWrites + sh.HeldReads
	}
	return n
}

// pinned is how many sessions keep their conn for that reason.
func (s *status) pinned(reason string) int {
	for _, p := range s.Pinned {
		if p.Reason == reason {
			return p.Sessions
		}
	}
	return 0
}

type server struct {
	Address        string   `json:"address"`
	Shard          string   `json:"shard"`
	Role           string   `json:"role"`
	Class          string   `json:"class"`
	State          string   `json:"state"`
	Reason         string   `json:"reason"`
	Warnings       []string `json:"warnings"`
	Version        string   `json:"version"`
	LagSeconds     *float64 `json:"lag_seconds"`
	Availability   float64  `json:"availability"`
	LatencySeconds float64  `json:"latency_seconds"`
	Conns          struct {
		Open    int `json:"open"`
		Busy    int `json:"busy"`
		Waiting int `json:"waiting"`
	} `json:"conns"`
	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`
}

type session struct {
	ID       uint32    `json:"id"`
	User     string    `json:"user"`
	Remote   string    `json:"remote"`
	Program  string    `json:"program"`
	Database string    `json:"database"`
	Pinned   string    `json:"pinned"`
	Server   string    `json:"server"`
	Since    time.Time `json:"since"`
	Busy     bool      `json:"busy"`
	Digest   string    `json:"digest"`
}

type digest struct {
	Digest       string  `json:"digest"`
	Text         string  `json:"text"`
	Class        string  `json:"class"`
	Rule         string  `json:"rule"`
	Count        uint64  `json:"count"`
	Errors       uint64  `json:"errors"`
	TotalSeconds float64 `json:"total_seconds"`
	MaxSeconds   float64 `json:"max_seconds"`
}

type explanation struct {
	Text   string `json:"text"`
	Digest string `json:"digest"`
	Class  string `json:"class"`
	Rule   string `json:"rule"`
	Shard  string `json:"shard"`
	Role   string `json:"role"`
	Server string `json:"server"`
	Pin    string `json:"pin"`
}
