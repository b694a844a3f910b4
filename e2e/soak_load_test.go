package e2e

// The soak's clients: what each knows of its rows, and what it finds there.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	soakClients = 12
	soakRows    = 20 // of each client; the second half are pairs, which always have the same n
	soakTable   = "CREATE TABLE soak (id BIGINT PRIMARY KEY, owner INT NOT NULL, n BIGINT NOT NULL, payload VARCHAR(400) NOT NULL, sum BIGINT NOT NULL)"
	soakSelect  = "SELECT id, owner, n, payload, sum FROM soak WHERE id "
	// A statement whose outcome is unknown may still run later: it can't undo what came after it.
	soakUpdate = "UPDATE soak SET n = ?, payload = ?, sum = ? WHERE id = ? AND n < ?"
)

// ledger is what all clients report.
type ledger struct {
	phase atomic.Pointer[string] // the fault under way, or just over
	ops   atomic.Int64

	mu     sync.Mutex
	done   map[string]int // by kind of operation
	errors map[string]int // by phase, kind and number
	wrong  []string       // what must never be; the first ones
}

func newLedger() *ledger {
	l := &ledger{done: map[string]int{}, errors: map[string]int{}}
	l.setPhase(faults[0].name)
	return l
}

func (l *ledger) setPhase(name string) { l.phase.Store(&name) }

// note counts an operation.
func (l *ledger) note(kind string, err error) {
	l.ops.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[kind]++
	if err != nil {
		l.errors[fmt.Sprintf("%s: %s: %s", *l.phase.Load(), kind, shortError(err))]++
	}
}

// shortError is an error without the addresses and times in it.
func shortError(err error) string {
	code, message := errorCode(err)
	if code == "" {
		return "connection: " + err.Error()
	}
	text, _, _ := strings.Cut(message, ":")
	if i := strings.Index(text, "127.0.0.1"); i >= 0 {
		text = text[:i]
	}
	return fmt.Sprintf("%s %.60s", code, text)
}

// violation notes what must never be.
func (l *ledger) violation(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 20 {
		l.wrong = append(l.wrong, fmt.Sprintf("%s: ", *l.phase.Load())+fmt.Sprintf(format, args...))
	}
}

// soakClient is one client connection, with the rows that it alone writes.
type soakClient struct {
	ledger  *ledger
	dialect *soakDialect
	owner   int
	conn    *sql.Conn
	random  *rand.Rand
	next    int64 // the n of the next write
	// acked is each row's last acknowledged n; maybe are later ones whose outcome is unknown.
	acked [soakRows]int64
	maybe [soakRows]map[int64]bool
}

func newSoakClient(ctx context.Context, d *soakDialect, l *ledger, db *sql.DB, owner int) (*soakClient, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &soakClient{ledger: l, dialect: d, owner: owner, conn: conn, random: rand.New(rand.NewPCG(1, uint64(owner))), next: 2}
	for i := range c.acked {
		c.acked[i], c.maybe[i] = 1, map[int64]bool{}
		row := newSoakRow(c.owner, i, 1)
		_, err := conn.ExecContext(ctx, d.bind("INSERT INTO soak VALUES (?, ?, ?, ?, ?)"), row.id, row.owner, row.n, row.payload, row.sum)
		if err != nil {
			conn.Close()
			return nil, err
		}
	}
	return c, nil
}

// soakRow is a row that proves itself.
type soakRow struct {
	id      int64
	owner   int
	n       int64
	payload string
	sum     int64
}

func soakID(owner, i int) int64 { return int64(owner*1000 + i) }

func newSoakRow(owner, i int, n int64) soakRow {
	r := soakRow{id: soakID(owner, i), owner: owner, n: n}
	r.payload = strings.Repeat(string(rune('a'+n%26)), int(n*31%300))
	r.sum = r.checksum()
	return r
}

func (r *soakRow) checksum() int64 {
	return int64(crc32.ChecksumIEEE(fmt.Appendf(nil, "%d %d %d %s", r.id, r.owner, r.n, r.payload)))
}

func (r *soakRow) good() bool { return r.sum == r.checksum() && r.id/1000 == int64(r.owner) }

// run works until ctx ends, one operation for each turn.
func (c *soakClient) run(ctx context.Context, turns <-chan struct{}) {
	defer c.conn.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-turns:
		}
		switch p := c.random.IntN(100); {
		case p < 40:
			c.readOwn(c.random.IntN(soakRows))
		case p < 60:
			c.readOthers()
		case p < 70:
			c.readPair()
		case p < 90:
			i := c.random.IntN(soakRows / 2)
			c.write(i)
			c.readOwn(i)
		default:
			c.writePair()
			c.readPair()
		}
	}
}

// read selects rows and proves them. False: there was an error, which is counted.
func (c *soakClient) read(kind, where string, args ...any) ([]soakRow, bool) {
	rows, err := c.query(where, args...)
	c.ledger.note(kind, err)
	for i := range rows {
		if !rows[i].good() {
			c.ledger.violation("wrong answer: %+v", rows[i])
		}
	}
	return rows, err == nil
}

func (c *soakClient) query(where string, args ...any) (all []soakRow, err error) {
	rows, err := c.conn.QueryContext(context.Background(), c.dialect.bind(soakSelect+where), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r soakRow
		if err := rows.Scan(&r.id, &r.owner, &r.n, &r.payload, &r.sum); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// readOwn reads a row of its own, which must be as it was last written.
func (c *soakClient) readOwn(i int) {
	rows, ok := c.read("read", "= ?", soakID(c.owner, i))
	switch {
	case !ok:
	case len(rows) != 1 || rows[0].id != soakID(c.owner, i):
		c.ledger.violation("wrong answer: %d rows for id %d", len(rows), soakID(c.owner, i))
	default:
		c.check("stale read", i, rows[0].n)
	}
}

// check compares what a row holds with what was written to it.
func (c *soakClient) check(what string, i int, n int64) {
	if n != c.acked[i] && !(n > c.acked[i] && c.maybe[i][n]) {
		c.ledger.violation("%s: row %d has n=%d, written was %d, perhaps %v", what, soakID(c.owner, i), n, c.acked[i], c.maybe[i])
	}
}

func (c *soakClient) readOthers() {
	var ids []any
	for range 5 {
		ids = append(ids, soakID(c.random.IntN(soakClients), c.random.IntN(soakRows)))
	}
	rows, ok := c.read("read of several", "IN (?, ?, ?, ?, ?)", ids...)
	if ok && len(rows) > len(ids) {
		c.ledger.violation("wrong answer: %d rows for %d ids", len(rows), len(ids))
	}
}

// pair is the first row of a random pair of its own.
func (c *soakClient) pair() int { return soakRows/2 + 2*c.random.IntN(soakRows/4) }

// readPair reads two rows in one statement, which no transaction may have left half-written.
func (c *soakClient) readPair() {
	i := c.pair()
	rows, ok := c.read("read of a pair", "IN (?, ?) ORDER BY id", soakID(c.owner, i), soakID(c.owner, i+1))
	switch {
	case !ok:
	case len(rows) != 2 || rows[0].n != rows[1].n:
		c.ledger.violation("half a transaction: %+v", rows)
	default:
		c.check("stale read", i, rows[0].n)
	}
}

// write changes one row.
func (c *soakClient) write(i int) {
	n := c.turn()
	err := c.update(i, n)
	c.ledger.note("write", err)
	c.wrote(i, n, err)
}

func (c *soakClient) turn() int64 {
	c.next++
	return c.next - 1
}

func (c *soakClient) update(i int, n int64) error {
	row := newSoakRow(c.owner, i, n)
	res, err := c.conn.ExecContext(context.Background(), c.dialect.bind(soakUpdate), row.n, row.payload, row.sum, row.id, row.n)
	if err != nil {
		return err
	}
	if changed, err := res.RowsAffected(); err != nil || changed != 1 {
		c.ledger.violation("wrong answer: an update of row %d changed %d rows (%v)", row.id, changed, err)
	}
	return nil
}

// wrote keeps what came of a write.
func (c *soakClient) wrote(i int, n int64, err error) {
	if err != nil {
		c.maybe[i][n] = true
		return
	}
	c.acked[i] = n
	clear(c.maybe[i])
}

// writePair changes two rows in a transaction.
func (c *soakClient) writePair() {
	i, n := c.pair(), c.turn()
	err := c.transaction(i, n)
	c.ledger.note("transaction", err)
	c.wrote(i, n, err)
	c.wrote(i+1, n, err)
}

func (c *soakClient) transaction(i int, n int64) error {
	ctx := context.Background()
	if _, err := c.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	err := c.update(i, n)
	if err == nil {
		err = c.update(i+1, n)
	}
	if err == nil {
		_, err = c.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		if _, rollback := c.conn.ExecContext(ctx, "ROLLBACK"); rollback != nil {
			return errors.Join(err, fmt.Errorf("ROLLBACK: %w", rollback))
		}
	}
	return err
}

// verify compares what the servers have in the end.
func (c *soakClient) verify(rows map[int64]soakRow) {
	for i := range c.acked {
		row, ok := rows[soakID(c.owner, i)]
		if !ok || !row.good() {
			c.ledger.violation("wrong in the end: row %d is %+v", soakID(c.owner, i), row)
			continue
		}
		c.check("lost write", i, row.n)
	}
}
