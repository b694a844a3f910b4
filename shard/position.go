package shard

// A point in a shard's history, and what can be asked of it.

import "strings"

// Position is a point in one shard's history: what a session's last write reached, or what a
// server has applied. It is immutable. The zero Position is before everything.
type Position struct {
	Shard ID
	set   gtidSet // MySQL and MariaDB
	lsn   lsn     // PostgreSQL; one of the two is empty
}

// ParseMySQLPosition reads a GTID set as MySQL spells it, e.g. "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:11",
// with tags (8.3 and later: "uuid:tag:1-5"). An empty text is the zero position of the shard.
// The error says what is wrong with the text; it holds at most its first 64 bytes.
func ParseMySQLPosition(s ID, gtids string) (Position, error) {
	set, err := parseMySQL(gtids)
	return Position{Shard: s, set: set}, err
}

// ParseMariaDBPosition reads a GTID position as MariaDB spells it, e.g. "0-1-100,1-1-7": in each
// replication domain, the last transaction. An empty text is the zero position of the shard.
func ParseMariaDBPosition(s ID, gtids string) (Position, error) {
	set, err := parseMariaDB(gtids)
	return Position{Shard: s, set: set}, err
}

// ParsePostgresPosition reads a timeline with a log sequence number, e.g. "1:0/16B3748". A blank text is
// the zero position of the shard. The error says what is wrong with the text.
func ParsePostgresPosition(s ID, text string) (Position, error) {
	if text = strings.TrimSpace(text); text == "" {
		return Position{Shard: s}, nil
	}
	at, err := parseLSN(text)
	return Position{Shard: s, lsn: at}, err
}

// IsZero reports whether p is before everything: it asks nothing of a server.
func (p Position) IsZero() bool {
	return p.lsn.isZero() && len(p.set.sources) == 0 && len(p.set.domains) == 0
}

// Contains reports whether a server that is at p has applied everything up to q. The zero
// position is contained in every other; a position of another shard never is, nor one of another
// timeline, since a history that was promoted may have lost it. It allocates nothing.
func (p Position) Contains(q Position) bool {
	switch {
	case q.IsZero():
		return true
	case p.Shard != q.Shard:
		return false
	case !q.lsn.isZero():
		return p.lsn.contains(q.lsn)
	}
	return p.set.contains(&q.set)
}

// Union returns the position that contains both. Of two shards it is q: a position is a point in
// one shard's history only. A union keeps at most 64 runs of numbers per source: when a session's
// own writes lie further apart, the oldest gaps are closed, which asks for more, never for less. Of two
// timelines it is the later one's point: what that doesn't hold was lost when the timelines parted.
func (p Position) Union(q Position) Position {
	switch {
	case q.IsZero():
		return p
	case p.IsZero() || p.Shard != q.Shard:
		return q
	case !p.lsn.isZero() || !q.lsn.isZero():
		if p.lsn.compare(q.lsn) < 0 {
			return q
		}
		return p
	}
	return Position{Shard: p.Shard, set: p.set.union(&q.set)}
}

// Intersect cuts p to a history that lost a part of it, and stands at q: after a failover, what the new
// primary doesn't have can never come. It is what is in both; of two timelines it is q, since it isn't
// known where they parted, and all that is left of p lies before q. Of two shards it is zero.
func (p Position) Intersect(q Position) Position {
	if p.Shard != q.Shard {
		return Position{Shard: p.Shard}
	}
	if !p.lsn.isZero() || !q.lsn.isZero() {
		return Position{Shard: p.Shard, lsn: p.lsn.intersect(q.lsn)}
	}
	return Position{Shard: p.Shard, set: p.set.intersect(&q.set)}
}

// Behind is how many bytes of log lie between p and a later q of the same timeline; 0 if q isn't later.
// False: it isn't known, since they are GTID sets, of two timelines or of two shards.
func (p Position) Behind(q Position) (bytes uint64, known bool) {
	if p.lsn.isZero() || p.lsn.timeline != q.lsn.timeline || p.Shard != q.Shard {
		return 0, false
	}
	return max(p.lsn.at, q.lsn.at) - p.lsn.at, true
}

// String is the position in the server's own spelling, without the shard. PostgreSQL's has the timeline
// in front of the LSN.
func (p Position) String() string {
	if !p.lsn.isZero() {
		return p.lsn.String()
	}
	return p.set.String()
}
