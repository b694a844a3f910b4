package e2e

// The lines of random PostgreSQL scripts that are about prepared statements, portals, COPY and what keeps a conn.

import (
	"fmt"
	"strings"
)

// texts are those of statements to prepare, with a letter for each parameter.
func (g *pgGenerator) texts(c *pgGenClient) genStatement {
	n := c.number
	list := []genStatement{
		{"SELECT * FROM users WHERE id = $1", "i"},
		{"SELECT id, name AS x FROM users WHERE id > $1 AND id <> $2 ORDER BY id", "ii"},
		{"SELECT 1", ""},
		{fmt.Sprintf("SELECT * FROM c%d WHERE id < $1 ORDER BY id", n), "i"},
		{fmt.Sprintf("INSERT INTO c%d (id, v) VALUES ($1, $2) RETURNING id", n), "kt"},
		{fmt.Sprintf("UPDATE c%d SET v = $1 WHERE id = $2", n), "ti"},
		{fmt.Sprintf("SELECT count(*) FROM c%d", n), ""},
		{"SELECT $1::text, current_schema(), '2024-05-01 12:00+00'::timestamptz", "t"},
		{"SELECT set_config('my.own', $1, false)", "t"},
		{"SET work_mem = '3MB'", ""},
		{"SELECT key FROM features WHERE tenant_id = $1 ORDER BY key", "i"},
		{fmt.Sprintf("TABLE c%d", n), ""},
		{"SELECT nope FROM users", ""},
		{"SELEC 1", ""},
		{"", ""},
	}
	return list[g.IntN(len(list))]
}

// names are shared by protocol and SQL.
func (g *pgGenerator) name() string { return g.oneOf("-", "-", "a", "b", "d", "e") }

func (g *pgGenerator) parse(c *pgGenClient) { g.add(c, g.parses(c), "sync") }

// parses is a Parse, with or without a Close in front and a Describe behind it.
func (g *pgGenerator) parses(c *pgGenClient) string {
	p := g.texts(c)
	name := g.name()
	types := ""
	if p.params == "i" && g.IntN(3) == 0 {
		types = g.oneOf("(23)", "(20)", "(25)")
	}
	line := "parse " + name + types + " " + p.name
	if name != "-" && g.IntN(3) > 0 {
		line = "close statement " + name + " | " + line
	}
	if g.IntN(2) == 0 {
		line += " | describe statement " + name
	}
	c.statements = append(c.statements, genStatement{name, p.params})
	return line
}

// statement is one that the client may have; its parameters are a guess that may be wrong.
func (g *pgGenerator) statement(c *pgGenClient) genStatement {
	if len(c.statements) == 0 {
		return genStatement{g.name(), ""}
	}
	last := c.statements[max(0, len(c.statements)-6):]
	return last[g.IntN(len(last))]
}

// binds is a Bind with arguments.
func (g *pgGenerator) binds(s genStatement, portal string) string {
	line := "bind " + s.name + g.oneOf("", "", ":b", ":t") + portal
	for _, kind := range s.params {
		switch kind {
		case 'i':
			line += " " + g.oneOf("1", "2", "3", "NULL", "-1", "x")
		case 'k':
			line += fmt.Sprintf(" %d", g.key())
		default:
			line += " " + g.oneOf("'a'", "'it is'", "NULL", "''", "'ä'")
		}
	}
	return line
}

func (g *pgGenerator) execute(c *pgGenClient) {
	var parts []string
	if g.IntN(4) == 0 {
		parts = append(parts, g.parses(c))
	}
	g.add(c, append(parts, g.executes(c), "sync")...)
}

func (g *pgGenerator) executes(c *pgGenClient) string {
	s := g.statement(c)
	switch g.IntN(8) {
	case 0:
		return "describe statement " + s.name
	case 1:
		return g.binds(s, "") + " | execute 2 | execute"
	case 2:
		return "close statement " + s.name
	case 3:
		return g.binds(s, "") + " | execute"
	case 4:
		return g.binds(s, ">p") + " | " + g.binds(g.statement(c), "") + " | execute p | describe portal - | execute"
	}
	return g.binds(s, "") + " | describe portal - | execute"
}

// pipeline sends several requests at once.
func (g *pgGenerator) pipeline(c *pgGenClient) {
	var parts []string
	for range 2 + g.IntN(6) {
		switch g.IntN(8) {
		case 0:
			parts = append(parts, "sync", "simple "+g.reads(c)) // behind an error it would be skipped, and never answered
		case 1:
			parts = append(parts, g.parses(c))
		case 2:
			parts = append(parts, "flush")
		case 3:
			parts = append(parts, "sync")
		case 4:
			parts = append(parts, "parse - "+g.writes(c)+" | bind - | execute")
		default:
			parts = append(parts, g.executes(c))
		}
	}
	g.add(c, append(parts, "sync")...)
}

// flush begins a run that goes on in the client's next line.
func (g *pgGenerator) flush(c *pgGenClient) {
	if !g.mayHold(c) {
		return
	}
	c.unsynced = true
	g.add(c, "parse - "+g.oneOf(g.reads(c), g.writes(c)), "bind -", "execute", "flush", "until CE")
}

func (g *pgGenerator) goOn(c *pgGenClient) {
	c.unsynced = false
	if g.IntN(2) == 0 {
		g.add(c, g.executes(c), "sync")
		return
	}
	g.add(c, "sync")
}

func (g *pgGenerator) portal(c *pgGenClient) {
	s := g.statement(c)
	if !c.tx {
		g.add(c, g.binds(s, ">q"), "execute q 1", "execute q 1", "describe portal q", "close portal q", "execute q", "sync")
		return
	}
	switch g.IntN(4) {
	case 0:
		g.add(c, g.binds(s, ">q"), "sync")
	case 1:
		g.add(c, g.oneOf("execute q 1", "execute q", "describe portal q", "close portal q", "execute nosuch"), "sync")
	case 2:
		g.query(c, "DECLARE cur CURSOR FOR "+g.oneOf("SELECT id FROM users", "SELECT key FROM features"))
	default:
		g.query(c, g.oneOf("FETCH 2 FROM cur", "FETCH ALL cur", "MOVE cur", "CLOSE cur", "FETCH 1 FROM q"))
	}
}

// inSQL uses by SQL what was prepared by the protocol. What SQL prepares keeps the conn.
func (g *pgGenerator) inSQL(c *pgGenClient) {
	name := g.oneOf("a", "b", "d", "e")
	switch g.IntN(6) {
	case 0:
		g.query(c, "DEALLOCATE "+g.oneOf("", "PREPARE ")+name)
	case 1:
		g.query(c, "DEALLOCATE ALL")
	case 2:
		g.query(c, "EXECUTE "+name)
	case 3:
		g.query(c, "EXECUTE "+name+"(1)")
	case 4:
		if !(c.tx && c.readOnly) && g.mayHold(c) {
			c.sticky = true
			g.query(c, "PREPARE s"+name+" AS "+g.oneOf("SELECT 1", "SELECT * FROM users WHERE id = $1"))
		}
	case 5:
		g.add(c, "simple SELECT 1; DEALLOCATE "+name+"; SELECT 2")
	}
}

func (g *pgGenerator) copy(c *pgGenClient) {
	into := fmt.Sprintf("COPY c%d FROM STDIN", c.number)
	rows := fmt.Sprintf(`copydata %d\t1\tx\n%d\t\\N\ty\n`, g.key(), g.key())
	switch g.IntN(7) {
	case 0:
		g.add(c, "simple "+into, rows, "copydone")
	case 1:
		g.add(c, "simple "+into, rows, "copyfail no")
	case 2:
		g.add(c, "simple "+into, rows, `copydata 1\t1\ttwice\n`, "copydone")
	case 3:
		g.add(c, "simple "+into, `copydata bad\n`, rows, "copydone")
	case 4:
		g.add(c, "parse - "+into, "bind -", "execute", rows, g.oneOf("copydone", "copydone", "copyfail no"), "sync")
	case 5:
		g.query(c, g.oneOf("COPY users TO STDOUT", "COPY (SELECT * FROM features WHERE tenant_id = 1) TO STDOUT (FORMAT csv)"))
	case 6:
		g.add(c, "simple SELECT 1; "+into+"; SELECT 2", rows, "copydone")
	}
}

// pin makes session state that keeps the conn, until the session is reset.
func (g *pgGenerator) pin(c *pgGenClient) {
	if c.sticky && g.IntN(3) == 0 {
		g.add(c, "simple ROLLBACK")
		g.query(c, "DISCARD ALL")
		c.sticky, c.tx = false, false
		return
	}
	if g.IntN(5) == 0 {
		g.query(c, g.oneOf("DISCARD PLANS", "DISCARD SEQUENCES", "UNLISTEN *", "DISCARD ALL"))
		return
	}
	if c.tx && c.readOnly || !g.mayHold(c) {
		return
	}
	c.sticky = true
	g.query(c, g.oneOf("CREATE TEMP TABLE users (id int, mine text)", "INSERT INTO users (id, mine) VALUES (7, 'x')", "SELECT * FROM users ORDER BY 1", "DROP TABLE pg_temp.users",
		"DECLARE h CURSOR WITH HOLD FOR SELECT id FROM users", "FETCH 1 FROM h", "CLOSE h", fmt.Sprintf("SELECT pg_advisory_lock(%d)", c.number),
		fmt.Sprintf("SELECT pg_advisory_unlock(%d)", c.number), "SELECT pg_advisory_unlock_all()", "SELECT setseed(0.5), random()", "DISCARD TEMP",
		"SELECT nextval('seq') > 0", "EXECUTE sa", "EXECUTE sa(1)"))
}

// define changes the client's own table.
func (g *pgGenerator) define(c *pgGenClient) {
	switch g.IntN(4) {
	case 0:
		g.query(c, fmt.Sprintf("ALTER TABLE c%d ADD COLUMN x int", c.number))
	case 1:
		g.query(c, fmt.Sprintf("ALTER TABLE c%d DROP COLUMN x", c.number))
	case 2:
		g.query(c, fmt.Sprintf("TRUNCATE c%d", c.number))
	case 3:
		g.query(c, fmt.Sprintf("CREATE OR REPLACE VIEW public.v%[1]d AS SELECT id FROM public.c%[1]d", c.number))
	}
}

func (g *pgGenerator) several(c *pgGenClient) {
	list := []string{g.reads(c), g.writes(c), g.oneOf(g.reads(c), g.writes(c), "SELECT 1 / 0", "SET work_mem = '5MB'", "SET my.own = 'several'", "SELECT nope")}
	g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	g.add(c, "simple "+strings.Join(list, "; "))
}
