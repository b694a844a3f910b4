// What an application does with Node's pg: node check_pg.js PORT, with pg and pg-cursor in NODE_PATH.
// Prints what it was told, to be compared with what another server told it.
const { Pool, Client } = require('pg');
const Cursor = require('pg-cursor');

const login = { host: '127.0.0.1', port: Number(process.argv[2]), user: 'app', password: 'app-secret', database: 'leat_clients' };
const say = (...what) => console.log(JSON.stringify(what));
const error = (e) => say(e.code, e.message, e.detail, e.position, e.constraint, e.routine);

async function rows(pool) {
  await pool.query('DROP TABLE IF EXISTS node');
  await pool.query('CREATE TABLE node (id serial PRIMARY KEY, v text, b bytea, d timestamptz, j jsonb, a int[])');
  const c = await pool.connect();
  for (let i = 0; i < 12; i++) {
    const made = await c.query('INSERT INTO node (v, b, d, j, a) VALUES ($1, $2, $3, $4, $5) RETURNING id',
      [`ä😀${i}`, Buffer.from([0, 255]), new Date(Date.UTC(2024, 1, i + 1)), { n: i }, [i, -i]]);
    const got = await c.query({ name: 'by id', text: 'SELECT * FROM node WHERE id = $1', values: [made.rows[0].id] });
    say(got.rows, got.command, got.rowCount);
  }
  say((await c.query('SELECT 1 AS a; SELECT 2 AS b')).map((r) => r.rows));
  say((await c.query({ text: 'SELECT id, v FROM node ORDER BY id LIMIT 2', rowMode: 'array' })).rows);
  for (const bad of ['SELEC 1', 'SELECT 1 / 0', 'INSERT INTO node (id) VALUES (1)']) {
    await c.query(bad).catch(error);
    await c.query(bad + ' -- $1', []).catch(error);
  }
  await c.query({ name: 'bad', text: 'SELECT $1::int', values: ['x'] }).catch(error);
  await c.query('BEGIN');
  await c.query('DELETE FROM node');
  await c.query('SELECT 1 / 0').catch(error);
  await c.query('SELECT 1').catch(error);
  await c.query('ROLLBACK');
  say((await c.query('SELECT count(*) FROM node')).rows);
  c.release();
}

async function cursors(pool) {
  const c = await pool.connect();
  const cursor = c.query(new Cursor('SELECT n FROM generate_series(1, $1::int) n', [100]));
  say(await cursor.read(3), await cursor.read(4), (await cursor.read(1000)).length);
  await cursor.close();
  const left = c.query(new Cursor('SELECT n FROM generate_series(1, 100) n'));
  say(await left.read(5));
  await left.close();
  say((await c.query('SELECT $1::text', ['after the cursors'])).rows);
  c.release();
}

async function listens() {
  const a = new Client(login), b = new Client({ ...login, options: '-c search_path=pg_catalog', statement_timeout: 60000, application_name: 'node' });
  await a.connect();
  await b.connect();
  await a.query('LISTEN weather');
  const heard = new Promise((resolve) => a.once('notification', resolve));
  await b.query("NOTIFY weather, 'rain'");
  const n = await heard;
  say(n.channel, n.payload);
  say((await b.query('SHOW search_path')).rows, (await b.query('SHOW statement_timeout')).rows, (await b.query('SHOW application_name')).rows);
  await a.end();
  await b.end();
}

async function main() {
  const pool = new Pool({ ...login, max: 8 });
  await rows(pool);
  await cursors(pool);
  const all = await Promise.all([...Array(300).keys()].map((i) => pool.query(i % 3
    ? { name: `q${i % 7}`, text: `SELECT $1::int AS n, 'text ${i % 7}' AS t`, values: [i] }
    : { text: `SELECT $1::int AS n, 'text ${i % 7}' AS t`, values: [i] })));
  all.forEach((r, i) => say(r.rows[0].n === i, r.rows[0].t));
  await listens();
  await pool.end();
  console.log('all is well');
}

main().catch((e) => { console.error(e); process.exit(1); });
