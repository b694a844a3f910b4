// One running Leat: what is made of a config, and how a new config replaces it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"leat/proxy"
	"leat/proxy/admin"
	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/proxy/wire/mysqlwire"
	"leat/proxy/wire/pgwire"
	"leat/router"
	"leat/shard"
)

// instance is one running Leat.
type instance struct {
	// set by newInstance, then read-only
	path    string // of the config
	log     *slog.Logger
	level   *slog.LevelVar
	started time.Time
	backend *backend.Backend
	proxy   *proxy.Server
	admin   *admin.HTTP
	drainMe chan struct{} // has room for one wish to drain

	serving  atomic.Bool // the SQL port is open
	draining atomic.Bool

	mu      sync.Mutex // guards what a reload changes
	current *loaded
	router  *router.Router
	version uint64 // of the map
	at      time.Time
	failed  string // why the last reload was refused
}

func newInstance(path string, l *loaded, log *slog.Logger, level *slog.LevelVar) (*instance, error) {
	in := &instance{
		path: path, log: log, level: level, started: time.Now(),
		drainMe: make(chan struct{}, 1), current: l, version: 1, at: time.Now(),
	}
	in.level.Set(l.level)
	m, err := l.newMap(in.version)
	if err != nil {
		return nil, err
	}
	if in.router, err = router.New(l.router); err != nil {
		return nil, err
	}
	dialers, acceptors := dialects()
	if in.backend, err = backend.New(l.backend, dialers, log); err != nil {
		return nil, err
	}
	in.proxy, err = proxy.New(l.proxy, proxy.Deps{
		Backend: in.backend, Router: in.router, Map: m, Log: log,
		Acceptors: acceptors,
	})
	if err != nil {
		return nil, err
	}
	in.admin = admin.New(control{in}, l.token, log)
	return in, nil
}

// dialects are the codecs of all dialects: for servers, and for clients.
func dialects() (map[shard.Dialect]wire.Dialer, map[shard.Dialect]wire.Acceptor) {
	mysql, postgres := mysqlwire.NewDialer(), pgwire.NewDialer()
	return map[shard.Dialect]wire.Dialer{shard.MySQL: mysql, shard.Postgres: postgres},
		map[shard.Dialect]wire.Acceptor{shard.MySQL: mysqlwire.NewAcceptor(mysql), shard.Postgres: pgwire.NewAcceptor()}
}

// Reload reads the config again, and puts it in force if nothing is wrong with it.
func (in *instance) Reload() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	notifyReloading()
	defer notify("READY=1")
	err := in.reload()
	in.failed = ""
	if err != nil {
		in.failed = err.Error()
		for _, line := range strings.Split(err.Error(), "\n") {
			in.log.Error("config not reloaded, the old one stays in force", slog.String("problem", line))
		}
		return err
	}
	in.at = time.Now()
	in.log.Info("config reloaded", slog.String("file", in.path), slog.Uint64("map", in.version))
	return nil
}

func (in *instance) reload() error {
	next, err := loadConfig(in.path)
	if err != nil {
		return err
	}
	if err := fixed(in.path, in.current, next); err != nil {
		return err
	}
	m, err := next.newMap(in.version + 1)
	if err != nil {
		return err
	}
	r := in.router
	if !reflect.DeepEqual(next.router, in.current.router) { // else keep it, for its cache of plans
		if r, err = router.New(next.router); err != nil {
			return err
		}
	}
	if err := in.swap(next, r, m); err != nil {
		return err
	}
	in.current, in.router, in.version = next, r, in.version+1
	return nil
}

// swap hands the new config to each package. All of them have validated it; should one refuse it
// nevertheless, the others get the old one back.
func (in *instance) swap(next *loaded, r *router.Router, m *shard.Map) error {
	if err := in.backend.Reload(next.backend); err != nil {
		return err
	}
	if err := in.proxy.Reload(next.proxy, r, m); err != nil {
		return errors.Join(err, in.backend.Reload(in.current.backend))
	}
	logins := map[[2]string]bool{}
	for _, u := range next.proxy.Users {
		name, password := u.ServerLogin()
		logins[[2]string{name, password}] = true
	}
	in.backend.KeepLogins(func(user, password string) bool { return logins[[2]string{user, password}] })
	in.admin.SetToken(next.token)
	in.level.Set(next.level)
	return nil
}

// fixed refuses changes that a running process can't make.
func fixed(path string, now, next *loaded) error {
	found := &problems{file: path, lines: next.lines}
	const how = "it can't change at a reload; start a new leat serve, which shares the port, and then stop this one"
	after := next.listen.ports()
	for i, p := range now.listen.ports() {
		if p != after[i] {
			found.add(p.key, how)
		}
	}
	if now.listen.Admin != next.listen.Admin {
		found.add("listen.admin", how)
	}
	if now.json != next.json {
		found.add("log.format", how)
	}
	if len(found.list) > 0 {
		return found
	}
	return nil
}

// Drain asks for a graceful stop.
func (in *instance) Drain() {
	select {
	case in.drainMe <- struct{}{}:
	default: // it was asked for already
	}
}

// Ready is nil while clients can be served.
func (in *instance) Ready() error {
	if in.draining.Load() {
		return errors.New("draining")
	}
	if !in.serving.Load() {
		return errors.New("the SQL port isn't open yet")
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel() // look, don't wait
	if err := in.backend.Ready(ended); err != nil {
		return err
	}
	in.mu.Lock()
	places := in.current.maxClients()
	in.mu.Unlock()
	if in.proxy.Stats().ClientsNow >= places {
		return fmt.Errorf("all %d places for clients are taken; raise limits.clients", places)
	}
	return nil
}
