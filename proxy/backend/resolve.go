package backend

// The addresses behind a server's name, looked up again as records change.

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"
)

// lookupTimeout bounds one look-up of a name.
const lookupTimeout = 2 * time.Second

// addresses are where the server is dialled, as ip:port, in the order to try.
func (s *Server) addresses(ctx context.Context) ([]string, error) {
	if at := s.resolved.Load(); at != nil {
		return *at, nil
	}
	at, err := s.lookup(ctx)
	if err != nil {
		return nil, err
	}
	s.resolved.CompareAndSwap(nil, &at)
	return *s.resolved.Load(), nil
}

func (s *Server) lookup(ctx context.Context) ([]string, error) {
	if s.isIP() {
		return []string{s.address}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	hosts, err := s.b.topology.Load().cfg.Resolver.LookupHost(ctx, s.host)
	if err != nil {
		return nil, err
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("lookup %s: no address", s.host)
	}
	at := make([]string, len(hosts))
	for i, h := range hosts {
		at[i] = net.JoinHostPort(h, s.port)
	}
	return at, nil
}

func (s *Server) isIP() bool { return net.ParseIP(s.host) != nil }

// dial connects to the first address that answers.
func (s *Server) dial(ctx context.Context) (net.Conn, error) {
	addresses, err := s.addresses(ctx)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	for _, address := range addresses {
		var c net.Conn
		if c, err = d.DialContext(ctx, "tcp", address); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// keepResolved looks the servers' names up again and again, until ctx ends.
func (b *Backend) keepResolved(ctx context.Context) {
	for {
		timer := time.NewTimer(b.topology.Load().cfg.ResolveInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		for _, srv := range b.servers() {
			if !srv.isIP() {
				srv.resolve(ctx)
			}
		}
	}
}

// resolve looks the name up. When its records changed, new conns follow at once, conns to an
// address that is gone retire, and the server must show anew which role it has. A failed look-up
// changes nothing.
func (s *Server) resolve(ctx context.Context) {
	at, err := s.lookup(ctx)
	last := s.resolved.Load()
	if err != nil {
		if last != nil && ctx.Err() == nil {
			s.log().Warn("name can't be looked up: the known addresses stay in use", "error", err)
		}
		return
	}
	if last != nil && sameSet(*last, at) {
		return
	}
	s.resolved.Store(&at)
	if last == nil {
		return
	}
	s.log().Info("the name has new addresses", "addresses", at)
	s.pool.retire("address changed", func(c *Conn) bool { return !slices.Contains(at, c.address) })
	s.shard.doubt(s, "its name has a new address")
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
