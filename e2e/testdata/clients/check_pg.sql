-- What somebody does at psql's prompt.
\set ON_ERROR_STOP off
\set VERBOSITY verbose
DROP TABLE IF EXISTS cli CASCADE;
CREATE TABLE cli (id serial PRIMARY KEY, v text UNIQUE, n numeric DEFAULT 1.5 CHECK (n > 0));
CREATE INDEX ON cli (n);
CREATE VIEW cli_view AS SELECT id, v FROM cli WHERE n > 1;
COMMENT ON TABLE cli IS 'ä comment';
INSERT INTO cli (v) VALUES ('one'), ('zwei ä'), (NULL) RETURNING id, v;
\d
\dt+ cli*
\d cli
\d+ cli_view
\di
\dn
\df pg_catalog.lower
\du app
\l leat_clients
\dp cli
\sv cli_view
\echo :ROW_COUNT :SQLSTATE
SELECT * FROM cli ORDER BY id \gx
SELECT 'cli' AS t, id FROM cli WHERE id = 2 \gset
\echo :t :id
SELECT format('SELECT %L', v) FROM cli ORDER BY id \gexec
\copy cli (id, v) FROM pstdin WITH (FORMAT csv)
10,"quoted, ""value"""
11,plain
\.
\copy (SELECT id, v FROM cli ORDER BY id) TO pstdout WITH (FORMAT csv, HEADER)
COPY cli (id, v) FROM STDIN;
20	tab\tinside
21	\N
\.
COPY cli (id, v) FROM STDIN;
20	there already
\.
COPY cli TO STDOUT;
BEGIN;
DELETE FROM cli;
SELECT 1 / 0;
SELECT 'in a failed transaction';
ROLLBACK;
SELECT count(*) FROM cli;
\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO cli (v) VALUES ('kept');
INSERT INTO cli (v) VALUES ('kept');
COMMIT;
\set ON_ERROR_ROLLBACK off
SELECT v FROM cli WHERE v = 'kept';
\set AUTOCOMMIT off
UPDATE cli SET v = NULL;
ROLLBACK;
\set AUTOCOMMIT on
\set FETCH_COUNT 10
SELECT n FROM generate_series(1, 35) n;
\set FETCH_COUNT 0
SET search_path = pg_catalog;
SHOW search_path;
\d cli
RESET search_path;
SELECT 1 AS a\; SELECT 2 AS b\; SELECT 3 AS c;
\encoding latin1
SELECT 'é' = chr(233);
\encoding UTF8
\errverbose
\gdesc
SELECT id, v, n FROM cli \gdesc
DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'a warning'; END $$;
LISTEN gossip;
NOTIFY gossip, 'hear';
SELECT 'told';
UNLISTEN *;
PREPARE mine (int) AS SELECT v FROM cli WHERE id = $1;
EXECUTE mine (2);
DEALLOCATE mine;
EXPLAIN (COSTS OFF) SELECT * FROM cli WHERE id = 1;
SELECT lo_create(0) > 0 AS made;
DROP TABLE cli CASCADE;
