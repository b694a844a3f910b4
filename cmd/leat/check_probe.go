// How leat check --connect looks at servers: as leat serve does, once.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/shard"
)

// target is one server with all who log in to it.
type target struct {
	path    string // where it is in the config
	address string
	dialect shard.Dialect
	tls     *tls.Config
	logins  []login
	seen    *backend.ServerStatus
}

// login is one name and password for the servers, and whose they are.
type login struct{ name, password, whose string }

func (l login) same(o login) bool { return l.name == o.name && l.password == o.password }

func (t *target) up() bool { return t.seen.State != "down" && t.seen.State != "unprobed" }

func (t *target) flavor() string {
	if strings.Contains(strings.ToLower(t.seen.Version), "mariadb") {
		return "MariaDB"
	}
	return "MySQL"
}

// look has every server probed once, by what leat serve has it probed by.
func (l *loaded) look(ctx context.Context) ([]backend.ServerStatus, []backend.ShardStatus, error) {
	dialers, _ := dialects()
	b, err := backend.New(l.backend, dialers, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	life, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(life) }()
	err = waitFor(ctx, func(context.Context) error {
		for _, s := range b.Status() {
			if s.State == "unprobed" {
				return fmt.Errorf("%s doesn't answer", s.Address)
			}
		}
		return nil
	})
	servers, shards := b.Status(), b.Shards()
	end()
	<-ended // Run returns no error once it is told to end
	return servers, shards, err
}

// logIn tries one login.
func (t *target) logIn(ctx context.Context, d wire.Dialer, l login) error {
	ctx, cancel := context.WithTimeout(ctx, logInTime)
	defer cancel()
	database := ""
	if t.dialect == shard.Postgres {
		database = "postgres" // there is one on every server
	}
	conn, err := d.Dial(ctx, t.address, wire.Login{User: l.name, Password: l.password, Database: database, TLS: t.tls})
	if err != nil {
		return fmt.Errorf("%s (%s) can't log in: %w", l.whose, l.name, err)
	}
	return conn.Close()
}

// logInTime bounds one log-in.
const logInTime = 10 * time.Second
