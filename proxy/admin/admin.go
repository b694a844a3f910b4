// Package admin is the operator's door: an HTTP API with JSON, Prometheus metrics, health checks for
// load balancers, pprof, and one page that shows it all. What it shows and does comes from a Control;
// it keeps nothing itself, runs no SQL and never shows a literal or a password.
//
// Without a token it answers this machine only; with one it asks for it on everything but /healthz and /readyz.
package admin

import (
	"errors"
	"time"
)

// ErrNotFound is returned by a Control for a server or a client that isn't there.
var ErrNotFound = errors.New("not found")

// Control is what the admin API shows and does. Live is the real one. Its methods may be called at any time
// from any goroutine.
type Control interface {
	Status() Status
	// Ready is nil while Leat can serve; else it says why not.
	Ready() error
	Servers() []Server
	// DrainServer takes a server out: it gets no new requests until UndrainServer.
	DrainServer(address string) error
	UndrainServer(address string) error
	Sessions() []Session
	// Kill ends a client's connection.
	Kill(id uint32) error
	Digests() []Digest
	Explain(q Question) (Explanation, error)
	// Reload reads the config again. An error means that the old one is still in force.
	Reload() error
	// Drain begins a graceful stop and returns at once: no new clients, transactions end, then the process does.
	Drain()
}

// Status is the state of one Leat.
type Status struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Ready is what /readyz says; NotReady is why it is false.
	Ready    bool   `json:"ready"`
	NotReady string `json:"not_ready,omitempty"`
	Draining bool   `json:"draining"`
	// Listen is where clients connect.
	Listen     []string    `json:"listen"`
	MapVersion uint64      `json:"map_version"`
	Config     ConfigState `json:"config"`
	Clients    Clients     `json:"clients"`
	Requests   Requests    `json:"requests"`
	Pinned     []PinCount  `json:"pinned"`
	Shards     []Shard     `json:"shards"`
	Servers    []Server    `json:"servers"`
	// Plans is the router's cache of plans.
	Plans Plans `json:"plans"`
}

// ConfigState says which config is in force.
type ConfigState struct {
	File   string    `json:"file"`
	Loaded time.Time `json:"loaded"`
	// Failed is why the last reload was refused; empty when it wasn't.
	Failed string `json:"failed,omitempty"`
}

// Clients are connections of clients.
type Clients struct {
	Now     int    `json:"now"`
	Max     int    `json:"max"`
	Total   uint64 `json:"total"`
	Refused uint64 `json:"refused"` // over the limit, wrong password, not from here
}

// Requests counts the clients' requests since the start.
type Requests struct {
	Total uint64 `json:"total"`
	// by who answered
	ToPrimary uint64 `json:"to_primary"`
	ToReplica uint64 `json:"to_replica"`
	ByLeat    uint64 `json:"by_leat"`
	// Classes are by what they do to data, in the order read, write, session.
	Classes []Class `json:"classes"`
	// Errors are error replies of servers, Retries requests sent again elsewhere since nothing of them had
	// been sent, Misroutes statements that a replica refused as writes and the primary took, Cancels statements
	// that were cancelled on their server.
	Errors    uint64 `json:"errors"`
	Retries   uint64 `json:"retries"`
	Misroutes uint64 `json:"misroutes"`
	Cancels   uint64 `json:"cancels"`
	BytesOut  uint64 `json:"bytes_out"` // to clients
}

// Class is what requests of one class took.
type Class struct {
	Name    string  `json:"name"` // read, write, session
	Count   uint64  `json:"count"`
	Seconds float64 `json:"seconds"` // sum of the times
	// Buckets counts requests that took up to so many seconds; each includes those before it.
	Buckets []Bucket `json:"buckets"`
}

// Bucket is one bar of a histogram.
type Bucket struct {
	UpTo  float64 `json:"up_to"` // seconds
	Count uint64  `json:"count"`
}

// PinCount is how many sessions keep their conn for one reason, and how often that was so.
type PinCount struct {
	Reason   string `json:"reason"`
	Sessions int    `json:"sessions"`
	Total    uint64 `json:"total"`
}

// Shard is one shard.
type Shard struct {
	Name    string `json:"name"`
	Primary string `json:"primary"` // address; empty when there is none
	Split   bool   `json:"split"`   // two servers are writable: writes are refused
	Reason  string `json:"reason,omitempty"`
	// HeldWrites and HeldReads wait for a server now.
	HeldWrites int `json:"held_writes"`
	HeldReads  int `json:"held_reads"`
	// MissedReads went to the primary since no replica had the session's writes yet, NoReplicaReads since
	// no replica could be used at all.
	MissedReads    uint64 `json:"missed_reads"`
	NoReplicaReads uint64 `json:"no_replica_reads"`
	// ExpiredPositions are reads that asked for what the primary's history no longer holds.
	ExpiredPositions uint64 `json:"expired_positions"`
}

// Plans is the state of the plan cache.
type Plans struct {
	Entries  int    `json:"entries"`
	Bytes    int    `json:"bytes"`
	Hits     uint64 `json:"hits"`
	Misses   uint64 `json:"misses"`
	Unparsed uint64 `json:"unparsed"` // digests that the parser couldn't read
}

// Server is one server of a shard.
type Server struct {
	Address string `json:"address"`
	Shard   string `json:"shard"`
	Role    string `json:"role"`  // primary, replica, unknown
	Class   string `json:"class"` // online, batch
	Weight  int    `json:"weight"`
	// State is up, warming (coming back slowly), lagging, draining (an operator took it out), down or
	// unprobed; Reason says why when it isn't up.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// Warnings are what should be mended though it is up.
	Warnings []string `json:"warnings,omitempty"`
	Version  string   `json:"version,omitempty"`
	// LagSeconds is how far a replica is behind; nil when it is unknown or makes no sense.
	LagSeconds *float64 `json:"lag_seconds"`
	// Availability is the share of time since the start of Leat in which it answered, 0 to 1.
	Availability float64 `json:"availability"`
	// Applied is the position that it had reached at the last probe.
	Applied string `json:"applied,omitempty"`
	// LatencySeconds is the moving average of its replies.
	LatencySeconds float64 `json:"latency_seconds"`
	Conns          Conns   `json:"conns"`
	Requests       uint64  `json:"requests"`
	Errors         uint64  `json:"errors"`
}

// Conns are Leat's connections to one server.
type Conns struct {
	Open    int `json:"open"`
	Busy    int `json:"busy"`
	Waiting int `json:"waiting"` // sessions that wait for one
	Max     int `json:"max"`
	// Opened, Failed and Timeouts count conns that were opened, couldn't be, and waits for one that were in vain.
	Opened   uint64 `json:"opened"`
	Failed   uint64 `json:"failed"`
	Timeouts uint64 `json:"timeouts"`
}

// Session is one client.
type Session struct {
	ID       uint32    `json:"id"`
	User     string    `json:"user"`
	Remote   string    `json:"remote"`
	Program  string    `json:"program,omitempty"` // what the client calls itself
	Database string    `json:"database"`
	Pinned   string    `json:"pinned,omitempty"` // why it keeps its conn
	Server   string    `json:"server,omitempty"` // whose conn it has now
	Since    time.Time `json:"since"`            // connected
	Busy     bool      `json:"busy"`
	Digest   string    `json:"digest,omitempty"` // of the last statement, 16 hex digits
}

// Digest is what is known of all statements that differ in literals only.
type Digest struct {
	Digest       string  `json:"digest"` // 16 hex digits
	Text         string  `json:"text"`   // literals are ?
	Class        string  `json:"class"`
	Rule         string  `json:"rule"`
	Count        uint64  `json:"count"`
	Errors       uint64  `json:"errors"`
	Rows         uint64  `json:"rows"`
	TotalSeconds float64 `json:"total_seconds"`
	MaxSeconds   float64 `json:"max_seconds"`
}

// Question is a statement to explain.
type Question struct {
	SQL      string `json:"sql"`
	User     string `json:"user"`
	Database string `json:"database"`
}

// Explanation says where a statement would go, and why. Nothing was run.
type Explanation struct {
	Text   string `json:"text"` // literals are ?
	Digest string `json:"digest"`
	Class  string `json:"class"`
	Rule   string `json:"rule"`
	Shard  string `json:"shard"`
	Role   string `json:"role"`
	Server string `json:"server,omitempty"` // one that would take it now
	Pin    string `json:"pin,omitempty"`
}
