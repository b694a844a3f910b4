"""What an application does with PyMySQL, or with SQLAlchemy over it: check.py pymysql|sqlalchemy PORT"""
import sys

import pymysql

port = int(sys.argv[2])
login = dict(host="127.0.0.1", port=port, user="app", password="app-secret")


def expect(got, want):
    if got != want:
        raise SystemExit(f"got {got!r}, want {want!r}")


def with_pymysql():
    conn = pymysql.connect(database="leat_clients", charset="utf8mb4", **login)
    with conn.cursor() as c:
        c.execute("DROP TABLE IF EXISTS py")
        c.execute("CREATE TABLE py (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40), b BLOB, f DOUBLE)")
        for i in range(20):  # reads its own writes
            c.execute("INSERT INTO py (v, b, f) VALUES (%s, %s, %s)", (f"ä😀{i}", bytes([0, 255, 39, 92]), i / 3))
            expect(c.lastrowid, i + 1)
            conn.commit()
            c.execute("SELECT v, b, f FROM py WHERE id = %s", (i + 1,))
            expect(c.fetchone(), (f"ä😀{i}", bytes([0, 255, 39, 92]), i / 3))
        conn.rollback()
        c.execute("UPDATE py SET v = NULL")
        conn.rollback()
        c.execute("SELECT COUNT(*) FROM py WHERE v IS NULL")
        expect(c.fetchone(), (0,))
        try:
            c.execute("INSERT INTO py (id) VALUES (1)")
            raise SystemExit("a duplicate was accepted")
        except pymysql.err.IntegrityError as e:
            expect(e.args[0], 1062)
        c.executemany("INSERT INTO py (v) VALUES (%s)", [("m",)] * 50)
        expect(c.rowcount, 50)
        c.callproc("p_out", (4, 0))
        expect(c.fetchall(), ((4,),))
        c.nextset()
        c.execute("SELECT @_p_out_1")
        expect(c.fetchone(), (8,))
    conn.commit()
    conn.ping()
    conn.close()


def with_sqlalchemy():
    import sqlalchemy as sa

    engine = sa.create_engine(f"mysql+pymysql://app:app-secret@127.0.0.1:{port}/leat_clients?charset=utf8mb4", pool_size=2)
    meta = sa.MetaData()
    table = sa.Table("sqla", meta, sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.String(40)))
    meta.drop_all(engine)
    meta.create_all(engine)
    for i in range(20):
        with engine.begin() as conn:
            conn.execute(table.insert().values(v=f"ä{i}"))
        with engine.connect() as conn:
            expect(conn.execute(sa.select(table.c.v).where(table.c.id == i + 1)).scalar(), f"ä{i}")
    try:
        with engine.begin() as conn:
            conn.execute(table.delete())
            raise KeyError
    except KeyError:
        pass
    with engine.connect() as conn:
        expect(conn.execute(sa.select(sa.func.count()).select_from(table)).scalar(), 20)
    expect("sqla" in sa.inspect(engine).get_table_names(), True)
    engine.dispose()


{"pymysql": with_pymysql, "sqlalchemy": with_sqlalchemy}[sys.argv[1]]()
print("all is well")
