package backend

// What the databases' catalogs say of their functions: read from the primary when it is asked for, and again after
// DDL and every half a minute.

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"leat/proxy/wire"
	"leat/shard"
)

// functionReader is a Prober that reads the functions that the users of a database made, over a conn of their own.
type functionReader interface {
	Functions(ctx context.Context, database string) (map[wire.Function]wire.Volatility, error)
}

const (
	maxCatalogs     = 64     // of one shard
	maxFunctions    = 50_000 // names in one database
	maxCatalogReads = 4      // under way in one shard
	catalogTimeout  = 5 * time.Second
	catalogPace     = 100 * time.Millisecond // between two reads of one catalog
	catalogRefresh  = 30 * time.Second
	catalogTrust    = 2 * time.Minute // how old it may become while it can't be read again
	catalogUnused   = 5 * time.Minute // then it is dropped
)

// catalogs are the catalogs of one shard's databases.
type catalogs struct {
	known atomic.Pointer[map[string]*catalog] // replaced, whole, under mu

	mu      sync.Mutex // guards what follows, and the catalogs' own; the shard's mu isn't taken while it is held
	reading int
}

// catalog is what is known of one database's functions.
type catalog struct {
	database string
	now      atomic.Pointer[wire.Catalog] // nil: unknown
	asked    atomic.Int64                 // when it was asked for last, give or take a second, on the backend's clock

	// guarded by the catalogs' mu; times are on the backend's clock
	last     *wire.Catalog // the last one read, whether it still holds or not
	from     *Server       // where it was read
	forgot   uint64        // grows with each Forget
	reading  bool
	due      time.Duration // when it is to be read
	began    time.Duration // when it was last begun to be read
	read     time.Duration // and when what it holds was
	failures int           // in a row
}

// Functions is what is known of the functions that the users of a database made. Nil: nothing is known, for a
// moment at first, after Forget, when the primary doesn't answer, for more than 50,000 names in a database or more
// than 64 databases in a shard, and in MySQL's dialect. It costs no lock and no allocation.
func (b *Backend) Functions(id shard.ID, database string) *wire.Catalog {
	s := b.topology.Load().shards[id]
	if s == nil || s.dialect != shard.Postgres {
		return nil
	}
	now := b.now()
	var c *catalog
	if known := s.catalogs.known.Load(); known != nil {
		c = (*known)[database]
	}
	if c == nil {
		if c = s.addCatalog(database, now); c == nil {
			return nil
		}
	}
	if now-time.Duration(c.asked.Load()) > time.Second {
		c.asked.Store(int64(now))
	}
	return c.now.Load()
}

// Forget drops what is known of a database's functions, and has it read again: when DDL was committed there.
func (b *Backend) Forget(id shard.ID, database string) {
	s := b.topology.Load().shards[id]
	if s == nil {
		return
	}
	known := s.catalogs.known.Load()
	if known == nil || (*known)[database] == nil {
		return
	}
	c := (*known)[database]
	s.catalogs.mu.Lock()
	defer s.catalogs.mu.Unlock()
	c.forgot++
	c.now.Store(nil)
	c.due = min(c.due, c.began+catalogPace)
	s.readCatalog(c, b.now())
}

// addCatalog begins to know a database. Nil: there are too many that are in use.
func (s *shardState) addCatalog(database string, now time.Duration) *catalog {
	k := &s.catalogs
	k.mu.Lock()
	defer k.mu.Unlock()
	next := map[string]*catalog{}
	if known := k.known.Load(); known != nil {
		if c := (*known)[database]; c != nil {
			return c
		}
		maps.Copy(next, *known)
	}
	if len(next) >= maxCatalogs {
		return nil
	}
	c := &catalog{database: database}
	c.asked.Store(int64(now))
	next[database] = c
	k.known.Store(&next)
	s.readCatalog(c, now)
	return c
}

// keepCatalogs reads those again that are due, and drops those that nobody uses. It is called ten times a second.
func (s *shardState) keepCatalogs() {
	k, now := &s.catalogs, s.b.now()
	known := k.known.Load()
	if known == nil {
		return
	}
	primary := s.view.Load().primary
	k.mu.Lock()
	defer k.mu.Unlock()
	unused := func(_ string, c *catalog) bool { return now-time.Duration(c.asked.Load()) > catalogUnused }
	for name, c := range *known {
		if unused(name, c) {
			next := maps.Clone(*known)
			maps.DeleteFunc(next, unused)
			k.known.Store(&next)
			return
		}
		if c.from != nil && primary != nil && c.from != primary {
			c.from, c.due = nil, now
		}
		if c.now.Load() != nil && now-c.read > catalogTrust {
			c.now.Store(nil)
		}
		s.readCatalog(c, now)
	}
}

// readCatalog has a catalog read that is due and in use, unless too many are being read. Called with the catalogs' mu held.
func (s *shardState) readCatalog(c *catalog, now time.Duration) {
	k := &s.catalogs
	idle := now-time.Duration(c.asked.Load()) > catalogRefresh
	if c.reading || now < c.due || k.reading >= maxCatalogReads || idle {
		return
	}
	forgot := c.forgot
	started := s.b.spawn(func(ctx context.Context) {
		srv := s.view.Load().primary
		functions, err := s.functions(ctx, srv, c.database)
		if ctx.Err() != nil {
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		c.reading = false
		k.reading--
		s.noteCatalog(c, srv, forgot, functions, err)
	})
	if started {
		c.reading, c.began = true, now
		k.reading++
	}
}

// noteCatalog takes what was read. Called with the catalogs' mu held.
func (s *shardState) noteCatalog(c *catalog, srv *Server, forgot uint64, functions map[wire.Function]wire.Volatility, err error) {
	now := s.b.now()
	if err != nil {
		c.due = now + min(time.Second<<min(c.failures, 10), catalogRefresh)
		if c.failures++; c.failures == 1 {
			s.b.log.Warn("a database's functions can't be read: what calls one of them goes to the primary",
				slog.String("shard", string(s.id)), slog.String("database", c.database), slog.Any("error", err))
		}
		return
	}
	c.failures = 0
	if forgot != c.forgot { // it may be from before the change
		c.due = c.began + catalogPace
		return
	}
	if !c.last.Same(functions) {
		c.last = wire.NewCatalog(s.b.catalogVersion.Add(1), functions)
	}
	c.now.Store(c.last)
	c.from, c.read, c.due = srv, c.began, now+catalogRefresh
}

// functions asks the primary.
func (s *shardState) functions(ctx context.Context, primary *Server, database string) (map[wire.Function]wire.Volatility, error) {
	if primary == nil {
		return nil, errors.New("there is no primary")
	}
	p := primary.newProber(primary.settings.Load())
	defer p.Close()
	from, ok := p.(functionReader)
	if !ok {
		return nil, errors.New("the server's dialect has no such catalog")
	}
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	return from.Functions(ctx, database)
}
