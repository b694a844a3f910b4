// How leat check --connect looks at servers: as leat serve does, once.
package main

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"leat/proxy/backend"
	"leat/proxy/wire"
	"leat/proxy/wire/mysqlwire"
	"leat/shard"
)

// target is one server with all who log in to it.
type target struct {
	path    string // where it is in the config
	address string
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
	b, err := backend.New(l.backend, map[shard.Dialect]wire.Dialer{shard.MySQL: mysqlwire.NewDialer()}, slog.New(slog.DiscardHandler))
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
func (t *target) logIn(ctx context.Context, l login) error {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = l.name, l.password, "tcp", t.address
	c.Timeout, c.ReadTimeout, c.Logger = 5*time.Second, 10*time.Second, &mysql.NopLogger{}
	if t.tls != nil {
		c.TLS = t.tls.Clone()
		if host, _, err := net.SplitHostPort(t.address); err == nil && c.TLS.ServerName == "" {
			c.TLS.ServerName = host
		}
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("%s (%s) can't log in: %w", l.whose, l.name, err)
	}
	return conn.Close()
}
