package proxy

// stats.go: the counters behind the metrics, and the lists that operators see.

import (
	"strings"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
	"leat/router"
)

// Stats are counts since the start, but for the ...Now, which are of this moment.
type Stats struct {
	ClientsNow     int            `json:"clients_now"`
	ClientsTotal   uint64         `json:"clients_total"`
	ClientsRefused uint64         `json:"clients_refused"`
	Requests       uint64         `json:"requests"`
	ToPrimary      uint64         `json:"to_primary"` // requests that a primary answered
	ToReplica      uint64         `json:"to_replica"` // requests that a replica answered
	Reads          uint64         `json:"reads"`
	Writes         uint64         `json:"writes"`
	Session        uint64         `json:"session"` // requests that touch only the session
	Errors         uint64         `json:"errors"`  // error replies of servers
	Retries        uint64         `json:"retries"`
	Misroutes      uint64         `json:"misroutes"`
	Cancels        uint64         `json:"cancels"`
	BytesOut       uint64         `json:"bytes_out"`
	PinnedNow      map[string]int `json:"pinned_now"` // sessions by reason
	// Pins counts how often sessions were pinned, by reason.
	Pins map[string]uint64 `json:"pins"`
	// Latency has one histogram per class: how many requests took up to each bound.
	Latency map[string]Histogram `json:"latency"`
	// Draining is set once the server stopped taking clients.
	Draining bool `json:"draining"`
}

// Histogram counts durations up to bounds; the last count is of those above all.
type Histogram struct {
	Bounds []time.Duration `json:"bounds"`
	Counts []uint64        `json:"counts"`
	Sum    time.Duration   `json:"sum"`
}

// SessionInfo is one client as an operator sees it.
type SessionInfo struct {
	ID       uint32    `json:"id"`
	User     string    `json:"user"`
	Remote   string    `json:"remote"`
	Program  string    `json:"program"` // what the client calls itself: its connection attribute program_name
	Database string    `json:"database"`
	Pinned   string    `json:"pinned"` // why it holds a conn; empty if it doesn't
	Server   string    `json:"server"` // the server whose conn it holds or uses
	Since    time.Time `json:"since"`
	Busy     bool      `json:"busy"`
	Digest   uint64    `json:"digest"` // of the last statement
}

var latencyBounds = []time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 10 * time.Second,
}

const (
	classes    = 3
	maxBuckets = 14
)

// pinReasons are all reasons there are: the counters' labels are bounded by them.
var pinReasons = []string{
	router.PinUserVars, router.PinTempTable, router.PinLocks, router.PinReadLock, router.PinInstance, router.PinSequence, router.PinUserLock, router.PinHandler, router.PinCursor,
	router.PinPrepare, router.PinCall, router.PinXA, router.PinNextTx, router.PinRole, router.PinVariable, router.PinUnknown, router.PinDiagnostic,
	router.PinRun, router.PinListen, router.PinAdvisory, router.PinHoldCursor, router.PinSeed,
}

type counters struct {
	clients, refused, requests, toPrimary, toReplica, errors, retries, misroutes, cancels, bytesOut atomic.Uint64

	byClass [classes]atomic.Uint64
	latency [classes][maxBuckets]atomic.Uint64
	sum     [classes]atomic.Int64
	pins    map[string]*atomic.Uint64
}

func (c *counters) init() {
	c.pins = make(map[string]*atomic.Uint64)
	for _, r := range pinReasons {
		c.pins[r] = new(atomic.Uint64)
	}
}

func (c *counters) pinned(reason string) {
	if n := c.pins[reason]; n != nil {
		n.Add(1)
	}
}

// note counts one request that a server answered.
func (c *counters) note(role wire.Role, out *wire.Outcome) {
	if role == wire.Replica {
		c.toReplica.Add(1)
	} else {
		c.toPrimary.Add(1)
	}
	if out.Err != nil {
		c.errors.Add(1)
	}
	c.bytesOut.Add(uint64(out.Bytes))
}

func (c *counters) time(class router.Class, took time.Duration) {
	i := 0
	for i < len(latencyBounds) && took > latencyBounds[i] {
		i++
	}
	c.byClass[class].Add(1)
	c.latency[class][i].Add(1)
	c.sum[class].Add(int64(took))
}

// Stats are the counters of now.
func (s *Server) Stats() Stats {
	c := &s.counters
	st := Stats{
		ClientsTotal: c.clients.Load(), ClientsRefused: c.refused.Load(), Requests: c.requests.Load(),
		ToPrimary: c.toPrimary.Load(), ToReplica: c.toReplica.Load(),
		Reads: c.byClass[router.ClassRead].Load(), Writes: c.byClass[router.ClassWrite].Load(), Session: c.byClass[router.ClassSession].Load(),
		Errors: c.errors.Load(), Retries: c.retries.Load(), Misroutes: c.misroutes.Load(), Cancels: c.cancels.Load(), BytesOut: c.bytesOut.Load(),
		PinnedNow: map[string]int{}, Pins: map[string]uint64{}, Latency: map[string]Histogram{}, Draining: s.draining.Load(),
	}
	for reason, n := range c.pins {
		st.Pins[reason] = n.Load()
	}
	for class := range router.Class(classes) {
		h := Histogram{Bounds: latencyBounds, Sum: time.Duration(c.sum[class].Load())}
		for i := range len(latencyBounds) + 1 {
			h.Counts = append(h.Counts, c.latency[class][i].Load())
		}
		st.Latency[class.String()] = h
	}
	for _, ss := range s.Sessions() {
		st.ClientsNow++
		for _, reason := range strings.Split(ss.Pinned, pinSeparator) {
			if reason != "" {
				st.PinnedNow[reason]++
			}
		}
	}
	return st
}

// Sessions lists the clients that are logged in.
func (s *Server) Sessions() []SessionInfo {
	all := s.all()
	list := make([]SessionInfo, 0, len(all))
	for _, ss := range all {
		ss.mu.Lock()
		info := SessionInfo{
			ID: ss.id, User: ss.user.Name, Remote: ss.remote.String(), Program: ss.shown.program, Database: ss.shown.database, Pinned: ss.shown.pinned,
			Server: ss.shown.server, Since: ss.shown.since, Busy: ss.busy.Load(), Digest: ss.shown.digest,
		}
		if f := ss.flight.conn; f != nil {
			info.Server = f.Server().Address()
		}
		ss.mu.Unlock()
		list = append(list, info)
	}
	return list
}
