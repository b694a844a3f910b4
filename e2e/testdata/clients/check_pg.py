"""What an application does with a PostgreSQL driver: check_pg.py DRIVER PORT, where the drivers are at the end.

Prints what it was told, to be compared with what another server told it."""
import asyncio
import datetime
import decimal
import select
import sys

driver, port = sys.argv[1], int(sys.argv[2])
login = dict(host="127.0.0.1", port=port, user="app", password="app-secret")
database = "leat_clients"
DAY = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc)
TABLE = "id serial PRIMARY KEY, v text UNIQUE, b bytea, f float8, n numeric, at timestamptz, a int[], j jsonb"


def say(*what):
    print(*what, flush=True)


def error(e):
    """All that the server says of an error."""
    d = e.diag
    say(type(e).__name__, d.sqlstate, d.message_primary, d.message_detail, d.statement_position, d.table_name, d.constraint_name)


def both(psycopg, conn, json):
    """What goes for psycopg2 and psycopg alike."""
    c = conn.cursor()
    c.execute("DROP TABLE IF EXISTS py")
    c.execute(f"CREATE TABLE py ({TABLE})")
    conn.commit()
    for i in range(12):
        c.execute(
            "INSERT INTO py (v, b, f, n, at, a, j) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
            (f"ä😀'{i}", bytes([0, 255, 39, 92]), i / 3, decimal.Decimal(i) / 7, DAY + datetime.timedelta(i), [i, -i], json({"n": i})),
        )
        (number,) = c.fetchone()
        conn.commit()
        c.execute("SELECT v, b, f, n, at, a, j FROM py WHERE id = %s", (number,))
        say([bytes(x) if isinstance(x, memoryview) else x for x in c.fetchone()], c.statusmessage)
    conn.rollback()
    c.execute("UPDATE py SET v = NULL")
    say(c.rowcount, c.statusmessage)
    conn.rollback()
    c.execute("SELECT count(*) FROM py WHERE v IS NULL")
    say(c.fetchone())
    for bad in ("INSERT INTO py (id) VALUES (1)", "SELECT 'after the error'", "SELEC 1", "SELECT * FROM missing"):
        try:
            c.execute(bad)
        except psycopg.Error as e:
            error(e)
        if bad.startswith("SELECT '"):
            conn.rollback()
    conn.rollback()
    c.executemany("INSERT INTO py (v) VALUES (%s)", [(f"m{i}",) for i in range(50)])
    c.execute("SELECT count(*), min(v) FROM py")
    say(c.fetchone())
    conn.commit()
    named = conn.cursor("mine")
    named.itersize = 7
    named.execute("SELECT n FROM generate_series(1, 100) n")
    say(named.fetchone(), named.fetchmany(5), sum(n for (n,) in named))
    named.close()
    scrolling = conn.cursor("back", scrollable=True)
    scrolling.execute("SELECT n FROM generate_series(1, 10) n")
    scrolling.scroll(5)
    say(scrolling.fetchone())
    scrolling.scroll(-3)
    say(scrolling.fetchone())
    conn.commit()
    held = conn.cursor("held", withhold=True)
    held.execute("SELECT n FROM generate_series(1, 10) n")
    conn.commit()
    say(held.fetchall())
    held.close()
    conn.commit()
    conn.autocommit = True
    c.execute("SET search_path = pg_catalog, public")
    c.execute("SHOW search_path")
    say(c.fetchone())
    c.execute("RESET search_path")
    c.execute("LISTEN weather")
    other = psycopg.connect(dbname=database, **login)
    other.cursor().execute("NOTIFY weather, 'rain'")
    other.commit()
    other.close()


def told(conn):
    """Waits for a notification, on the socket alone."""
    while not conn.notifies:
        select.select([conn], [], [])
        conn.poll()
    n = conn.notifies.pop(0)
    say("told", n.channel, n.payload)


def with_psycopg2():
    import io

    import psycopg2
    import psycopg2.extensions
    import psycopg2.extras

    conn = psycopg2.connect(dbname=database, **login)
    both(psycopg2, conn, psycopg2.extras.Json)
    told(conn)
    say(conn.get_parameter_status("server_encoding"), conn.server_version, conn.encoding, conn.info.transaction_status)
    c = conn.cursor()
    c.copy_expert("COPY py (v) FROM STDIN", io.StringIO("copied\n" * 1 + "x\\ty\n"))
    out = io.StringIO()
    c.copy_expert("COPY (SELECT v FROM py WHERE id > 60) TO STDOUT WITH CSV", out)
    say(out.getvalue())
    try:
        c.copy_expert("COPY py (v) FROM STDIN", io.StringIO("copied\n"))
    except psycopg2.Error as e:
        error(e)
    psycopg2.extras.execute_values(c, "INSERT INTO py (v) VALUES %s", [(f"v{i}",) for i in range(300)])
    psycopg2.extras.execute_batch(c, "UPDATE py SET f = %s WHERE v = %s", [(i, f"v{i}") for i in range(300)])
    c.execute("SELECT sum(f) FROM py")
    say(c.fetchone())
    for level in ("READ COMMITTED", "SERIALIZABLE", "REPEATABLE READ"):
        conn.autocommit = False
        conn.set_session(isolation_level=level, readonly=True)
        c.execute("SHOW transaction_isolation")
        say(c.fetchone())
        try:
            c.execute("DELETE FROM py")
        except psycopg2.Error as e:
            error(e)
        conn.rollback()
    conn.set_session(isolation_level="DEFAULT", readonly=False)
    conn.tpc_begin(conn.xid(1, "leat_py", "b"))
    c.execute("INSERT INTO py (v) VALUES ('two phases')")
    conn.tpc_prepare()
    conn.tpc_commit()
    c.execute("SELECT count(*) FROM py WHERE v = 'two phases'")
    say(c.fetchone())
    conn.commit()
    large = conn.lobject(0, "wb")
    large.write(b"large" * 1000)
    number = large.oid
    conn.commit()
    large = conn.lobject(number, "rb")
    large.seek(4990)
    say(large.read())
    large.unlink()
    conn.commit()
    conn.reset()
    conn.close()


def with_psycopg():
    import psycopg
    import psycopg.types.json

    conn = psycopg.connect(dbname=database, **login)
    both(psycopg, conn, psycopg.types.json.Jsonb)
    for n in conn.notifies():
        say("told", n.channel, n.payload)
        break
    conn.add_notify_handler(lambda n: say("told", n.channel, n.payload))
    conn.execute("NOTIFY weather, 'sun'")
    conn.prepare_threshold = 2
    conn.prepared_max = 3
    for i in range(60):  # prepared, and thrown out again
        say(conn.execute(f"SELECT %s::int, 'text {i * 3 % 5}'", (i,)).fetchone())
    conn.execute("SELECT count(*) FROM py WHERE id = %s", (1,), prepare=True)
    conn.prepare_threshold = None
    with conn.transaction():
        say(conn.execute("SELECT v FROM py WHERE id = %b", (3,), binary=True).fetchone())
        try:
            with conn.transaction():
                conn.execute("INSERT INTO py (id) VALUES (1)")
        except psycopg.errors.UniqueViolation as e:
            error(e)
        with conn.transaction("named"):
            conn.execute("DELETE FROM py WHERE id = 12")
            raise psycopg.Rollback()
    say(conn.execute("SELECT count(*) FROM py").fetchone())
    with conn.pipeline() as p:
        cursors = [conn.execute("SELECT %s::int * 2", (i,)) for i in range(100)]
        p.sync()
        say([c.fetchone()[0] for c in cursors])
        bad = conn.cursor()
        try:
            bad.execute("SELECT 1 / %s", (0,))
            after = conn.execute("SELECT 'after the error'")
            p.sync()
            after.fetchone()
        except psycopg.Error as e:
            say(type(e).__name__, str(e))
    say(conn.execute("SELECT 'after the pipeline'").fetchone())
    with conn.pipeline():
        with conn.transaction():
            conn.cursor().executemany("INSERT INTO py (v) VALUES (%s)", [(f"p{i}",) for i in range(300)])
    c = conn.cursor()
    c.executemany("INSERT INTO py (v) VALUES (%s) RETURNING v", [("r1",), ("r2",)], returning=True)
    say(c.fetchall(), c.nextset(), c.fetchall())
    for how in ("", "(FORMAT BINARY)"):
        with c.copy(f"COPY py (v, f) FROM STDIN {how}") as copy:
            if how:
                copy.set_types(["text", "float8"])
            for i in range(1000):
                copy.write_row((f"copied{how}{i}", i / 2))
        say(c.rowcount)
        with c.copy(f"COPY (SELECT v, f FROM py WHERE v LIKE 'copied%' ORDER BY id DESC LIMIT 3) TO STDOUT {how}") as copy:
            if how:
                copy.set_types(["text", "float8"])
            say(list(copy.rows()))
    try:
        with c.copy("COPY py (v) FROM STDIN") as copy:
            copy.write_row(("never",))
            raise KeyError
    except psycopg.errors.QueryCanceled as e:
        error(e)
        say("the copy was given up", conn.execute("SELECT count(*) FROM py WHERE v = 'never'").fetchone())
    conn.execute("SET app.tenant = 'a'")
    for _ in range(3):
        say(conn.execute("SELECT current_setting('app.tenant')").fetchone())
    conn.close()
    with psycopg.connect(dbname=database, autocommit=True, options="-c search_path=pg_catalog,public -c work_mem=5MB", **login) as other:
        say(other.execute("SHOW search_path").fetchone(), other.execute("SHOW work_mem").fetchone())
        other.read_only = True
        with other.transaction():
            say(other.execute("SHOW transaction_read_only").fetchone())
        server = other.execute("SELECT 1; SELECT 2")
        say(server.fetchall(), server.nextset(), server.fetchall())
    asyncio.run(psycopg_async(psycopg))


async def psycopg_async(psycopg):
    conn = await psycopg.AsyncConnection.connect(dbname=database, autocommit=True, **login)
    running = asyncio.create_task(conn.execute("SELECT pg_sleep(30)"))
    while not running.done():  # until the cancel comes while it runs
        await asyncio.sleep(0.05)
        conn.cancel()
    try:
        await running
    except psycopg.Error as e:
        error(e)
    say(await (await conn.execute("SELECT 'all is well'")).fetchone())
    await conn.close()


async def with_asyncpg():
    import asyncpg

    conn = await asyncpg.connect(database=database, **login)
    await conn.execute("DROP TABLE IF EXISTS apg; CREATE TABLE apg (id serial PRIMARY KEY, v text UNIQUE, at timestamptz, a int[], n numeric)")
    for i in range(12):
        number = await conn.fetchval("INSERT INTO apg (v, at, a, n) VALUES ($1, $2, $3, $4) RETURNING id", f"ä{i}", DAY, [i, -i], decimal.Decimal(i))
        say(await conn.fetchrow("SELECT * FROM apg WHERE id = $1", number))
    for i in range(150):  # more than its cache of statements holds
        say(await conn.fetchval(f"SELECT $1::int + {i}", i))
    await conn.executemany("INSERT INTO apg (v) VALUES ($1)", [(f"m{i}",) for i in range(500)])
    stmt = await conn.prepare("SELECT v FROM apg WHERE id = ANY($1::int[]) ORDER BY id")
    say(stmt.get_parameters(), [a.name for a in stmt.get_attributes()], await stmt.fetch([2, 3]), stmt.get_statusmsg())
    for bad in ("SELEC 1", "SELECT 1 / 0", "INSERT INTO apg (id) VALUES (1)"):
        try:
            await conn.fetch(bad)
        except asyncpg.PostgresError as e:
            say(type(e).__name__, e.as_dict())
    async with conn.transaction():
        cursor = await conn.cursor("SELECT n FROM generate_series(1, 100) n")
        say(await cursor.fetch(5), await cursor.forward(10), await cursor.fetchrow())
        say(sum([r["n"] async for r in conn.cursor("SELECT n FROM generate_series(1, 100) n", prefetch=7)]))
        try:
            async with conn.transaction():
                await conn.execute("DELETE FROM apg")
                raise KeyError
        except KeyError:
            pass
    for options in (dict(readonly=True), dict(isolation="serializable"), dict(isolation="serializable", readonly=True, deferrable=True)):
        async with conn.transaction(**options):
            say(await conn.fetchval("SHOW transaction_read_only"), await conn.fetchval("SHOW transaction_isolation"), await conn.fetchval("SELECT count(*) FROM apg"))
    say(await conn.copy_records_to_table("apg", records=[(f"copied {i}",) for i in range(1000)], columns=["v"]))
    try:
        await conn.copy_records_to_table("apg", records=[("copied 1",)], columns=["v"])
    except asyncpg.PostgresError as e:
        say(type(e).__name__, e.constraint_name)
    out = []

    async def keep(data):
        out.append(data)

    say(await conn.copy_from_query("SELECT v FROM apg WHERE id < 5 ORDER BY id", output=keep), b"".join(out))
    heard = asyncio.Queue()
    await conn.add_listener("weather", lambda c, pid, channel, payload: heard.put_nowait((channel, payload)))
    other = await asyncpg.connect(database=database, **login)
    await other.execute("NOTIFY weather, 'rain'")
    say(await heard.get())
    await conn.reset()
    await conn.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    say(await conn.fetchval("SELECT 'sad'::mood"), await conn.fetchval("SELECT array['happy']::mood[]"))
    await other.fetch("SELECT * FROM apg LIMIT 1")
    await conn.execute("ALTER TABLE apg ADD COLUMN more int DEFAULT 1; DROP TYPE mood")
    say(await other.fetchrow("SELECT * FROM apg LIMIT 1"))  # it prepares again by itself
    try:
        await other.fetch("SELECT pg_sleep(30)", timeout=0.1)
    except asyncio.TimeoutError:
        say("timed out")
    say(await other.fetchval("SELECT 'all is well'"))
    await other.close()
    await conn.close()
    pool = await asyncpg.create_pool(database=database, min_size=3, max_size=6, **login)

    async def task(i):
        async with pool.acquire() as c:
            await c.execute(f"SET app.number = '{i}'")
            async with c.transaction():
                return i, await c.fetchval("SELECT $1::int", i), await c.fetchval("SELECT current_setting('app.number')")

    say(sorted(await asyncio.gather(*(task(i) for i in range(60)))))
    await pool.close()


def with_feast():
    """The online store of Feast: its statements, texts and ways of sending them."""
    import struct

    import psycopg
    from psycopg import sql

    def key(driver, tenant):
        out = struct.pack("<I", 2)
        for name in (b"driver_id", b"tenant_id"):
            out += struct.pack("<II", 2, len(name)) + name
        return out + struct.pack("<IIq", 4, 8, driver) + struct.pack("<II", 2, len(tenant)) + tenant.encode()

    conn = psycopg.connect(dbname=database, sslmode="require", options="-c search_path=public", keepalives_idle=60, **login)
    table = "demo_driver_stats"
    conn.autocommit = False
    with conn.cursor() as c:
        c.execute(f'DROP TABLE IF EXISTS "{table}"')
        c.execute(
            sql.SQL(
                """
                CREATE TABLE IF NOT EXISTS {0}
                (
                    entity_key BYTEA, feature_name TEXT, value BYTEA, value_text TEXT NULL, vector_value BYTEA NULL,
                    event_ts TIMESTAMPTZ, created_ts TIMESTAMPTZ,
                    PRIMARY KEY(entity_key, feature_name)
                );
                CREATE INDEX IF NOT EXISTS {1} ON {0} (entity_key);
                """
            ).format(sql.Identifier(table), sql.Identifier(table + "_ek"))
        )
    conn.commit()
    for turn in range(3):
        conn.autocommit = False
        rows = [
            (key(d, f"t{d % 3}"), name, f"{turn} {d} {name}".encode(), None, None, DAY, DAY)
            for d in range(40)
            for name in ("conv_rate", "acc_rate", "trips")
        ]
        with conn.cursor() as c:
            c.execute("SELECT 1 FROM information_schema.columns WHERE table_name = %s AND column_name = %s", (table, "value_num"))
            say(c.fetchone())
            c.executemany(
                sql.SQL(
                    """
                    INSERT INTO {}
                    (entity_key, feature_name, value, value_text, vector_value, event_ts, created_ts)
                    VALUES (%s, %s, %s, %s, %s, %s, %s)
                    ON CONFLICT (entity_key, feature_name) DO
                    UPDATE SET
                        value = EXCLUDED.value,
                        value_text = EXCLUDED.value_text,
                        vector_value = EXCLUDED.vector_value,
                        event_ts = EXCLUDED.event_ts,
                        created_ts = EXCLUDED.created_ts;
                    """
                ).format(sql.Identifier(table)),
                rows,
            )
        conn.commit()
        conn.autocommit = True
        for d in range(12):  # from the sixth on by a named statement
            with conn.cursor() as c:
                c.execute(
                    sql.SQL(
                        """
                        SELECT entity_key, feature_name, value, event_ts
                        FROM {} WHERE entity_key = ANY(%s) AND feature_name = ANY(%s);
                        """
                    ).format(sql.Identifier(table)),
                    ([key(d, f"t{d % 3}"), key(d + 20, f"t{(d + 20) % 3}")], ["conv_rate", "trips"]),
                )
                say(sorted(c.fetchall()))
    conn.close()


def with_sqlalchemy(dialect):
    import sqlalchemy as sa

    engine = sa.create_engine(f"postgresql+{dialect}://app:app-secret@127.0.0.1:{port}/{database}", pool_size=2)
    meta = sa.MetaData()
    table = sa.Table("sqla", meta, sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.String(40)), sa.Column("j", sa.JSON))
    child = sa.Table("sqla_child", meta, sa.Column("id", sa.Integer, primary_key=True), sa.Column("parent", sa.ForeignKey("sqla.id"), index=True))
    meta.drop_all(engine)
    meta.create_all(engine)
    for i in range(20):
        with engine.begin() as conn:
            number = conn.execute(table.insert().values(v=f"ä{i}", j={"n": i})).inserted_primary_key[0]
            conn.execute(child.insert().values(parent=number))
        with engine.connect() as conn:
            say(conn.execute(sa.select(table.c.v, table.c.j).where(table.c.id == number)).one())
    with engine.begin() as conn:
        conn.execute(table.insert(), [{"v": f"m{i}"} for i in range(200)])
        try:
            with conn.begin_nested():
                conn.execute(child.insert().values(parent=-1))
        except sa.exc.IntegrityError as e:
            say(getattr(e.orig, 'pgcode', None) or e.orig.sqlstate)
        say(conn.execute(sa.select(sa.func.count()).select_from(table)).scalar())
    for level in ("AUTOCOMMIT", "SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"):
        with engine.connect().execution_options(isolation_level=level) as conn:
            say(level, conn.execute(sa.text("SHOW transaction_isolation")).scalar(), conn.get_isolation_level())
    with engine.connect().execution_options(postgresql_readonly=True) as conn:
        say(conn.execute(sa.select(sa.func.count()).select_from(child)).scalar())
    with engine.connect().execution_options(stream_results=True, max_row_buffer=7) as conn:
        say(sum(1 for _ in conn.execute(sa.select(table))))
    look = sa.inspect(engine)
    say(sorted(look.get_table_names()), look.get_columns("sqla_child"), look.get_foreign_keys("sqla_child"), look.get_indexes("sqla_child"), look.get_pk_constraint("sqla"))
    engine.dispose()


def with_sqlalchemy_asyncpg():
    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import create_async_engine

    async def run():
        engine = create_async_engine(f"postgresql+asyncpg://app:app-secret@127.0.0.1:{port}/{database}", pool_size=3)
        table = sa.Table("sqlasync", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.String(40)))
        async with engine.begin() as conn:
            await conn.run_sync(table.metadata.drop_all)
            await conn.run_sync(table.metadata.create_all)

        async def one(i):
            async with engine.begin() as conn:
                await conn.execute(table.insert().values(id=i, v=f"ä{i}"))
                return (await conn.execute(sa.select(table).where(table.c.id == i))).one()

        say(await asyncio.gather(*(one(i) for i in range(30))))
        async with engine.connect() as conn:
            say((await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar())
        await engine.dispose()

    asyncio.run(run())


{
    "psycopg2": with_psycopg2,
    "psycopg": with_psycopg,
    "feast": with_feast,
    "asyncpg": lambda: asyncio.run(with_asyncpg()),
    "sqlalchemy-psycopg2": lambda: with_sqlalchemy("psycopg2"),
    "sqlalchemy-psycopg": lambda: with_sqlalchemy("psycopg"),
    "sqlalchemy-asyncpg": with_sqlalchemy_asyncpg,
}[driver]()
say("all is well")
