package proxy

// Tests of bugs: what one client's session trips over, the others and the process must not notice.

import (
	"context"
	"net"
	"testing"

	"leat/proxy/wire"
	"leat/shard"
)

// brokenAcceptor panics where a test wants it to.
type brokenAcceptor struct {
	wire.Acceptor
	client wire.Client
}

func (a brokenAcceptor) Accept(net.Conn, *wire.Welcome) (wire.Client, *wire.Arrival, error) {
	if a.client == nil {
		panic("a bug in Accept")
	}
	return a.client, &wire.Arrival{User: "app", State: wire.NewState("")}, nil
}

// brokenClient panics when it is let in.
type brokenClient struct{ fakeClient }

func (*brokenClient) Admit(*wire.Greeting, *wire.State) error { panic("a bug in Admit") }
func (*brokenClient) Refuse(error)                            {}

func TestPanicAtLogin(t *testing.T) {
	withSession(t, func(f *fakeSession) {
		s := f.server
		s.sessions, s.empty = map[uint32]*session{}, make(chan struct{})
		for name, a := range map[string]wire.Acceptor{
			"in Accept": brokenAcceptor{Acceptor: f.acceptor},
			"in Admit":  brokenAcceptor{Acceptor: f.acceptor, client: &brokenClient{}},
		} {
			s.acceptors = map[shard.Dialect]wire.Acceptor{shard.MySQL: a}
			here, there := net.Pipe()
			s.serve(context.Background(), here, shard.MySQL)
			there.Close()
			if s.arriving != 0 || len(s.sessions) != 0 {
				t.Errorf("%s: %d clients are still arriving, %d are there; want none", name, s.arriving, len(s.sessions))
			}
		}
	})
}

// A conn that a bug cost its session isn't lost to the pool.
func TestPanicGivesConnsBack(t *testing.T) {
	lent := func(f *fakeSession) (n int) {
		for _, sv := range f.server.backend.Status() {
			n += sv.Lent
		}
		return n
	}
	for name, at := range map[string]func(f *fakeSession){
		"as soon as it was lent": func(f *fakeSession) {
			if _, err := f.acquire(&passthrough, nil); err != nil {
				t.Error(err)
			}
			panic("a bug")
		},
		"in a request": func(f *fakeSession) {
			f.shard.set(fakePrimary, func(v *fakeServer) {
				v.do = func(*fakeConn, string) (wire.Outcome, error) { panic("a bug") }
			})
			f.query("UPDATE t SET a = 1")
		},
		"while it is held": func(f *fakeSession) {
			f.ok("BEGIN")
			panic("a bug")
		},
		"when it was given back": func(f *fakeSession) {
			f.ok("UPDATE t SET a = 1")
			panic("a bug")
		},
	} {
		withSession(t, func(f *fakeSession) {
			func() {
				defer f.survive()
				at(f)
			}()
			if n := lent(f); n != 0 {
				t.Errorf("%s: %d conns are still lent, want none", name, n)
			}
		})
	}
}
