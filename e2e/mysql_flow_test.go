package e2e

// Cases 19, 22, 26-28, 43-45: what flows for long, and what becomes of it when somebody leaves.

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawmysql"
)

func init() {
	addMySQLCase(22, "null and local infile", nullAndInfile)
	addStageCase(26, "slow reader", slowReader)
	addStageCase(27, "client leaves", clientLeaves)
	addMySQLCase(28, "server leaves", serverLeaves)
	addMySQLCase(43, "local infile", localInfile)
	addMySQLCase(44, "kill", killClients)
	addStageCase(45, "cancelled by the client", cancelledByClient)
}

// tooLargeRequests compares Leat with a direct connection, where the server's limit is met and where Leat's own is.
func tooLargeRequests(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := startServers(ctx, t, localdb.TopologyOptions{Flavor: flavor, Extra: []string{"--max-allowed-packet=1M"}})
	outcome := func(address string, size int) string {
		opts := rawmysql.Options{User: localdb.AppUser, Password: localdb.AppPassword, Flags: peerFlags}
		other, err := rawmysql.Dial(ctx, address, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		c, err := rawmysql.Dial(ctx, address, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		query, _ := checksumQuery(size)
		text := "closed"
		if r, err := c.Query(query); err == nil {
			text = fmt.Sprint(numberOf(r))
		}
		if r, err := c.Query("SELECT 1"); err != nil || r.Err() != nil {
			text += ", closed"
		}
		if r, err := other.Query("SELECT 1"); err != nil || r.Err() != nil {
			t.Errorf("another client: %v", err)
		}
		return text
	}
	// Whoever refuses may close before all has come, and then the error doesn't always arrive.
	closed := []string{"1153, closed", "closed, closed"}
	if got := outcome(top.Primary().Addr(), 2<<20); !slices.Contains(closed, got) {
		t.Errorf("direct: %s, want %q", got, closed)
	}
	for _, try := range []struct {
		limit string
		size  int
		want  []string
	}{
		{"1MiB", 2 << 20, closed},
		{"20MiB", 40 << 20, closed},
		{"64MiB", 2 << 20, []string{"1153"}},
		{"64MiB", 40 << 20, []string{"1153"}}, // the server closes, and the client keeps Leat's
	} {
		l := startLeat(ctx, t, top, leatOptions{Top: []string{"limits: {packet: " + try.limit + "}"}})
		if got := outcome(l.Addr, try.size); !slices.Contains(try.want, got) {
			t.Errorf("limits.packet %s: a request of %d bytes: %s, want %q", try.limit, try.size, got, try.want)
		}
	}
}

func nullAndInfile(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	d := newDiffer(ctx, t, flavor)
	lines := []string{
		"query SELECT NULL, 1 UNION ALL SELECT NULL, NULL", "query LOAD DATA LOCAL INFILE 'x' INTO TABLE a (k)", "query SELECT v FROM a WHERE k = 101",
		"query SELECT NULL", "query LOAD DATA LOCAL INFILE 'y' IGNORE INTO TABLE a (k)", "query SELECT NULL FROM a WHERE k > 100",
	}
	for _, flags := range [][]string{{"local_files"}, {"local_files", "deprecate_eof", "session_track"}} {
		if err := d.compare(ctx, flags, lines); err != nil {
			t.Error(err)
		}
	}
}

// bigRows is a query of n rows of 1 MB each.
func bigRows(n int) string {
	return fmt.Sprintf("SELECT REPEAT('x', 1000000) FROM t a, t b, t c, t d LIMIT %d", n)
}

func slowReader(s *stage) {
	const rows, limit = 200, 48 << 20
	s.leat.DB(stageDatabase).PingContext(s.ctx)
	before := s.leat.RSS()
	var most atomic.Int64
	watch := func() {
		most.Store(max(most.Load(), s.leat.RSS()))
	}
	db := s.leat.DB(stageDatabase)
	slow, err := db.QueryContext(s.ctx, bigRows(rows))
	if err != nil {
		s.Fatal(err)
	}
	defer slow.Close()
	other := s.client()
	count := 0
	var value sql.RawBytes
	for slow.Next() {
		if err := slow.Scan(&value); err != nil || len(value) != 1_000_000 {
			s.Fatalf("row %d of %d bytes: %v", count, len(value), err)
		}
		if count++; count%10 == 1 {
			for range 20 { // the other sessions go on while this one doesn't read
				other.wants("SELECT id FROM t WHERE id = 2", "2")
			}
			watch()
		}
	}
	if err := slow.Err(); err != nil || count != rows {
		s.Errorf("%d rows, error %v; want %d", count, err, rows)
	}
	if grown := most.Load() - before; grown > limit {
		s.Errorf("memory grew by %d MB while a result of %d MB was read slowly, want at most %d", grown>>20, rows, limit>>20)
	}
}

// running is how many statements with a word in them run on the servers.
func (s *stage) running(word string) int {
	s.Helper()
	n := 0
	for _, srv := range s.top.Servers {
		v, err := srv.Value(s.ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%"+word+"%' AND info NOT LIKE '%processlist%'")
		if err != nil {
			s.Fatal(err)
		}
		if v != "0" {
			n++
		}
	}
	return n
}

func (s *stage) eventuallyRunning(word string, want int) {
	s.Helper()
	eventually(s.ctx, s.T, "statements with "+word, func() error {
		if got := s.running(word); got != want {
			return fmt.Errorf("%d servers run one, want %d", got, want)
		}
		return nil
	})
}

func clientLeaves(s *stage) {
	for _, sql := range []string{bigRows(1000) + " /* vanish */", "SELECT SLEEP(100) /* vanish */", "SELECT SLEEP(100), id FROM t /* vanish */ FOR UPDATE", "BEGIN; UPDATE t SET n = 0 WHERE id = 1; SELECT SLEEP(100) /* vanish */"} {
		c := s.client()
		if err := c.Send(append([]byte{rawmysql.ComQuery}, sql...)); err != nil {
			s.Fatal(err)
		}
		s.eventuallyRunning("vanish", 1)
		c.Abort()
		s.eventuallyRunning("vanish", 0)
	}
	other := s.client()
	for i := range 30 { // every conn is in step, and in no transaction
		other.wants("SELECT id FROM t WHERE id = 2", "2")
		other.query(fmt.Sprintf("UPDATE t SET n = %d WHERE id = 1", i+100))
	}
}

func serverLeaves(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := startServers(ctx, t, localdb.TopologyOptions{Flavor: flavor})
	l := startLeat(ctx, t, top, leatOptions{})
	setup := "CREATE DATABASE leaves; CREATE TABLE leaves.t (id INT PRIMARY KEY); INSERT INTO leaves.t VALUES (1), (2), (3), (4), (5)"
	if err := top.Primary().Exec(ctx, setup); err != nil {
		t.Fatal(err)
	}
	c, err := rawmysql.Dial(ctx, l.Addr, rawmysql.Options{User: localdb.AppUser, Password: localdb.AppPassword, Database: "leaves", Flags: peerFlags})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	type ended struct {
		reply *rawmysql.Reply
		err   error
	}
	done := make(chan ended, 1)
	go func() {
		r, err := c.Query("SELECT REPEAT('x', 100000), IF(id = 4, SLEEP(100), 0) FROM t")
		done <- ended{r, err}
	}()
	eventually(ctx, t, "the statement doesn't run", func() error {
		n, err := top.Primary().Value(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'")
		if err == nil && n == "0" { // three rows are on their way then
			err = errors.New("not yet")
		}
		return err
	})
	top.Primary().Kill()
	end := <-done
	switch {
	case end.err != nil: // cut inside a row: nothing can be said there
	case numberOf(end.reply) != 2013:
		t.Errorf("got %s, error %v; want error 2013 or a closed connection", end.reply.Shape(), end.reply.Err())
	}
}

func localInfile(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	d := newDiffer(ctx, t, flavor)
	lines := []string{
		"query LOAD DATA LOCAL INFILE 'x' INTO TABLE a (k)", "query SELECT k FROM a ORDER BY k",
		"query LOAD DATA LOCAL INFILE 'x' IGNORE INTO TABLE a (k); LOAD DATA LOCAL INFILE 'y' INTO TABLE c1 (k); SELECT COUNT(*) FROM c1",
		"query LOAD DATA LOCAL INFILE 'x' INTO TABLE nosuch", "query LOAD DATA LOCAL INFILE 'x' INTO TABLE a (nosuch)", "query SELECT 1",
	}
	for _, flags := range [][]string{{"local_files", "multi_statements"}, {"local_files", "multi_statements", "deprecate_eof"}, {"deprecate_eof"}} {
		if err := d.compare(ctx, flags, lines); err != nil {
			t.Error(err)
		}
	}
	reply := func(address string, file []byte, flags uint32) string {
		c, err := rawmysql.Dial(ctx, address, rawmysql.Options{User: localdb.AppUser, Password: localdb.AppPassword, Database: diffDatabase, Flags: flags, File: file})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r, err := c.Query("LOAD DATA LOCAL INFILE 'x' INTO TABLE c2 (v)")
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s %q", r.Shape(), r.Frames[len(r.Frames)-1].Payload)
	}
	direct := d.top.Primary().Addr()
	big := bytes.Repeat([]byte("0123456789\n"), 100_000)
	for name, file := range map[string][]byte{"aborted": nil, "1 MB": big} {
		if got, want := reply(d.leat.Addr, file, peerFlags|rawmysql.LocalFiles), reply(direct, file, peerFlags|rawmysql.LocalFiles); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	off := startLeat(ctx, t, d.top, leatOptions{}) // where it is not allowed it isn't offered, and refused as servers do
	if got, want := reply(off.Addr, nil, peerFlags|rawmysql.LocalFiles), reply(direct, nil, peerFlags); got != want {
		t.Errorf("switched off: got %s, want %s", got, want)
	}
	uploadInterrupted(ctx, t, flavor)
}

// uploadInterrupted kills the server while the client sends a file.
func uploadInterrupted(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := startServers(ctx, t, localdb.TopologyOptions{Flavor: flavor})
	l := startLeat(ctx, t, top, leatOptions{Top: []string{"local_infile: true"}})
	if err := top.Primary().Exec(ctx, "CREATE DATABASE load_; CREATE TABLE load_.t (id INT)"); err != nil {
		t.Fatal(err)
	}
	c, err := rawmysql.Dial(ctx, l.Addr, rawmysql.Options{
		User: localdb.AppUser, Password: localdb.AppPassword, Database: "load_", Flags: peerFlags | rawmysql.LocalFiles,
		File: bytes.Repeat([]byte("1\n"), 32<<20),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan error, 1)
	go func() {
		r, err := c.Query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t (@x) SET id = @x + SLEEP(1)")
		if err == nil {
			err = r.Err()
		}
		done <- err
	}()
	eventually(ctx, t, "the upload doesn't run", func() error {
		n, err := top.Primary().Value(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'LOAD DATA%'")
		if err == nil && n == "0" {
			err = errors.New("not yet")
		}
		return err
	})
	top.Primary().Kill()
	if err := <-done; err == nil {
		t.Error("the upload succeeded although its server was killed")
	} else if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the client was left hanging: %v", err)
	}
}

func killClients(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	top := sharedServers(ctx, t, flavor)
	if err := top.Primary().Exec(ctx, "DROP USER IF EXISTS killer; CREATE USER killer IDENTIFIED BY 'k'; GRANT ALL ON *.* TO killer"); err != nil {
		t.Fatal(err)
	}
	if err := top.WaitSynced(ctx); err != nil {
		t.Fatal(err)
	}
	users := fmt.Sprintf("[{name: %s, password: %s}, {name: killer, password: k}, {name: boss, password: b, server_user: killer, server_password: k, admin: true}]", localdb.AppUser, localdb.AppPassword)
	l := startLeat(ctx, t, top, leatOptions{Users: users})
	s := &stage{T: t, ctx: ctx, flavor: flavor, top: top, leat: l}
	as := func(user, password string) *peer {
		c, err := rawmysql.Dial(ctx, l.Addr, rawmysql.Options{User: user, Password: password, Flags: peerFlags})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return &peer{c, s}
	}
	victim, own, stranger, boss := as(localdb.AppUser, localdb.AppPassword), as(localdb.AppUser, localdb.AppPassword), as("killer", "k"), as("boss", "b")
	kill := fmt.Sprintf("KILL QUERY %d", victim.Greeting.ThreadID)
	stranger.fails(kill, 1095)
	own.fails("KILL 123456789", 1094)
	own.fails("KILL QUERY 123456789", 1094)
	for name, killer := range map[string]func(){
		"own":   func() { own.query(kill) },
		"admin": func() { boss.query(kill) },
		"old":   func() { own.query(strings.Replace(kill, "QUERY ", "/* a comment */ query ", 1)) },
	} {
		for _, sql := range []string{"SELECT SLEEP(50)", "SELECT SLEEP(50) FROM mysql.user FOR UPDATE", "DO SLEEP(50)"} {
			want := s.interrupted(victimOf(s, top.Primary()), top.Primary(), sql)
			if got := s.interruptedBy(victim, sql, killer); got != want {
				t.Errorf("%s: %s killed: got %s, want %s as direct", name, sql, got, want)
			}
			victim.wants("SELECT 'alive'", "alive")
		}
	}
	s.killRace(victim, own)
	s.killSelf(as)
	gone := as(localdb.AppUser, localdb.AppPassword)
	own.query(fmt.Sprintf("KILL %d", gone.Greeting.ThreadID))
	eventually(ctx, t, "the killed client is still served", func() error {
		if _, err := gone.Query("SELECT 1"); err == nil {
			return errors.New("it is")
		}
		return nil
	})
	if r, err := own.Do([]byte{rawmysql.ComProcessKill, 0xff, 0xff, 0xff, 0x7f}); err != nil || numberOf(r) != 1094 && numberOf(r) != 1047 {
		t.Errorf("COM_PROCESS_KILL: %v, %v; want error 1094, or 1047 on MySQL", err, r.Err())
	}
}

func victimOf(s *stage, srv *localdb.Server) *peer { return s.dial(srv.Addr(), "", peerFlags) }

// interrupted is the reply to a statement that is killed on a server by its own thread id.
func (s *stage) interrupted(c *peer, srv *localdb.Server, sql string) string {
	return s.interruptedBy(c, sql, func() {
		if err := srv.Exec(s.ctx, fmt.Sprintf("KILL QUERY %d", c.Greeting.ThreadID)); err != nil {
			s.Error(err)
		}
	})
}

func (s *stage) interruptedBy(c *peer, sql string, kill func()) string {
	s.Helper()
	done := make(chan string, 1)
	go func() {
		r, err := c.Query(sql)
		if err != nil {
			done <- err.Error()
			return
		}
		done <- fmt.Sprint(r.Shape(), r.Text(), r.Err())
	}()
	s.eventuallyRunning("SLEEP(50)", 1)
	kill()
	return <-done
}

// killRace kills statements as they end: nobody but the victim may feel it.
func (s *stage) killRace(victim, killer *peer) {
	s.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		c := s.dial(s.leat.Addr, "", peerFlags)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := c.Query("SELECT SLEEP(0.001)")
				if err == nil {
					err = r.Err()
				}
				if err != nil || r.Text()[0][0] != "0" {
					s.Errorf("a bystander got %v, %v", r.Text(), err)
					return
				}
			}
		})
	}
	for range 100 {
		if err := victim.Send(append([]byte{rawmysql.ComQuery}, "SELECT SLEEP(0.002)"...)); err != nil {
			s.Fatal(err)
		}
		killer.query(fmt.Sprintf("KILL QUERY %d", victim.Greeting.ThreadID))
		if _, err := victim.ReadReply(rawmysql.ComQuery); err != nil {
			s.Fatal(err)
		}
		victim.wants("SELECT SLEEP(0)", "0")
	}
	close(stop)
	wg.Wait()
}

// killSelf compares a client that kills itself with one that does so on a server.
func (s *stage) killSelf(as func(user, password string) *peer) {
	for _, form := range []string{"KILL QUERY %d", "KILL %d", "KILL CONNECTION %d", "KILL QUERY CONNECTION_ID()", "KILL CONNECTION_ID()"} {
		outcome := func(c *peer) string {
			sql := form
			if strings.Contains(form, "%d") {
				sql = fmt.Sprintf(form, c.Greeting.ThreadID)
			}
			r, err := c.Query(sql)
			text := "closed"
			if err == nil {
				text = fmt.Sprint(r.Err())
			}
			if _, err := c.Query("SELECT 1"); err != nil {
				text += ", closed"
			}
			return text
		}
		want := outcome(victimOf(s, s.top.Primary()))
		if got := outcome(as(localdb.AppUser, localdb.AppPassword)); got != want {
			s.Errorf("%s of itself: got %s, want %s as direct", form, got, want)
		}
	}
}

func cancelledByClient(s *stage) {
	ctx, cancel := context.WithCancel(s.ctx)
	db := s.leat.DB(stageDatabase)
	done := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(ctx, "DO SLEEP(100) /* by context */")
		done <- err
	}()
	s.eventuallyRunning("by context", 1)
	cancel()
	if err := <-done; err == nil {
		s.Error("a statement that was cancelled succeeded")
	}
	s.eventuallyRunning("by context", 0)

	program, err := exec.LookPath("mariadb")
	need(s.T, true, err)
	cli := exec.Command(program, "--no-defaults", "-h127.0.0.1", "-P"+s.leat.port(), "-u"+localdb.AppUser, "-p"+localdb.AppPassword, "--comments", "-e", "SELECT SLEEP(100) /* by key */")
	if err := cli.Start(); err != nil {
		s.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { _ = cli.Process.Kill() })
	defer timer.Stop()
	s.eventuallyRunning("by key", 1)
	_ = cli.Process.Signal(syscall.SIGINT)
	_ = cli.Wait()
	s.eventuallyRunning("by key", 0)
}
