package e2e

// Cases 62 to 72: what is a read and what isn't. The servers' counts of requests tell where a statement ran.

import (
	"fmt"
	"os/exec"
	"strings"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawpostgres"
)

func init() {
	addPgStageCase(62, "writes go to the primary", pgWrites)
	addPgStageCase(63, "functions by their volatility", pgFunctions)
	addPgStageCase(64, "functions wherever they stand", pgHiddenFunctions)
	addPgStageCase(65, "what the parser can't read", pgUnparsed)
	addPgStageCase(66, "read only transactions", pgReadOnlyTx)
	addPgStageCase(67, "a read that turns out to write", pgMisrouted)
	addPgStageCase(68, "hints", pgHints)
	addPgStageCase(69, "catalogs", pgCatalogs)
	addPgStageCase(70, "temporary and unlogged tables", pgTemporary)
	addPgStageCase(71, "clients that ask for a primary", pgSessionAttrs)
	addPgStageCase(72, "several statements", pgSeveral)
}

// onPrimary and onReplica check where statements go, by the simple and by the extended protocol. Each must succeed, or fail
// with an error of the server's.
func (s *pgStage) onPrimary(c *pgPeer, statements ...string) {
	s.Helper()
	s.goes(c, true, false, statements)
}

func (s *pgStage) onReplica(c *pgPeer, statements ...string) {
	s.Helper()
	s.goes(c, false, false, statements)
}

func (s *pgStage) goes(c *pgPeer, primary, simpleOnly bool, statements []string) {
	s.Helper()
	for _, sql := range statements {
		for _, messages := range [][][]byte{
			{rawpostgres.Query(sql)},
			{rawpostgres.Parse("", sql), rawpostgres.Bind("", "", nil), rawpostgres.Execute("", 0), rawpostgres.Sync()},
		} {
			var r *rawpostgres.Reply
			took := s.took(func() {
				var err error
				if r, err = c.Do(messages...); err != nil {
					s.Fatalf("%s: %v", sql, err)
				}
			})
			if toPrimary, toReplicas := took[0], took[1]+took[2]; (toPrimary > 0) != primary || (toReplicas > 0) == primary {
				s.Errorf("%s: the servers took %v requests, want it on the primary: %v (%v)", sql, took, primary, r.Err())
			}
			if simpleOnly {
				break
			}
		}
	}
}

func pgWrites(s *pgStage) {
	s.sync()
	c := s.client()
	s.onPrimary(c, "INSERT INTO a (k) VALUES (62)", "UPDATE a SET v = 'x' WHERE k = 62", "DELETE FROM a WHERE k = 62", "INSERT INTO a (k) VALUES (62) RETURNING id",
		"MERGE INTO a USING (SELECT 62 AS k) s ON a.k = s.k WHEN MATCHED THEN UPDATE SET v = 'm'", "TRUNCATE a", "CREATE TABLE IF NOT EXISTS t62 (x int)",
		"DROP TABLE IF EXISTS t62", "SELECT * FROM t FOR UPDATE", "SELECT * FROM t FOR NO KEY UPDATE", "SELECT * FROM t FOR SHARE", "select * from t for key share",
		"SELECT * FROM (SELECT id FROM t FOR UPDATE) x", "WITH d AS (DELETE FROM a RETURNING id) SELECT * FROM d",
		"WITH x AS (WITH y AS (INSERT INTO a (k) VALUES (1) RETURNING k) SELECT * FROM y) SELECT * FROM x", "SELECT (WITH y AS (SELECT nextval('seq') AS n) SELECT n FROM y)",
		"SELECT 1 AS x INTO t62b", "DROP TABLE IF EXISTS t62b", "SELECT nextval('seq')", "SELECT setval('seq', 10)", "SELECT txid_current()", "SELECT pg_notify('c62', 'x')",
		"SELECT pg_advisory_xact_lock(62)", "SELECT pg_try_advisory_xact_lock(62)", "SELECT lo_create(0)", "SELECT lo_get(0)", "EXPLAIN ANALYZE DELETE FROM a",
		"EXPLAIN (ANALYZE, COSTS off) UPDATE a SET k = 1", "CALL nosuch()", "DO 'BEGIN END'", "LOCK TABLE a", "COPY (DELETE FROM a RETURNING id) TO STDOUT", "VACUUM a", "ANALYZE a",
		"COMMENT ON TABLE a IS 'x'", "GRANT SELECT ON a TO app_reader", "NOTIFY c62", "SELECT pg_stat_clear_snapshot()", "REFRESH MATERIALIZED VIEW nosuch", "SELECT pg_terminate_backend(0)")
	if s.flavor == localdb.Postgres18 {
		s.onPrimary(c, "UPDATE a SET k = 2 RETURNING old.k, new.k", "INSERT INTO a (k) VALUES (3) RETURNING WITH (OLD AS o) o.k")
	}
	s.pinnedTo("", 0)
	s.sync()
	s.onReplica(s.client(), "SELECT 1", "SELECT 'for update' FROM t", "SELECT id AS \"for update\" FROM t", "SELECT id FROM t -- FOR UPDATE", "(SELECT id FROM t)", "TABLE t", "VALUES (1), (2)",
		"SELECT count(*), max(n), string_agg(v, ',' ORDER BY id) FROM t", "WITH x AS (SELECT id FROM t) SELECT * FROM x", "SELECT id FROM t UNION SELECT id FROM a",
		"WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n", "SELECT $$FOR UPDATE$$, $x$ nextval('seq') $x$", "EXPLAIN SELECT * FROM t",
		"EXPLAIN (COSTS off) SELECT * FROM t", "COPY t TO STDOUT", "COPY (SELECT id FROM t) TO STDOUT", "SELECT now(), lower('X'), md5('x'), to_json(1), generate_series(1, 3)",
		"SELECT * FROM plain", "SELECT row_number() OVER (ORDER BY id) FROM t", "SELECT * FROM t, LATERAL (SELECT t.id + 1) x", "SELECT ARRAY(SELECT id FROM t)", "SELECT E'\\'; DELETE FROM t; --'")
}

func pgFunctions(s *pgStage) {
	c := s.client()
	c.query(`CREATE OR REPLACE FUNCTION f_vol() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN INSERT INTO a (k) VALUES (63); RETURN 1; END $$`)
	for name, kind := range map[string]string{"f_stable": "STABLE", "f_pure": "IMMUTABLE"} {
		c.query("CREATE OR REPLACE FUNCTION " + name + "() RETURNS int LANGUAGE sql " + kind + " AS 'SELECT 2'")
	}
	c.query("CREATE OR REPLACE FUNCTION f_over(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT 3'")
	c.query("CREATE OR REPLACE FUNCTION f_over(text) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 4'")
	c.query("CREATE OR REPLACE FUNCTION f_path() RETURNS int LANGUAGE sql STABLE AS 'SELECT 5'")
	c.query("CREATE OR REPLACE FUNCTION other.f_path() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 6'")
	c.query("CREATE OR REPLACE FUNCTION f_changes() RETURNS int LANGUAGE sql STABLE AS 'SELECT 7'")
	s.sync()
	reader := s.client()
	s.isKnown(reader, "f_stable", "f_changes")
	s.onReplica(reader, "SELECT f_stable()", "SELECT f_pure()", "SELECT public.f_stable()", `SELECT "f_stable" ()`, "SELECT id FROM t WHERE n < f_pure()", "SELECT f_path()", "SELECT F_STABLE()")
	s.onPrimary(reader, "SELECT f_vol()", "SELECT public.f_vol()", "SELECT f_over(1)", "SELECT f_over('x'::text)", "SELECT other.f_path()", "SELECT f_nosuch()", "SELECT nosuch.f_stable()")
	reader.query("SET search_path = other, public")
	s.onPrimary(reader, "SELECT f_path()")
	reader.query("RESET search_path")
	s.onReplica(s.client(), "SELECT f_path()")
	s.onPrimary(s.client("search_path=other"), "SELECT f_path()")

	// What one client defines counts for the others at once.
	s.sync()
	s.onReplica(s.client(), "SELECT f_changes()")
	c.query("CREATE OR REPLACE FUNCTION f_changes() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN INSERT INTO a (k) VALUES (64); RETURN 8; END $$")
	s.onPrimary(reader, "SELECT f_changes()")
	c.query("ALTER FUNCTION f_stable() VOLATILE")
	s.onPrimary(reader, "SELECT f_stable()")
	c.query("ALTER FUNCTION f_stable() STABLE")
	s.sync()
	s.isKnown(s.client(), "f_stable")
	reader.query("BEGIN; DROP FUNCTION f_stable(); COMMIT")
	s.onPrimary(s.client(), "SELECT f_stable()")
}

// isKnown waits until functions are known to have no effects: their catalog is read behind the definition.
func (s *pgStage) isKnown(c *pgPeer, functions ...string) {
	s.Helper()
	for _, name := range functions {
		eventually(s.ctx, s.T, name+"() isn't known", func() error {
			if took := s.took(func() { c.query("SELECT " + name + "()") }); took[0] > 0 {
				return fmt.Errorf("the servers took %v requests", took)
			}
			return nil
		})
	}
}

func pgHiddenFunctions(s *pgStage) {
	s.sync()
	c := s.client()
	s.onPrimary(c, "SELECT id FROM t WHERE id < nextval('seq')", "SELECT t.id FROM t JOIN a ON a.id = setval('seq', 5)", "SELECT id FROM t LIMIT (SELECT nextval('seq'))",
		"SELECT id FROM t OFFSET (SELECT nextval('seq'))", "SELECT id FROM t ORDER BY nextval('seq')", "SELECT count(*) FILTER (WHERE nextval('seq') > 0) FROM t",
		"SELECT id FROM t GROUP BY id HAVING nextval('seq') > 0", "SELECT sum(id) OVER (ORDER BY nextval('seq')) FROM t", "SELECT * FROM nextval('seq')",
		"SELECT * FROM ROWS FROM (nextval('seq'), generate_series(1, 2)) x", "SELECT CASE WHEN true THEN nextval('seq') END", "SELECT coalesce(NULL, nextval('seq'))",
		"SELECT ARRAY[nextval('seq')]", "SELECT (SELECT nextval('seq'))", "SELECT id FROM t WHERE EXISTS (SELECT nextval('seq'))", "VALUES (nextval('seq'))",
		"SELECT ROW(nextval('seq'))", "SELECT nextval('seq')::text", "SELECT - nextval('seq')", "SELECT id FROM t UNION ALL SELECT nextval('seq')", "SELECT pg_catalog.nextval('seq')",
		`SELECT "nextval"('seq')`, `SELECT U&"next\0076al"('seq')`, "SELECT pg_catalog . nextval /* x */ ('seq')", "SELECT nextval ('seq')",
		"EXPLAIN ANALYZE SELECT nextval('seq')", "COPY (SELECT nextval('seq')) TO STDOUT", "SELECT query_to_xml('SELECT nextval(''seq'')', true, true, '')")

	// Views, operators, casts and row security hide functions. On a replica they can't write; what fails there is run on the primary.
	c.query("CREATE OR REPLACE VIEW hides AS SELECT nextval('seq') AS n")
	c.query("CREATE OR REPLACE FUNCTION f_op(int, int) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN INSERT INTO a (k) VALUES ($1); RETURN 1; END $$")
	c.query("DROP OPERATOR IF EXISTS === (int, int)")
	c.query("CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = f_op)")
	c.query("TRUNCATE a; SELECT setval('seq', 100)")
	s.sync()
	s.client().wants("SELECT n FROM hides", "101")
	s.client().wants("SELECT n FROM hides", "102")
	for n, write := range [][]string{{"SELECT 64 === 1"}, {"SELECT 64 === 1"}, {"BEGIN", "SELECT 64 === 1", "COMMIT"}} {
		fresh := s.client()
		for _, sql := range write {
			fresh.query(sql)
		}
		for range 5 {
			fresh.wants("SELECT count(*) FROM a WHERE k = 64", fmt.Sprint(n+1))
		}
	}
}

func pgUnparsed(s *pgStage) {
	c := s.client()
	// Valid, and not read by the parser; invalid, and the server's to refuse.
	s.onPrimary(c, "SELECT id IS NULL IS NULL FROM t", "SELEKT 1", "SELECT FROM WHERE", "frobnicate", "SELECT 'unterminated", "SELECT (", "SELECT 1 /* unterminated", "SELECT $$unterminated")
	for _, sql := range []string{"SELECT id IS NULL IS NULL FROM t", "SELEKT 1", "SELECT 'unterminated", "SELECT 1 /* unterminated", "frobnicate; SELECT 1"} {
		direct := s.dial(s.top.Primary().Addr())
		want, err := direct.Query(sql)
		must(s.T, err)
		got, err := c.Query(sql)
		must(s.T, err)
		if fmt.Sprint(got.Masked()) != fmt.Sprint(want.Masked()) {
			s.Errorf("%s: got %s %v, want %s %v", sql, got.Shape(), got.Err(), want.Shape(), want.Err())
		}
	}
	must(s.T, c.Close()) // what can't be read may have left anything behind
	s.pinnedTo("", 0)
}

func pgReadOnlyTx(s *pgStage) {
	s.sync()
	c := s.client()
	inTx := func(c *pgPeer, primary bool, begin ...string) {
		s.Helper()
		took := s.took(func() {
			for _, sql := range begin {
				c.query(sql)
			}
			for range 4 {
				c.wants("SELECT count(*) FROM t", "5", "SELECT v FROM t WHERE id = 2", "v2")
			}
			c.query("COMMIT")
		})
		servers := 0
		for _, n := range took {
			if n > 0 {
				servers++
			}
		}
		if servers != 1 || (took[0] > 0) != primary {
			s.Errorf("%q: the servers took %v requests, want one of them, the primary: %v", begin, took, primary)
		}
	}
	inTx(c, true, "BEGIN")
	inTx(c, true, "BEGIN ISOLATION LEVEL SERIALIZABLE")
	inTx(c, true, "BEGIN READ WRITE")
	for range 3 {
		inTx(c, false, "BEGIN READ ONLY")
		inTx(c, false, "START TRANSACTION READ ONLY")
		inTx(c, false, "begin transaction isolation level repeatable read, read only")
		inTx(c, false, "START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
	}
	c.query("SET default_transaction_read_only = on")
	inTx(c, false, "BEGIN")
	inTx(c, true, "BEGIN READ WRITE")
	c.query("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
	inTx(c, true, "BEGIN")
	c.query("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
	inTx(c, false, "BEGIN")
	c.query("RESET ALL")
	inTx(c, true, "BEGIN")
	inTx(s.client("default_transaction_read_only=on"), false, "BEGIN")
}

func pgMisrouted(s *pgStage) {
	s.healPgReplicas()
	c := s.client()
	lies := fmt.Sprintf("f_lies_%d", time.Now().UnixNano()) // what a replica refused once is remembered
	c.query("CREATE OR REPLACE FUNCTION " + lies + "() RETURNS int LANGUAGE sql STABLE AS 'SELECT 67'")
	s.sync()
	reader := s.client()
	s.isKnown(reader, lies)
	// Changed behind Leat's back: a replica refuses it, and the primary runs it, once.
	s.atPrimary("CREATE OR REPLACE FUNCTION " + lies + "() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.a (k) VALUES (67); RETURN 68; END $$; DELETE FROM a WHERE k = 67")
	s.sync()
	retries := s.leat.Metric(s.ctx, "leat_retries_total")
	for _, i := range s.replicas() { // the write is read at once all the same
		must(s.T, s.top.StopReplication(s.ctx, i))
	}
	reader.wants("SELECT "+lies+"()", "68", "SELECT count(*) FROM a WHERE k = 67", "1")
	if got := s.leat.Metric(s.ctx, "leat_retries_total") - retries; got < 1 {
		s.Errorf("%v requests were sent again, want one", got)
	}
	s.onPrimary(s.client(), "SELECT "+lies+"()") // remembered

	// In a read only transaction the refusal is the client's own.
	tx := s.client()
	tx.query("BEGIN READ ONLY")
	tx.query("SELECT 1")
	tx.fails("INSERT INTO a (k) VALUES (1)", "25006")
	tx.fails("SELECT 1", "25P02")
	if got := tx.query("COMMIT").Tags(); len(got) != 1 || got[0] != "ROLLBACK" {
		s.Errorf("COMMIT: got %q, want ROLLBACK", got)
	}
	tx.query("INSERT INTO a (k) VALUES (69)")
}

func pgHints(s *pgStage) {
	s.sync()
	c := s.client()
	s.onReplica(c, "/* leat: consistency=eventual */ SELECT 1", "SELECT '/* leat: consistency=session */'", "SELECT $$/* leat: consistency=session */$$",
		`SELECT 1 AS "/* leat: consistency=session */"`, "SELECT '/*' || 'x' -- leat: consistency=session */")
	c.fails("/* leat: consistency=nosuch */ SELECT 1", "22023")
	// What the server gets is what was sent, byte for byte.
	const begin = "/* leat: consistency=session */ /* a: 'b' */  SELECT\t query, 'é', $$x$$ -- comment\n FROM pg_stat_activity"
	for _, sql := range []string{begin + " WHERE pid = pg_backend_pid()", begin + "  WHERE /*+ hint */ pid\n= pg_backend_pid ()"} {
		c.wants(sql, sql)
		r, err := c.Do(rawpostgres.Parse("", sql), rawpostgres.Bind("", "", nil), rawpostgres.Execute("", 0), rawpostgres.Sync())
		must(s.T, err)
		if got := r.Value(); got != sql {
			s.Errorf("extended: got %q (%v), want %q", got, r.Err(), sql)
		}
	}
}

func pgCatalogs(s *pgStage) {
	s.sync()
	s.onPrimary(s.client(), "SELECT count(*) FROM pg_class", "SELECT count(*) FROM pg_catalog.pg_attribute", "SELECT count(*) FROM information_schema.tables", "SELECT 't'::regclass", "SELECT CAST('t' AS regclass)",
		"SELECT to_regclass('t')", "SELECT pg_stat_get_activity(0)", "SELECT count(*) FROM pg_stat_activity", "SELECT pg_table_size('t')")
	c := s.client()
	c.query("DROP TABLE IF EXISTS made; CREATE TABLE made (x int)")
	c.wants("SELECT count(*) FROM pg_class WHERE relname = 'made'", "1", "SELECT count(*) FROM information_schema.tables WHERE table_name = 'made'", "1")

	psql, err := exec.LookPath("psql")
	need(s.T, true, err)
	host, port, _ := strings.Cut(s.leat.Addr, ":")
	cmd := exec.Command(psql, "-X", "-h", host, "-p", port, "-U", localdb.AppUser, "-d", pgStageDatabase, "-c", `\d t`, "-c", `\dt`, "-c", `\df`)
	cmd.Env = append(cmd.Environ(), "PGPASSWORD="+localdb.AppPassword)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "t_pkey") || !strings.Contains(string(out), "made") {
		s.Errorf("psql: %v\n%s", err, out)
	}
}

func pgTemporary(s *pgStage) {
	c := s.client()
	c.query("CREATE TEMPORARY TABLE mine AS SELECT 70 AS x")
	s.pinnedTo("temporary table", 1)
	s.onPrimary(c, "SELECT x FROM mine", "SELECT 1")
	c.query("DROP TABLE mine")
	s.pinnedTo("", 0)

	// A replica has no unlogged tables to read.
	c.query("DROP TABLE IF EXISTS unlogged; CREATE UNLOGGED TABLE unlogged AS SELECT 71 AS x")
	s.sync()
	for range 3 {
		fresh := s.client()
		fresh.wants("SELECT x FROM unlogged", "71", "SELECT u.x FROM t JOIN unlogged u ON t.id = 1", "71")
		r, err := fresh.Do(rawpostgres.Parse("", "SELECT x FROM unlogged"), rawpostgres.Bind("", "", nil), rawpostgres.Execute("", 0), rawpostgres.Sync())
		if err != nil || r.Value() != "71" {
			s.Errorf("extended: got %q, %v, want 71", r.Value(), r.Err())
		}
	}
}

func pgSessionAttrs(s *pgStage) {
	c := s.client()
	c.wants("SHOW transaction_read_only", "off", "SELECT pg_is_in_recovery()", "f", "SHOW in_hot_standby", "off", "SHOW default_transaction_read_only", "off")
	for name, want := range map[string]string{"in_hot_standby": "off", "default_transaction_read_only": "off"} {
		if got := c.Greeting.Params()[name]; got != want {
			s.Errorf("%s is %q at log-in, want %q", name, got, want)
		}
	}
	s.sync()
	r := s.client().query("SELECT count(*) FROM t")
	if got := r.Params(); len(got) > 0 {
		s.Errorf("a read on a replica tells %v", got)
	}
	psql, err := exec.LookPath("psql")
	need(s.T, true, err)
	host, port, _ := strings.Cut(s.leat.Addr, ":")
	for _, attrs := range []string{"read-write", "primary", "any", "prefer-standby"} {
		cmd := exec.Command(psql, "-XAtc", "SELECT 1", fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=%s target_session_attrs=%s",
			host, port, localdb.AppUser, localdb.AppPassword, pgStageDatabase, attrs))
		if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "1" {
			s.Errorf("target_session_attrs=%s: %v %s", attrs, err, out)
		}
	}
}

func pgSeveral(s *pgStage) {
	s.sync()
	c := s.client()
	s.goes(c, true, true, []string{
		"SELECT 1; INSERT INTO a (k) VALUES (72)", "INSERT INTO a (k) VALUES (72); SELECT count(*) FROM a", "SELECT 1; SELECT 2; DELETE FROM a WHERE k = 72", "SELECT 1; SELECT nextval('seq')",
		"BEGIN; SELECT 1; COMMIT", "SELECT 1; frobnicate",
	})
	c.query("DELETE FROM a")
	c.fails("INSERT INTO a (k) VALUES (1); INSERT INTO a (k) VALUES (2); SELECT 1/0", "22012")
	c.wants("SELECT count(*) FROM a", "0", "INSERT INTO a (k) VALUES (3); SELECT count(*) FROM a", "1")
}
