package e2e

// Random sequences of PostgreSQL messages by several clients over two conns per server, compared with direct
// connections. LEAT_SEEDS is how many are run (default 6), LEAT_SEED the first (default 1).

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"leat/internal/localdb"
)

func TestPostgresRandom(t *testing.T) {
	eachPostgres(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		d := newPgDiffer(ctx, t, flavor)
		for n := 1; n <= maxPgClients; n++ {
			d.setup += fmt.Sprintf("\nCREATE TABLE c%[1]d (id int PRIMARY KEY, k int, v text); INSERT INTO c%[1]d SELECT i, i * i, 'v' || i FROM generate_series(1, 5) i; "+
				"GRANT SELECT ON c%[1]d TO app_reader;", n)
		}
		first, count := envNumber("LEAT_SEED", 1), envNumber("LEAT_SEEDS", 6)
		for seed := first; seed < first+count; seed++ {
			d.random(context.Background(), t, seed)
			if t.Failed() {
				return
			}
		}
	})
}

// random runs one seed, and reports the shortest script that still differs.
func (d *pgDiffer) random(ctx context.Context, t *testing.T, seed uint64) {
	t.Helper()
	s := &pgScript{lines: randomPgScript(seed, 80)}
	if seed%4 == 0 {
		s.params = []string{"search_path=other,public", "work_mem=1MB", "my.own=by_login"}
	}
	err := d.compare(ctx, s)
	var different *errDifferent
	if err != nil && !errors.As(err, &different) {
		t.Fatalf("LEAT_SEED=%d: %v\n%s", seed, err, strings.Join(s.lines, "\n"))
	}
	if err == nil {
		return
	}
	short := d.shrink(ctx, s, 100)
	if again := d.compare(ctx, short); again != nil {
		err = again
	} else {
		err = fmt.Errorf("it differed once and not always:\n%w", err)
	}
	t.Errorf("LEAT_SEED=%d: %v\nas a script for testdata/diff_pg:\nparams: %s\n%s", seed, err, strings.Join(short.params, " "), strings.Join(short.lines, "\n"))
}

// maxPgClients bounds the clients of one script. Each writes only a table of its own (c1, c2, ...) and rows of its
// own elsewhere, so that clients never wait for each other's locks.
const maxPgClients = 8

// pgGenerator makes up lines. At most one client at a time holds on to a conn: with two conns there is always one for
// the others.
type pgGenerator struct {
	*rand.Rand
	clients []*pgGenClient
	lines   []string
	holder  *pgGenClient
	keys    int
}

type pgGenClient struct {
	number     int
	tx         bool
	readOnly   bool // tx may be READ ONLY: what keeps a conn is refused on a replica
	unsynced   bool // sent a Flush without its Sync
	sticky     bool // until DISCARD ALL
	statements []genStatement
}

// randomPgScript makes a script of about n lines.
func randomPgScript(seed uint64, n int) []string {
	g := &pgGenerator{Rand: rand.New(rand.NewPCG(seed, 11))}
	for i := range 2 + g.IntN(maxPgClients-1) {
		g.clients = append(g.clients, &pgGenClient{number: i + 1})
	}
	for len(g.lines) < n {
		g.step(g.clients[g.IntN(len(g.clients))])
	}
	return g.lines
}

func (g *pgGenerator) step(c *pgGenClient) {
	if c.unsynced {
		g.goOn(c)
	} else {
		kinds := []func(*pgGenClient){
			g.read, g.read, g.write, g.write, g.write, g.set, g.set, g.set, g.show, g.fail, g.transaction, g.transaction, g.transaction,
			g.parse, g.parse, g.execute, g.execute, g.execute, g.execute, g.pipeline, g.pipeline, g.several, g.copy, g.pin, g.define,
			g.portal, g.inSQL, g.flush,
		}
		kinds[g.IntN(len(kinds))](c)
	}
	if g.holder == c && !c.tx && !c.sticky && !c.unsynced {
		g.holder = nil
	}
}

func (g *pgGenerator) add(c *pgGenClient, parts ...string) {
	g.lines = append(g.lines, fmt.Sprintf("%d: ", c.number)+strings.Join(parts, " | "))
}

func (g *pgGenerator) query(c *pgGenClient, sql string) { g.add(c, g.send(sql)) }

// send is a statement by one protocol or the other.
func (g *pgGenerator) send(sql string) string {
	if g.IntN(4) > 0 {
		return "simple " + sql
	}
	return "parse - " + sql + " | bind - | describe portal - | execute | sync"
}

func (g *pgGenerator) oneOf(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g *pgGenerator) key() int {
	g.keys++
	return 100 + g.keys
}

// mayHold makes the client the holder, if it may be.
func (g *pgGenerator) mayHold(c *pgGenClient) bool {
	if g.holder == nil {
		g.holder = c
	}
	return g.holder == c
}

func (g *pgGenerator) read(c *pgGenClient) { g.query(c, g.reads(c)) }

func (g *pgGenerator) reads(c *pgGenClient) string {
	n := g.IntN(6)
	return g.oneOf(
		fmt.Sprintf("SELECT * FROM users WHERE id = %d", n),
		fmt.Sprintf("SELECT * FROM c%d ORDER BY id", c.number),
		fmt.Sprintf("SELECT id, v FROM c%d WHERE id IN (%d, %d) ORDER BY id", c.number, n, n+1),
		fmt.Sprintf("SELECT count(*), sum(value) FROM features WHERE tenant_id = %d", n),
		fmt.Sprintf("SELECT '%s', NULL, %d / 3.0", g.oneOf("a", "ä😀", "it''s", ""), n),
		"SELECT key, at FROM features ORDER BY tenant_id, key LIMIT 3",
		fmt.Sprintf("SELECT id FROM c%d WHERE id < %d FOR UPDATE", c.number, n),
		fmt.Sprintf("WITH w AS (SELECT * FROM c%d) SELECT count(*) FROM w", c.number),
		fmt.Sprintf("VALUES (%d), (2)", n),
		"EXPLAIN (COSTS OFF) SELECT * FROM features",
		"SELECT now() - now(), '2024-05-01 12:00+00'::timestamptz, interval '1 day 2 hours', 1::float8 / 3, '\\\\x41'::bytea",
		fmt.Sprintf("SELECT generate_series(1, %d)", n*3),
	)
}

func (g *pgGenerator) write(c *pgGenClient) { g.query(c, g.writes(c)) }

func (g *pgGenerator) writes(c *pgGenClient) string {
	key := g.key()
	return g.oneOf(
		fmt.Sprintf("INSERT INTO c%d VALUES (%d, 1, 'w')", c.number, key),
		fmt.Sprintf("INSERT INTO c%d (id, k) VALUES (%d, 1), (%d, 2) RETURNING *", c.number, key, key+1000),
		fmt.Sprintf("UPDATE c%d SET v = '%s' WHERE id <= %d RETURNING id", c.number, g.oneOf("a", "b"), g.IntN(6)),
		fmt.Sprintf("DELETE FROM c%d WHERE id = %d", c.number, g.IntN(6)),
		fmt.Sprintf("INSERT INTO c%d VALUES (%d, 0, 'again') ON CONFLICT (id) DO UPDATE SET v = excluded.v", c.number, g.IntN(6)),
		fmt.Sprintf("INSERT INTO c%d VALUES (1, 0, 'twice')", c.number),
		fmt.Sprintf("WITH d AS (DELETE FROM c%d WHERE id > %d RETURNING id) SELECT count(*) FROM d", c.number, 100+g.IntN(100)),
		fmt.Sprintf("SELECT public.volatile_write(%d)", 1000*c.number+key),
	)
}

// fail sends what the server refuses.
func (g *pgGenerator) fail(c *pgGenClient) {
	g.query(c, g.oneOf("SELECT nope FROM users", "SELEC 1", "SELECT * FROM nosuch", "SELECT 1 / 0", "SELECT fails()", "SET work_mem = 'lots'",
		"SET nosuch = 1", "SELECT 'x'::int", "INSERT INTO users VALUES (1)", "ROLLBACK TO nosuch", "CLOSE nosuch"))
}

// pgSettings are names and values, as SQL spells them.
var pgSettings = [][]string{
	{"search_path", "other", "public, other", "'$user', public", "nosuch", "''"},
	{"work_mem", "'2MB'", "1024", "'lots'"},
	{"DateStyle", "German", "'ISO, DMY'", "'SQL'"},
	{"TimeZone", "'Asia/Kolkata'", "'UTC'", "-3", "'Nowhere/Else'"},
	{"IntervalStyle", "iso_8601", "postgres"},
	{"extra_float_digits", "-3", "3", "99"},
	{"bytea_output", "escape", "hex"},
	{"application_name", "'one'", "'t''wo'", "''"},
	{"statement_timeout", "'1h'", "0", "100000"},
	{"client_min_messages", "warning", "debug1", "notice"},
	{"standard_conforming_strings", "off", "on"},
	{"my.own", "'a'", "'b; c'", "''"},
	{"default_transaction_isolation", "'repeatable read'", "serializable", "'read committed'"},
	{"enable_seqscan", "off", "on"},
	{"role", "app_reader", "none", "nosuch"},
	{"geqo", "maybe", "off"},
}

func (g *pgGenerator) set(c *pgGenClient) {
	v := pgSettings[g.IntN(len(pgSettings))]
	name, value := v[0], v[1+g.IntN(len(v)-1)]
	text := "'" + strings.ReplaceAll(strings.Trim(value, "'"), "'", "''") + "'"
	switch g.IntN(14) {
	case 0:
		g.query(c, "RESET "+name)
	case 1:
		g.query(c, "SET "+name+" TO DEFAULT")
	case 2:
		g.query(c, fmt.Sprintf("SELECT set_config('%s', %s, false)", name, text))
	case 3:
		g.query(c, fmt.Sprintf("SELECT set_config('%s', %s, true)", name, text))
	case 4, 5:
		g.query(c, "SET LOCAL "+name+" = "+value)
	case 6:
		g.query(c, g.oneOf("RESET ALL", "SET ROLE app_reader", "RESET ROLE", "SET ROLE NONE", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
			"SET NAMES 'LATIN1'", "SET NAMES 'UTF8'", "RESET client_encoding", "SET SESSION AUTHORIZATION app_reader", "SET TIME ZONE LOCAL"))
	case 7:
		g.query(c, "BEGIN; SET "+name+" = "+value+"; "+g.oneOf("COMMIT", "ROLLBACK", "SELECT 1 / 0; COMMIT", "SAVEPOINT a; SET "+name+" = DEFAULT; ROLLBACK TO a; COMMIT"))
		c.tx = false
		g.add(c, "simple ROLLBACK")
	default:
		g.query(c, "SET "+g.oneOf("", "", "SESSION ")+name+" "+g.oneOf("=", "TO")+" "+value)
	}
	g.show(c)
}

func (g *pgGenerator) show(c *pgGenClient) {
	name := pgSettings[g.IntN(len(pgSettings))][0]
	g.query(c, g.oneOf("SHOW "+name, fmt.Sprintf("SELECT current_setting('%s', true)", name), "SELECT current_schema(), current_user, session_user", "SELECT * FROM users WHERE id = 1",
		"SELECT '2024-05-01 12:00+00'::timestamptz, interval '1 day 2 hours', 1::float8 / 3, '\\\\x4100'::bytea, 'a\\\\nb'"))
}

func (g *pgGenerator) transaction(c *pgGenClient) {
	if !c.tx {
		if g.mayHold(c) {
			begin := g.oneOf("BEGIN", "BEGIN", "START TRANSACTION", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE")
			c.tx, c.readOnly = true, strings.Contains(begin, "ONLY")
			g.query(c, begin)
		}
		return
	}
	switch g.IntN(9) {
	case 0, 1:
		g.query(c, "SAVEPOINT a")
	case 2, 3:
		g.query(c, g.oneOf("ROLLBACK TO SAVEPOINT a", "ROLLBACK TO a"))
	case 4:
		choices := []string{"RELEASE a", "BEGIN", "SET TRANSACTION READ ONLY", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"}
		if c.readOnly { // behind an error it may write, which a replica doesn't
			choices = choices[:4]
		}
		g.query(c, g.oneOf(choices...))
	default:
		g.query(c, g.oneOf("COMMIT", "COMMIT", "ROLLBACK", "END", "ABORT"))
		c.tx = false
	}
}
