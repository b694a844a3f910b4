package backend

// Small questions that sessions ask about a shard without borrowing a conn.

import (
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

// HasPrimary reports whether the shard has a server that takes writes now.
func (b *Backend) HasPrimary(id shard.ID) bool {
	s := b.topology.Load().shards[id]
	return s != nil && s.view.Load().primary != nil
}

// WouldUse is the address of a server that a request of the role and class could get now; empty if
// there is none.
func (b *Backend) WouldUse(id shard.ID, r wire.Role, class string) string {
	s := b.topology.Load().shards[id]
	if s == nil {
		return ""
	}
	v := s.view.Load()
	srv := v.primary
	if r == wire.Replica {
		anywhere := shard.Position{}
		if srv = s.fresh(v, class, anywhere, nil); srv == nil {
			srv = s.leftOver(v, anywhere, nil)
		}
	}
	if srv == nil {
		return ""
	}
	return srv.address
}

// MaxLag is how far the server's shard lets its replicas be behind.
func (s *Server) MaxLag() time.Duration {
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	return max(s.shard.cfg.MaxLag, 0)
}

// ParsePosition reads a position of the server's shard as its conns report it.
func (s *Server) ParsePosition(text string) (shard.Position, error) {
	if s.shard.dialect == shard.Postgres {
		return shard.ParsePostgresPosition(s.shard.id, text)
	}
	if g := s.greeting.Load(); g != nil && g.Flavor == wire.FlavorMariaDB {
		return shard.ParseMariaDBPosition(s.shard.id, text)
	}
	return shard.ParseMySQLPosition(s.shard.id, text)
}

// ReportsPositions tells whether it can be known how far a write has come: the server's history has GTIDs, and its
// conns tell, or LSNs, and it is asked afterwards (see Sampled).
func (s *Server) ReportsPositions() bool { return !s.applied.Load().IsZero() }
