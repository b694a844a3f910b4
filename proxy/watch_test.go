package proxy

// Tests of the watcher's patience with clients.

import (
	"testing"
	"time"

	"leat/proxy/wire"
	"leat/proxy/wire/mysqlwire"
	"leat/proxy/wire/pgwire"
)

// slowClient has begun a request and doesn't go on.
type slowClient struct {
	wire.Client
	withheld time.Duration
	closed   bool
}

func (c *slowClient) Withheld(time.Time) time.Duration { return c.withheld }
func (c *slowClient) Close() error                     { c.closed = true; return nil }

func TestHalfRequests(t *testing.T) {
	cfg := Config{}.withDefaults()
	plain := wire.NewState("")
	for _, tt := range []struct {
		name     string
		acceptor wire.Acceptor
		state    *wire.State
		withheld time.Duration
		closed   bool
	}{
		{"MySQL, a while", &mysqlwire.Acceptor{}, plain, 29 * time.Second, false},
		{"MySQL, too long", &mysqlwire.Acceptor{}, plain, 31 * time.Second, true},
		{"MySQL, as long as it wishes", &mysqlwire.Acceptor{}, plain.With("net_read_timeout", "3600"), time.Minute, false},
		{"MySQL, longer than it wishes", &mysqlwire.Acceptor{}, plain.With("net_read_timeout", "5"), 6 * time.Second, true},
		{"PostgreSQL, a while", &pgwire.Acceptor{}, plain, time.Hour, false},
		{"PostgreSQL, too long", &pgwire.Acceptor{}, plain, 9 * time.Hour, true},
	} {
		c := &slowClient{withheld: tt.withheld}
		s := &session{client: c, acceptor: tt.acceptor, state: tt.state}
		s.noteLimits()
		now := time.Now()
		s.active.Store(now.UnixNano())
		if s.watch(now, &cfg); c.closed != tt.closed {
			t.Errorf("%s: closed %v, want %v", tt.name, c.closed, tt.closed)
		}
	}
}
