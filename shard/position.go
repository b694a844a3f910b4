package shard

// Position is a point in one shard's history: what a session's last write reached, or what a
// replica has applied. It is immutable. The zero Position is before everything.
type Position struct {
	Shard ID
	set   gtidSet
}
