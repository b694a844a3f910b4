package e2e

// Random sequences of commands by several clients over two conns per server, compared with direct
// connections. LEAT_SEEDS is how many are run (default 20), LEAT_SEED the first (default 1).

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"leat/internal/localdb"
)

func TestDiffRandom(t *testing.T) {
	eachFlavor(t, func(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
		d := newDiffer(ctx, t, flavor)
		first, count := envNumber("LEAT_SEED", 1), envNumber("LEAT_SEEDS", 6)
		for seed := first; seed < first+count; seed++ {
			d.random(context.Background(), t, seed, flavor)
			if t.Failed() {
				return
			}
		}
	})
}

// random runs one seed with each set of flags, and reports the shortest script that still differs.
func (d *differ) random(ctx context.Context, t *testing.T, seed uint64, flavor localdb.Flavor) {
	t.Helper()
	s := &script{flags: flagSets[seed%uint64(len(flagSets))], lines: randomScript(seed, flavor, 80)}
	err := d.compareScript(ctx, s)
	var different *errDifferent
	if err != nil && !errors.As(err, &different) {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if err == nil {
		return
	}
	short := d.shrink(ctx, s, 100)
	if again := d.compareScript(ctx, short); again != nil {
		err = again
	} else {
		err = fmt.Errorf("it differed once and not always:\n%w", err)
	}
	t.Errorf("LEAT_SEED=%d: %v\nas a script for testdata/diff:\nflags: %s\n%s", seed, err, strings.Join(short.flags, " "), strings.Join(short.lines, "\n"))
}

func envNumber(name string, value uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 32); err == nil {
		return n
	}
	return value
}

// generator makes up lines. Each client writes only a table of its own (c1, c2, ...), so that clients
// never wait for each other's locks nor read what a replica may not have yet. At most one client at a time
// holds on to a conn: with two conns there is always one for the others.
type generator struct {
	*rand.Rand
	flavor  localdb.Flavor
	clients []*genClient
	lines   []string
	holder  *genClient // has a transaction, or state that pins it
	keys    int
}

type genClient struct {
	number     int
	tx         bool
	readOnly   bool // so is tx
	sticky     bool // until reset-connection
	statements []genStatement
}

type genStatement struct {
	name   string
	params string // one letter each: i for a number, t for a text
}

// randomScript makes a script of about n lines.
func randomScript(seed uint64, flavor localdb.Flavor, n int) []string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 7)), flavor: flavor}
	for i := range 2 + g.IntN(7) {
		g.clients = append(g.clients, &genClient{number: i + 1})
	}
	for len(g.lines) < n {
		g.step(g.clients[g.IntN(len(g.clients))])
	}
	return g.lines
}

func (g *generator) add(c *genClient, format string, args ...any) {
	g.lines = append(g.lines, fmt.Sprintf("%d: ", c.number)+fmt.Sprintf(format, args...))
}

func (g *generator) query(c *genClient, format string, args ...any) {
	g.add(c, "query "+format, args...)
}

func (g *generator) oneOf(choices ...string) string { return choices[g.IntN(len(choices))] }

// mayHold reports whether the client may take a conn for itself.
func (g *generator) mayHold(c *genClient) bool { return g.holder == nil || g.holder == c }

// settle gives the hold up when nothing is left of it.
func (g *generator) settle(c *genClient) {
	if g.holder == c && !c.tx && !c.sticky {
		g.holder = nil
	}
}

func (g *generator) step(c *genClient) {
	kinds := []func(*genClient){
		g.read, g.read, g.read, g.write, g.write, g.write, g.set, g.set, g.show, g.fail,
		g.transaction, g.transaction, g.prepare, g.execute, g.execute, g.execute, g.pin, g.command, g.several,
	}
	kinds[g.IntN(len(kinds))](c)
	g.settle(c)
}

func (g *generator) read(c *genClient) {
	switch g.IntN(8) {
	case 0:
		g.query(c, "SELECT * FROM t WHERE id = %d", g.IntN(8))
	case 1:
		g.query(c, "SELECT id, v FROM t WHERE id IN (%d, %d) ORDER BY id", g.IntN(8), g.IntN(8))
	case 2:
		g.query(c, "SELECT * FROM c%d ORDER BY id", c.number)
	case 3:
		g.query(c, "SELECT COUNT(*) FROM c%d WHERE k > %d", c.number, g.IntN(10))
	case 4:
		g.query(c, "SELECT id, v FROM w ORDER BY id LIMIT %d", g.IntN(4))
	case 5:
		g.query(c, "SELECT '%s', NULL, %d / 3", g.oneOf("a", "ä😀", "it''s", ""), g.IntN(100))
	case 6:
		g.query(c, "SELECT x.id FROM t x JOIN c%d y ON x.id = y.k ORDER BY 1", c.number)
	case 7:
		g.query(c, "SELECT id FROM t WHERE id < %d FOR UPDATE", g.IntN(3)-2)
	}
}

func (g *generator) write(c *genClient) {
	g.keys++
	key := 100 + g.keys
	switch g.IntN(8) {
	case 0, 1, 2:
		g.query(c, "INSERT INTO c%d (k, v) VALUES (%d, 'w')", c.number, key)
	case 3:
		g.query(c, "INSERT INTO c%d (k) VALUES (%d), (%d)", c.number, key, key+1000)
	case 4:
		g.query(c, "UPDATE c%d SET v = '%s' WHERE id <= %d", c.number, g.oneOf("a", "b"), g.IntN(5))
	case 5:
		g.query(c, "DELETE FROM c%d WHERE id = %d", c.number, g.IntN(6))
	case 6:
		g.query(c, "INSERT IGNORE INTO c%d (k, v) VALUES (%d, 'longer than ten')", c.number, key)
	case 7:
		g.query(c, "REPLACE INTO c%d (id, k) VALUES (%d, %d)", c.number, g.IntN(6)+500, key)
	}
}

// fail sends what the server refuses.
func (g *generator) fail(c *genClient) {
	switch g.IntN(6) {
	case 0:
		g.query(c, "SELECT nope FROM t")
	case 1:
		g.query(c, "SELEC 1")
	case 2:
		g.query(c, "SELECT * FROM nosuch")
	case 3:
		g.query(c, "INSERT INTO c%[1]d (id, k) SELECT id, NULL FROM (SELECT 7 AS id UNION ALL SELECT 7) x", c.number)
	case 4:
		g.query(c, "SET @@sql_mode = 'NOSUCH'")
	case 5:
		g.query(c, "SELECT (SELECT id FROM t)")
	}
}

func (g *generator) set(c *genClient) {
	variables := [][]string{
		{"sql_mode", "''", "'ANSI_QUOTES'", "'STRICT_ALL_TABLES'", "DEFAULT"},
		{"time_zone", "'+01:00'", "'-05:30'", "DEFAULT"},
		{"div_precision_increment", "2", "9", "DEFAULT"},
		{"group_concat_max_len", "5", "100", "DEFAULT"},
		{"sql_select_limit", "2", "DEFAULT", "DEFAULT"},
		{"foreign_key_checks", "0", "1", "OFF"},
		{"lc_time_names", "'de_DE'", "'en_US'"},
		{"character_set_results", "latin1", "NULL"},
		{"net_write_timeout", "77", "DEFAULT"},
		{"sql_safe_updates", "1", "0"},
	}
	v := variables[g.IntN(len(variables))]
	switch g.IntN(6) {
	case 0:
		g.query(c, "SELECT @@%s", v[0])
	case 1:
		g.query(c, "SET NAMES %s", g.oneOf("utf8mb4", "latin1", "utf8mb4 COLLATE utf8mb4_bin", "binary"))
	case 2:
		g.query(c, "SELECT @@character_set_client, @@collation_connection, @@time_zone, @@sql_mode, 1 / 3")
	default:
		g.query(c, "SET %s%s = %s", g.oneOf("", "SESSION ", "@@"), v[0], v[1+g.IntN(len(v)-1)])
		g.query(c, "SELECT @@%s", v[0])
	}
}

// show asks for what the statement before left behind.
func (g *generator) show(c *genClient) {
	if n := len(g.lines); n == 0 || !strings.HasPrefix(g.lines[n-1], fmt.Sprintf("%d: query ", c.number)) {
		g.query(c, "%s", g.oneOf("SELECT LAST_INSERT_ID()", "SELECT ROW_COUNT()", "SELECT DATABASE()", "SELECT @@autocommit"))
		return // warnings are gone once the conn has served another client
	}
	g.query(c, "%s", g.oneOf("SHOW WARNINGS", "SHOW COUNT(*) WARNINGS", "SELECT ROW_COUNT()", "SELECT LAST_INSERT_ID()", "SELECT @@warning_count",
		"SELECT DATABASE()", "SELECT @@autocommit", "SELECT LAST_INSERT_ID() AS id", "SELECT @@identity", "SHOW ERRORS"))
}

func (g *generator) transaction(c *genClient) {
	if !c.tx {
		if !g.mayHold(c) {
			return
		}
		g.holder, c.tx = c, true
		switch g.IntN(5) {
		case 0:
			g.query(c, "START TRANSACTION READ ONLY")
			c.readOnly = true
		case 1:
			g.query(c, "SET autocommit = 0")
		default:
			g.query(c, "%s", g.oneOf("BEGIN", "START TRANSACTION", "BEGIN WORK", "START TRANSACTION WITH CONSISTENT SNAPSHOT"))
		}
		return
	}
	switch g.IntN(6) {
	case 0:
		g.query(c, "SAVEPOINT s")
	case 1:
		g.query(c, "ROLLBACK TO SAVEPOINT s")
	default:
		g.query(c, "%s", g.oneOf("COMMIT", "ROLLBACK"))
		g.query(c, "SET autocommit = 1")
		c.tx, c.readOnly = false, false
	}
}

func (g *generator) prepare(c *genClient) {
	name := fmt.Sprintf("s%d", g.IntN(4))
	texts := []struct {
		sql, params string
	}{
		{"SELECT * FROM t WHERE id = ?", "i"},
		{"SELECT id, v AS x FROM t WHERE id > ? AND id <> ? ORDER BY id", "ii"},
		{"SELECT 1", ""},
		{fmt.Sprintf("SELECT * FROM c%d WHERE id = ? OR k = ?", c.number), "ii"},
		{fmt.Sprintf("INSERT INTO c%d (v) VALUES (?)", c.number), "t"},
		{fmt.Sprintf("UPDATE c%d SET v = ? WHERE id = ?", c.number), "ti"},
		{fmt.Sprintf("SELECT COUNT(*) FROM c%d", c.number), ""},
		{"SELECT nope FROM t", ""},
		{"SELECT @@sql_mode, COUNT(*) FROM t WHERE v = ?", "t"},
	}
	p := texts[g.IntN(len(texts))]
	g.add(c, "prepare %s %s", name, p.sql)
	if strings.Contains(p.sql, "nope") {
		return // it fails, and what the name stood for before stays
	}
	for i := range c.statements {
		if c.statements[i].name == name {
			c.statements = append(c.statements[:i], c.statements[i+1:]...)
			break
		}
	}
	c.statements = append(c.statements, genStatement{name, p.params})
}

func (g *generator) execute(c *genClient) {
	if len(c.statements) == 0 {
		g.prepare(c)
		return
	}
	i := g.IntN(len(c.statements))
	s := c.statements[i]
	switch g.IntN(10) {
	case 0:
		g.add(c, "close %s", s.name)
		c.statements = append(c.statements[:i], c.statements[i+1:]...)
	case 1:
		g.add(c, "reset %s", s.name)
	default:
		args := make([]string, len(s.params))
		for j := range args {
			args[j] = g.oneOf("1", "2", "3", "NULL", "-1")
			if s.params[j] == 't' {
				args[j] = g.oneOf("'a'", "'2'", "'one'", "NULL")
			}
		}
		g.add(c, "execute %s %s", s.name, strings.Join(args, " "))
	}
}

// pin makes session state that keeps the conn, until the session is reset.
func (g *generator) pin(c *genClient) {
	if c.sticky && g.IntN(3) == 0 {
		g.add(c, "reset-connection")
		c.sticky, c.tx, c.readOnly, c.statements = false, false, false, nil
		return
	}
	if !g.mayHold(c) || c.readOnly { // a transaction on a replica refuses it
		return
	}
	g.holder, c.sticky = c, true
	g.query(c, "%s", g.oneOf(
		"SET @u = 5", "SELECT @u, @w", "SELECT id INTO @w FROM t WHERE id = 2", "CREATE TEMPORARY TABLE tmp (id INT)",
		"INSERT INTO tmp VALUES (1)", "SELECT * FROM tmp", "DROP TEMPORARY TABLE IF EXISTS tmp", "SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1",
		"SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1; SELECT FOUND_ROWS()", "CALL p_out(2, @w)", "PREPARE pp FROM 'SELECT id FROM t WHERE id = 1'", "EXECUTE pp",
		fmt.Sprintf("SELECT GET_LOCK('leat_diff_%d', 0)", c.number), fmt.Sprintf("SELECT RELEASE_LOCK('leat_diff_%d')", c.number)))
}

func (g *generator) command(c *genClient) {
	switch g.IntN(8) {
	case 0:
		g.add(c, "ping")
	case 1:
		g.add(c, "use %s", g.oneOf(diffDatabase, diffDatabase, "nosuch"))
	case 2:
		g.query(c, "USE %s", g.oneOf(diffDatabase, "nosuch"))
	case 3:
		g.add(c, "fields %s", g.oneOf("t", "nosuch"))
	case 4:
		g.add(c, "option %d", g.IntN(2))
	case 5:
		g.add(c, "raw 99")
	case 6:
		g.add(c, "reset-connection")
		c.sticky, c.tx, c.readOnly, c.statements = false, false, false, nil
	case 7:
		g.query(c, "DO 1")
	}
}

func (g *generator) several(c *genClient) {
	switch g.IntN(3) {
	case 0:
		g.query(c, "SELECT 1; SELECT COUNT(*) FROM c%d", c.number)
	case 1:
		g.keys++
		g.query(c, "INSERT INTO c%d (k) VALUES (%d); SELECT LAST_INSERT_ID()", c.number, 100+g.keys)
	case 2:
		g.query(c, "SELECT 1; SELECT nope; SELECT 2")
	}
}
