package shard

import "fmt"

// Map is who owns what, at one version. It is immutable: a change makes a new Map with a higher
// version. A request loads it once.
type Map struct {
	version   uint64
	shards    map[ID]Dialect
	databases map[string]ID
	only      map[Dialect]ID // the only shard of a dialect, if there is just one
}

// NewMap makes a Map. Databases name their shard; one that isn't named belongs to the only shard
// of its dialect, if there is only one.
func NewMap(version uint64, shards map[ID]Dialect, databases map[string]ID) (*Map, error) {
	m := &Map{version: version, shards: shards, databases: databases, only: map[Dialect]ID{}}
	count := map[Dialect]int{}
	for id, d := range shards {
		count[d]++
		m.only[d] = id
	}
	for d, n := range count {
		if n > 1 {
			delete(m.only, d)
		}
	}
	for name, id := range databases {
		if _, ok := shards[id]; !ok {
			return nil, fmt.Errorf("database %q is on shard %q, which isn't in the list of shards", name, id)
		}
	}
	return m, nil
}

// Version grows by one at each change.
func (m *Map) Version() uint64 { return m.version }

// DialectOf is the dialect of the shard that holds a database, where one does; of the only one that there is
// otherwise, and MySQL where that leaves a choice.
func (m *Map) DialectOf(database string) Dialect {
	if id, ok := m.databases[database]; ok {
		return m.shards[id]
	}
	for _, d := range m.shards {
		if d == MySQL {
			return MySQL
		}
	}
	return Postgres
}

// Shard returns the shard that holds a database, for a client of that dialect. An empty name is
// a session without a current database. False means that no shard holds it.
func (m *Map) Shard(d Dialect, database string) (ID, bool) {
	if id, ok := m.databases[database]; ok && m.shards[id] == d {
		return id, true
	}
	id, ok := m.only[d]
	return id, ok
}
