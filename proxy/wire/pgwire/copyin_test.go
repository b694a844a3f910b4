package pgwire

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"leat/proxy/wire"
)

// loopback returns both ends of a TCP connection.
func loopback(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// expectBytes reads what must come next.
func expectBytes(t *testing.T, nc net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(nc, got); err != nil {
		t.Errorf("reading %s: %v", messages(want), err)
	} else if string(got) != want {
		t.Errorf("got %s, want %s", messages(string(got)), messages(want))
	}
}

var (
	copyIn   = typed(repCopyIn, "\x00\x00\x00")
	copyDone = typed(msgCopyDone, "")
	probe    = sync_ + query("")
	noText   = typed(repEmptyQuery, "")
)

func data(s string) string { return typed(msgCopyData, s) }

// turn is what one side does: it writes, or reads what must come.
type turn struct {
	who  byte // 'c' client, 's' server
	send string
	read string
}

func TestCopyIn(t *testing.T) {
	copyRun := parse("", "copy") + bind("") + execute + sync_
	bad := failure("22P02")
	big := strings.Repeat("y", 100_000)
	tests := []struct {
		name  string
		turns []turn
		uns   bool // Outcome.Unsynced
		then  []turn
	}{
		{"query", []turn{
			{'c', query("copy"), ""},
			{'s', "", query("copy")},
			{'s', copyIn, ""},
			{'c', data("1") + data("2"), copyIn},
			{'s', "", data("1") + data("2")},
			{'c', flush + sync_ + data(big) + copyDone, ""},
			{'s', "", data(big) + copyDone},
			{'s', tag("COPY 2") + ready('I'), ""},
		}, false, []turn{{'c', "", tag("COPY 2") + ready('I')}}},
		{"two of them", []turn{
			{'c', query("copy"), ""},
			{'s', "", query("copy")},
			{'s', copyIn, ""},
			{'c', copyDone, copyIn},
			{'s', "", copyDone},
			{'s', tag("COPY 0") + copyIn, ""},
			{'c', data("x") + copyDone, ""},
			{'s', "", data("x") + copyDone},
			{'s', tag("COPY 1") + ready('I'), ""},
		}, false, nil},
		{"an error, the client goes on", []turn{
			{'c', query("copy"), ""}, {'s', "", query("copy")}, {'s', copyIn, ""}, {'c', data("1"), copyIn}, {'s', "", data("1")}, {'s', bad + ready('I'), ""},
		}, false, []turn{
			{'c', data("2") + copyDone + query("x"), bad + ready('I')}, {'s', "", query("x")}, {'s', tag("SELECT 0") + ready('I'), ""}, {'c', "", tag("SELECT 0") + ready('I')},
		}},
		{"an error in the middle of a message", []turn{
			{'c', query("copy"), ""}, {'s', "", query("copy")}, {'s', copyIn, ""}, {'c', data(big)[:5000], copyIn}, {'s', "", data(big)[:5000]}, {'s', bad + ready('I'), ""},
		}, false, []turn{
			{'c', data(big)[5000:] + copyDone + query("x"), bad + ready('I')},
			{'s', "", strings.Repeat("\x00", len(data(big))-5000) + query("x")},
			{'s', tag("SELECT 0") + ready('I'), ""},
			{'c', "", tag("SELECT 0") + ready('I')},
		}},
		{"CopyFail", []turn{
			{'c', query("copy"), ""},
			{'s', "", query("copy")},
			{'s', copyIn, ""},
			{'c', typed(reqCopyFail, "no\x00"), copyIn},
			{'s', "", typed(reqCopyFail, "no\x00")},
			{'s', bad + ready('T'), ""},
		}, false, nil},
		{"a Run, whose Sync is a part of the COPY", []turn{
			{'c', copyRun, ""},
			{'s', "", copyRun},
			{'s', parsed + bound + copyIn, ""},
			{'c', data("1") + copyDone + sync_, parsed + bound + copyIn},
			{'s', "", data("1") + copyDone + flush},
			{'s', tag("COPY 1"), ""},
		}, true, []turn{{'s', "", sync_}, {'s', ready('I'), ""}, {'c', "", tag("COPY 1") + ready('I')}}},
		{"a Run that fails, its Sync a part of the COPY", []turn{
			{'c', copyRun, ""},
			{'s', "", copyRun},
			{'s', parsed + bound + copyIn, ""},
			{'c', data("1"), parsed + bound + copyIn},
			{'s', "", data("1")},
			{'s', bad, ""},
			{'s', "", probe},
			{'s', ready('I') + noText + ready('I'), ""},
		}, false, []turn{
			{'c', data("2") + copyDone + sync_ + query("x"), bad},
			{'s', "", query("x")},
			{'s', tag("SELECT 0") + ready('I'), ""},
			{'c', "", ready('I') + tag("SELECT 0") + ready('I')},
		}},
		{"a Run that fails before it reads", []turn{
			{'c', copyRun, ""},
			{'s', "", copyRun},
			{'s', parsed + bound + copyIn, ""},
			{'c', "", parsed + bound + copyIn},
			{'s', bad + ready('E'), ""},
			{'s', "", probe},
			{'s', ready('E') + noText + ready('E'), ""},
		}, false, []turn{
			{'c', data("2") + copyDone + query("x"), bad + ready('E')},
			{'s', "", query("x")},
			{'s', tag("SELECT 0") + ready('I'), ""},
			{'c', "", tag("SELECT 0") + ready('I')},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair()
			user, userFar := loopback(t)
			server, serverFar := loopback(t)
			p.client = &Client{nc: user, in: newReader(user), out: newWriter(user), limit: 64 << 20}
			p.conn.nc, p.conn.in, p.conn.out = server, newReader(server), newWriter(server)
			play := func(turns []turn) <-chan struct{} {
				done := make(chan struct{})
				go func() {
					defer close(done)
					for _, x := range turns {
						far := userFar
						if x.who == 's' {
							far = serverFar
						}
						if x.read != "" {
							expectBytes(t, far, x.read)
						}
						io.WriteString(far, x.send)
					}
				}()
				return done
			}
			played := play(tt.turns)
			_, out, err := p.serve("")
			if err != nil || out.Unsynced != tt.uns {
				t.Fatalf("got %+v, err %v", out, err)
			}
			<-played
			played = play(tt.then)
			for _, x := range tt.then {
				if x.who == 's' && x.send != "" {
					if _, _, err := p.serve(""); err != nil {
						t.Fatal(err)
					}
				}
			}
			<-played
		})
	}
}

func TestCopyInClientGone(t *testing.T) {
	p := newPair()
	user, userFar := loopback(t)
	server, serverFar := loopback(t)
	p.client = &Client{nc: user, in: newReader(user), out: newWriter(user), limit: 64 << 20}
	p.conn.nc, p.conn.in, p.conn.out = server, newReader(server), newWriter(server)
	go func() {
		io.WriteString(userFar, query("copy"))
		expectBytes(t, serverFar, query("copy"))
		io.WriteString(serverFar, copyIn)
		expectBytes(t, userFar, copyIn)
		userFar.Close()
	}()
	var r wire.Request
	if err := p.client.ReadRequest(&r); err != nil {
		t.Fatal(err)
	}
	if _, err := p.conn.Do(&r, p.client, &wire.Options{}); !errors.Is(err, wire.ErrClientGone) {
		t.Errorf("got %v, want %v", err, wire.ErrClientGone)
	}
	if p.conn.Idle() {
		t.Errorf("a conn that is in a COPY is taken for idle")
	}
}

func TestWatch(t *testing.T) {
	p := newPair()
	user, userFar := loopback(t)
	server, serverFar := loopback(t)
	p.client = &Client{nc: user, in: newReader(user), out: newWriter(user), limit: 64 << 20}
	p.conn.nc, p.conn.in, p.conn.out = server, newReader(server), newWriter(server)
	stop := p.conn.Watch(p.client)
	note := typed(repNotification, "\x00\x00\x00\x01ch\x00hello\x00")
	io.WriteString(serverFar, note[:7])
	io.WriteString(serverFar, note[7:]+setting("DateStyle", "German"))
	expectBytes(t, userFar, note+setting("DateStyle", "German"))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if v, _ := p.conn.State().Get("datestyle"); v != "German" {
		t.Errorf("got datestyle %q", v)
	}
	stop = p.conn.Watch(p.client)
	serverFar.Write(appendError(nil, severityFatal, "57P01", "bye"))
	serverFar.Close()
	var r wire.Request
	if err := p.client.ReadRequest(&r); !errors.Is(err, wire.ErrInterrupted) {
		t.Errorf("got %v, want an interrupted wait", err)
	}
	if err := stop(); err == nil {
		t.Errorf("a conn that was closed is taken for good")
	}
	expectBytes(t, userFar, string(appendError(nil, severityFatal, "57P01", "bye")))
}
