// What an application does with Node's mysql2: node check.js PORT, with mysql2 in NODE_PATH.
const assert = require('assert');
const mysql = require('mysql2/promise');

async function main() {
  const pool = mysql.createPool({
    host: '127.0.0.1', port: Number(process.argv[2]), user: 'app', password: 'app-secret',
    database: 'leat_clients', connectionLimit: 4,
  });
  await pool.query('DROP TABLE IF EXISTS node');
  await pool.query('CREATE TABLE node (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40), b BLOB, d DATETIME)');
  const conn = await pool.getConnection();
  for (let i = 0; i < 20; i++) {
    const day = new Date(2024, 1, i + 1);
    const [done] = await conn.execute('INSERT INTO node (v, b, d) VALUES (?, ?, ?)', [`ä😀${i}`, Buffer.from([0, 255]), day]);
    assert.strictEqual(done.insertId, i + 1);
    const [rows] = await conn.execute('SELECT v, b, d FROM node WHERE id = ?', [i + 1]);
    assert.deepStrictEqual({ ...rows[0] }, { v: `ä😀${i}`, b: Buffer.from([0, 255]), d: day });
  }
  await conn.beginTransaction();
  await conn.query('DELETE FROM node');
  await conn.rollback();
  const [[{ n }]] = await conn.query('SELECT COUNT(*) AS n FROM node');
  assert.strictEqual(n, 20);
  await assert.rejects(conn.execute('INSERT INTO node (id) VALUES (1)'), { errno: 1062 });
  conn.release();
  const all = await Promise.all([...Array(50).keys()].map((i) => pool.execute('SELECT ? + 1 AS x', [i])));
  all.forEach(([rows], i) => assert.strictEqual(Number(rows[0].x), i + 1));
  await pool.end();
  console.log('all is well');
}

main().catch((e) => { console.error(e); process.exit(1); });
