package shard

// A point in a shard's history, and what can be asked of it.

// Position is a point in one shard's history: what a session's last write reached, or what a
// server has applied. It is immutable. The zero Position is before everything.
type Position struct {
	Shard ID
	set   gtidSet
}

// ParseMySQLPosition reads a GTID set as MySQL spells it, e.g. "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:11",
// with tags (8.3 and later: "uuid:tag:1-5"). An empty text is the zero position of the shard.
// The error says what is wrong with the text; it holds at most its first 64 bytes.
func ParseMySQLPosition(s ID, gtids string) (Position, error) {
	set, err := parseMySQL(gtids)
	return Position{s, set}, err
}

// ParseMariaDBPosition reads a GTID position as MariaDB spells it, e.g. "0-1-100,1-1-7": in each
// replication domain, the last transaction. An empty text is the zero position of the shard.
func ParseMariaDBPosition(s ID, gtids string) (Position, error) {
	set, err := parseMariaDB(gtids)
	return Position{s, set}, err
}

// IsZero reports whether p is before everything: it asks nothing of a server.
func (p Position) IsZero() bool { return len(p.set.sources) == 0 && len(p.set.domains) == 0 }

// Contains reports whether a server that is at p has applied everything up to q. The zero
// position is contained in every other; a position of another shard never is. It allocates nothing.
func (p Position) Contains(q Position) bool {
	if q.IsZero() {
		return true
	}
	return p.Shard == q.Shard && p.set.contains(&q.set)
}

// Union returns the position that contains both. Of two shards it is q: a position is a point in
// one shard's history only. A union keeps at most 64 runs of numbers per source: when a session's
// own writes lie further apart, the oldest gaps are closed, which asks for more, never for less.
func (p Position) Union(q Position) Position {
	switch {
	case q.IsZero():
		return p
	case p.IsZero() || p.Shard != q.Shard:
		return q
	}
	return Position{p.Shard, p.set.union(&q.set)}
}

// Intersect returns what is in both. It is how a position is cut to a history that lost a part of
// it: after a failover, what the new primary doesn't have can never come. Of two shards it is zero.
func (p Position) Intersect(q Position) Position {
	if p.Shard != q.Shard {
		return Position{Shard: p.Shard}
	}
	return Position{p.Shard, p.set.intersect(&q.set)}
}

// String is the position in the server's own spelling, without the shard.
func (p Position) String() string { return p.set.String() }
