DO $$ DECLARE s text; BEGIN
  FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', s);
  END LOOP;
END $$;
CREATE SCHEMA public AUTHORIZATION app;
CREATE SCHEMA other AUTHORIZATION app;
SET ROLE app;
GRANT USAGE ON SCHEMA public TO app_reader;
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, age int, born date DEFAULT '2000-01-01');
INSERT INTO users VALUES (1, 'ann', 31), (2, 'bob', NULL), (3, 'cleo', 28), (4, 'dan', 45);
CREATE TABLE features (tenant_id int, key text, value double precision, at timestamptz DEFAULT '2024-05-01 12:00:00+00', PRIMARY KEY (tenant_id, key));
INSERT INTO features SELECT t, 'k' || k, t * 10 + k FROM generate_series(1, 3) t, generate_series(1, 20) k;
CREATE TABLE t (id int PRIMARY KEY, x text);
CREATE TABLE deferred (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE SEQUENCE seq;
CREATE TABLE other.users (id int PRIMARY KEY, name text NOT NULL, other boolean DEFAULT true);
INSERT INTO other.users VALUES (1, 'zoe');
CREATE FUNCTION volatile_write(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.t VALUES (n, 'f'); RETURN n; END $$;
CREATE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'boom' USING ERRCODE = 'LT001', DETAIL = 'a detail', HINT = 'a hint'; END $$;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO app_reader;
