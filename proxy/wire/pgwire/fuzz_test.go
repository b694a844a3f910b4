package pgwire

import (
	"strings"
	"testing"

	"leat/proxy/wire"
)

var fuzzSeeds = []string{
	parse("", "q") + bind("") + execute + sync_,
	parse("a", "q") + describe("a") + flush + bind("a") + execute + closing("a") + sync_,
	query("select 1") + sync_ + typed(msgCopyDone, "") + typed(reqFunctionCall, "x") + typed(reqTerminate, ""),
	parse("a", "q") + parse("a", "r") + bind("leat_0") + sync_,
	bind("a") + query("x"),
}

// FuzzReadRequest reads what a client may send, and answers it as Leat would itself.
func FuzzReadRequest(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s, byte(0))
		f.Add(typed(reqQuery, ""), byte(0))
		f.Add(s, byte(1))
	}
	f.Fuzz(func(t *testing.T, in string, how byte) {
		p := newPair()
		p.client.limit = 1 << 20
		p.user.in.WriteString(in)
		var r wire.Request
		for range 100 {
			if p.client.ReadRequest(&r) != nil {
				break
			}
			for _, s := range r.Stmts {
				if s == nil || s.Wire == nil {
					t.Fatal("a statement that isn't one")
				}
			}
			switch how % 4 {
			case 0:
				p.client.SendOK(&r, wire.Done{Tag: "OK"})
			case 1:
				p.client.SendError(&wire.Error{Code: wire.CodePoolTimeout, Message: "x"})
			case 2:
				p.client.SendRows(&r, []string{"a"}, [][]string{{"b"}})
			}
			if p.client.Finish(&r) != nil {
				break
			}
		}
		p.client.Flush()
		if n := len(p.user.out.String()); n > 64*len(in)+4096 {
			t.Errorf("%d bytes were answered with %d", len(in), n)
		}
	})
}

// FuzzRelay serves what a client may send with what a server may answer.
func FuzzRelay(f *testing.F) {
	replies := []string{
		parsed + bound + row("1") + tag("SELECT 1") + ready('I'),
		parsed + described + ready('T') + bound + tag("INSERT 0 1") + closed + ready('T'),
		row("1") + failure("22012") + ready('E') + setting("TimeZone", "UTC"),
		typed(repNotice, "\x00") + failure("26000") + ready('I'),
		typed(repCopyOut, "\x00\x00\x00") + typed(msgCopyData, "x") + typed(msgCopyDone, "") + tag("COPY 1") + ready('I'),
		string(appendError(nil, severityFatal, "57P01", "bye")),
	}
	for i, s := range fuzzSeeds {
		f.Add(s, replies[i])
		f.Add(query("x"), replies[i])
		f.Add(s, parsed+failure("26000")+ready('I'))
	}
	f.Fuzz(func(t *testing.T, in, reply string) {
		p := newPair()
		p.conn.stmts.max = 2
		p.client.limit = 1 << 20
		p.user.in.WriteString(in)
		p.server.in.WriteString(reply)
		for range 20 {
			_, out, err := p.serve("")
			if err != nil {
				break
			}
			if out.Err != nil && p.conn.broken == nil && out.Tx == wire.TxUnknown {
				t.Error("a conn is good and its transaction unknown")
			}
		}
		p.client.Flush()
		if strings.Contains(p.server.out.String(), "\x00leat_none\x00") {
			t.Error("a statement was prepared by the name that there never is")
		}
		if p.conn.stmts.bytes < 0 || p.client.stmts.bytes < 0 {
			t.Error("less than no bytes are held")
		}
	})
}

// A reply that is cut off anywhere is never taken for whole.
func TestCutOff(t *testing.T) {
	reply := parsed + typed(repParameterDescription, "\x00\x00") + typed(repNoData, "") + bound + row("hello") + tag("SELECT 1") + ready('I')
	for n := range len(reply) {
		p := newPair()
		p.user.in.WriteString(parse("", "q") + describe("") + bind("") + execute + sync_)
		if _, _, err := p.serve(reply[:n]); err == nil {
			t.Errorf("a reply cut off after %d bytes is taken for whole", n)
		}
	}
}

// A long row is passed on in pieces; one that breaks off tears the client's connection.
func TestLongRow(t *testing.T) {
	long := row(strings.Repeat("z", 5<<20))
	p := newPair()
	p.user.in.WriteString(query("x"))
	_, out, err := p.serve(long + tag("SELECT 1") + ready('I'))
	if got := p.user.take(); err != nil || out.Rows != 1 || out.Affected != 1 || !out.HasRows || got != long+tag("SELECT 1")+ready('I') {
		t.Errorf("got %d bytes of %d, %+v, err %v", len(got), len(long), out, err)
	}
	p = newPair()
	p.user.in.WriteString(query("x"))
	if _, _, err := p.serve(long[:1<<20]); err == nil || !p.client.Torn() {
		t.Errorf("a torn row: torn %v, err %v", p.client.Torn(), err)
	}
}

func TestAllocations(t *testing.T) {
	rows := func(n int) string { return strings.Repeat(row("some value"), n) }
	tests := []struct {
		name         string
		first, ready string
		send         string
		reply        string
		max          float64
	}{
		{"query", "", "", query("select 1"), row("1") + tag("SELECT 1") + ready('I'), 2},
		{"many rows", "", "", query("select 1"), rows(2000) + tag("SELECT 2000") + ready('I'), 2},
		{"named", parse("a", "q") + sync_, prepared, bind("a") + execute + sync_, bound + row("1") + tag("SELECT 1") + ready('I'), 2},
		{"unnamed, the same text", parse("", "q") + sync_, parsed, parse("", "q") + bind("") + execute + sync_, parsed + bound + row("1") + tag("SELECT 1") + ready('I'), 2},
	}
	for _, tt := range tests {
		p := newPair()
		if tt.first != "" {
			p.user.in.WriteString(tt.first)
			p.serve(tt.ready + ready('I'))
		}
		var r wire.Request
		got := testing.AllocsPerRun(100, func() {
			p.user.in.WriteString(tt.send)
			p.server.in.WriteString(tt.reply)
			if err := p.client.ReadRequest(&r); err != nil {
				t.Fatal(err)
			}
			if out, err := p.conn.Do(&r, p.client, &wire.Options{}); err != nil || out.Err != nil {
				t.Fatal(out, err)
			}
			p.client.Finish(&r)
			p.client.Flush()
			p.user.out.Reset()
			p.server.out.Reset()
		})
		if got > tt.max {
			t.Errorf("%s: got %v allocations a request, want at most %v", tt.name, got, tt.max)
		}
	}
}
