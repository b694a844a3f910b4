package e2e

// Cases 51 to 53: a cancel request reaches the statement that it is meant for, and nothing else.

import (
	"context"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"leat/internal/localdb"
	"leat/internal/rawpostgres"
)

func init() {
	addPgCase(51, "cancel of a finished query", cancelRaces)
	addPgStageCase(52, "cancel with a wrong key", cancelWithWrongKey)
	addPgCase(53, "cancel while waiting for a conn", cancelWhileWaiting)
}

// cancelRaces has A's statements cancelled as they end, while B and C use the same conn: LEAT_CANCELS times
// (default 150).
func cancelRaces(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	base := newPgStage(ctx, t, flavor)
	s := base.before(startLeat(ctx, t, base.top, leatOptions{PoolSize: 1}))
	a := s.client()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	asked := make([]int, 2)
	for i, query := range []string{"SELECT pg_sleep(0.0005), 7 AS x", "SELECT pg_sleep(0.0005), id FROM t WHERE id = 3 FOR UPDATE"} {
		b := s.client()
		wg.Go(func() {
			for ; ; asked[i]++ {
				select {
				case <-stop:
					return
				default:
				}
				r, err := b.Query(query)
				if err == nil {
					err = r.Err()
				}
				if err != nil || len(r.Rows()) != 1 {
					t.Errorf("a bystander, after %d statements: %v", asked[i], err)
					return
				}
			}
		})
	}
	cancelled := 0
	races := int(envNumber("LEAT_CANCELS", 150))
	for n := range races {
		sent := make(chan error, 1)
		query := []string{"SELECT pg_sleep(0.001), " + strconv.Itoa(n), "SELECT pg_sleep(0.001), " + strconv.Itoa(n) + " FROM t WHERE id = 1 FOR UPDATE"}[n%2]
		must(t, a.Send(rawpostgres.Query(query)))
		go func() { sent <- a.Cancel(ctx) }()
		if n%3 == 0 { // in flight when the next one is
			r, err := a.ReadReply(1)
			must(t, err)
			cancelled += wasCancelled(t, r)
			must(t, a.Send(rawpostgres.Query(query)))
		}
		must(t, <-sent)
		r, err := a.ReadReply(1)
		must(t, err)
		cancelled += wasCancelled(t, r)
		a.wants("SELECT 'alive'", "alive") // after Cancel returned nothing can come any more
	}
	close(stop)
	wg.Wait()
	t.Logf("%d of %d statements were cancelled; bystanders ran %d", cancelled, races, asked[0]+asked[1])
	if cancelled == 0 || asked[0]+asked[1] == 0 {
		t.Error("nothing was shown")
	}
}

func wasCancelled(t *testing.T, r *rawpostgres.Reply) int {
	t.Helper()
	switch err := r.Err(); {
	case err == nil:
		return 0
	case pgState(err) != "57014":
		t.Errorf("got %v, want 57014", err)
	}
	return 1
}

// sendCancel sends a cancel request and waits until the connection is closed. Whatever comes before is returned.
func sendCancel(ctx context.Context, t *testing.T, address string, pid uint32, key []byte) []byte {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(replyTimeout)))
	_, err = c.Write(rawpostgres.CancelRequest(pid, key))
	must(t, err)
	answer, err := io.ReadAll(c)
	must(t, err)
	return answer
}

func cancelWithWrongKey(s *pgStage) {
	a := s.client()
	b := s.client()
	before := s.leat.Metric(s.ctx, "leat_cancels_total")
	done := a.later("SELECT pg_sleep(60) /* wrong key */")
	s.eventuallyRunning("wrong key", 1)
	flipped := slices.Clone(a.Key)
	flipped[len(flipped)-1] ^= 1
	for _, wrong := range []struct {
		pid uint32
		key []byte
	}{
		{a.PID, flipped},
		{a.PID, b.Key},
		{a.PID, make([]byte, 4)},
		{a.PID, append(slices.Clone(a.Key), 0)},
		{a.PID, append(slices.Clone(a.Key), make([]byte, 28)...)},
		{a.PID, append(slices.Clone(a.Key), make([]byte, 252)...)},
		{a.PID + 1<<20, a.Key},
		{0, a.Key},
	} {
		if answer := sendCancel(s.ctx, s.T, s.leat.Addr, wrong.pid, wrong.key); len(answer) > 0 {
			s.Errorf("a cancel request was answered: %q", answer)
		}
	}
	if got := s.running("wrong key"); got != 1 {
		s.Fatalf("a cancel with a wrong key stopped a statement")
	}
	if got := s.leat.Metric(s.ctx, "leat_cancels_total"); got != before {
		s.Errorf("%v cancels were sent to servers, want none", got-before)
	}
	must(s.T, a.Cancel(s.ctx))
	if err := <-done; pgState(err) != "57014" {
		s.Errorf("the right key: got %v, want 57014", err)
	}
	a.wants("SELECT 'alive'", "alive")
	b.wants("SELECT 'alive'", "alive")
	must(s.T, b.Cancel(s.ctx)) // of an idle client
	b.wants("SELECT pg_sleep(0.01), 1", "", "SELECT 'alive'", "alive")
	s.longKeys()
}

// longKeys are those of protocol 3.2.
func (s *pgStage) longKeys() {
	c, err := rawpostgres.Dial(s.ctx, s.leat.Addr, rawpostgres.Options{
		User: localdb.AppUser, Password: localdb.AppPassword, Database: pgStageDatabase, Minor: 2, Timeout: replyTimeout,
	})
	must(s.T, err)
	defer c.Close()
	a := &pgPeer{c, s}
	if len(c.Key) <= 4 {
		s.Errorf("protocol 3.2: the key has %d bytes, want more than 4", len(c.Key))
	}
	done := a.later("SELECT pg_sleep(60) /* long key */")
	s.eventuallyRunning("long key", 1)
	wrong := slices.Clone(c.Key)
	wrong[len(wrong)-1] ^= 1
	sendCancel(s.ctx, s.T, s.leat.Addr, c.PID, wrong)
	if got := s.running("long key"); got != 1 {
		s.Error("a cancel with a wrong long key stopped a statement")
	}
	must(s.T, c.Cancel(s.ctx))
	if err := <-done; pgState(err) != "57014" {
		s.Errorf("the right long key: got %v, want 57014", err)
	}
}

func cancelWhileWaiting(ctx context.Context, t *testing.T, flavor localdb.Flavor) {
	base := newPgStage(ctx, t, flavor)
	s := base.before(startLeat(ctx, t, base.top, leatOptions{PoolSize: 1}))
	holder, a := s.client(), s.client()
	holder.query("BEGIN")
	holder.query("UPDATE t SET n = 53 WHERE id = 1")
	waiting := func(want int) {
		t.Helper()
		s.leat.waitStatus(ctx, "requests that wait", func(st *leatStatus) error {
			if got := st.server(s.top.Primary()).Conns.Waiting; got != want {
				return errWaiting(got, want)
			}
			return nil
		})
	}
	for _, messages := range [][][]byte{
		{rawpostgres.Query("UPDATE t SET n = 54 WHERE id = 2")},
		{
			rawpostgres.Parse("", "UPDATE t SET n = $1::int WHERE id = 2"), rawpostgres.Bind("", "", []rawpostgres.Arg{{Value: []byte("54")}}),
			rawpostgres.Execute("", 0), rawpostgres.Sync(),
		},
	} {
		must(t, a.Send(messages...))
		waiting(1)
		must(t, a.Cancel(ctx))
		r, err := a.ReadReply(1)
		must(t, err)
		if pgState(r.Err()) != "57014" || r.Status() != 'I' {
			t.Errorf("got %v and status %c, want 57014 and I", r.Err(), r.Status())
		}
		waiting(0)
	}
	if got := s.leat.Metric(ctx, "leat_cancels_total"); got != 0 {
		t.Errorf("%v cancels were sent to servers, want none", got)
	}
	holder.wants("UPDATE t SET n = n + 1 WHERE id = 1 RETURNING n", "54")
	holder.query("COMMIT")
	a.wants("SELECT n FROM t WHERE id = 2 FOR UPDATE", "0")
}
