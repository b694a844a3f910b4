package e2e

// Clients of PostgreSQL that nobody here wrote. What each of them is told is written down, over a direct connection and
// through Leat, and compared. As for MySQL LEAT_CLIENTS=all demands every one of them, and CI those that it installs.

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"leat/internal/localdb"
)

const pgClientsDatabase = "leat_clients"

// transcript is what a client was told, a line each.
type transcript []string

func (tr *transcript) say(format string, args ...any) {
	*tr = append(*tr, fmt.Sprintf(format, args...))
}

// pgClientServers returns the shared servers with a new database for clients.
func pgClientServers(ctx context.Context, t *testing.T, flavor localdb.Flavor) *localdb.Topology {
	t.Helper()
	top := sharedServers(ctx, t, flavor)
	for _, sql := range []string{
		"DROP DATABASE IF EXISTS " + pgClientsDatabase + " WITH (FORCE)",
		"CREATE DATABASE " + pgClientsDatabase + " OWNER " + localdb.AppUser,
	} {
		if err := top.Primary().ExecIn(ctx, "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := top.WaitSynced(ctx); err != nil {
		t.Fatal(err)
	}
	return top
}

// pgURL is where a client connects as the application. Options are parameters of the URL, as in "a=b".
func pgURL(address string, options ...string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(localdb.AppUser, localdb.AppPassword), Host: address, Path: "/" + pgClientsDatabase,
		RawQuery: strings.Join(append([]string{"sslmode=disable", "connect_timeout=10"}, options...), "&"),
	}
	return u.String()
}

// bothWays runs a client over a direct connection and through Leat, and compares what it was told.
func bothWays(ctx context.Context, t *testing.T, top *localdb.Topology, l *leat, run func(ctx context.Context, address string, tr *transcript) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	var want, got transcript
	if err := run(ctx, top.Primary().Addr(), &want); err != nil {
		t.Fatalf("direct: %v, after\n%s", err, strings.Join(want[max(0, len(want)-10):], "\n"))
	}
	if err := top.WaitSynced(ctx); err != nil {
		t.Fatal(err)
	}
	err := run(ctx, l.Addr, &got)
	if err != nil {
		t.Errorf("through Leat: %v", err)
	}
	for i := range max(len(want), len(got)) {
		a, b := "nothing", "nothing"
		if i < len(want) {
			a = want[i]
		}
		if i < len(got) {
			b = got[i]
		}
		if a != b {
			t.Errorf("line %d: got\n%s\nwant\n%s\nafter\n%s", i+1, b, a, strings.Join(want[max(0, i-5):min(i, len(want))], "\n"))
			return
		}
	}
}
