package pgwire

import (
	"bytes"
	"strings"
	"testing"

	"leat/proxy/wire"
)

// exchangeCase is one request of a client, and what becomes of it.
type exchangeCase struct {
	send   string // by the client
	asked  string // of the server, as messages shows it
	reply  string // of the server
	answer string // to the client
	tx     wire.TxState
	uns    bool   // Outcome.Unsynced
	stmts  string // texts that decide the route
}

func TestRuns(t *testing.T) {
	tests := []struct {
		name  string
		cases []exchangeCase
	}{
		{"unnamed, at once", []exchangeCase{{
			send: parse("", "q") + bind("") + execute + sync_, asked: "P:q B E S", stmts: "q",
			reply: parsed + bound + row("1") + tag("SELECT 1") + ready('T'), answer: "1 2 D:1 C:SELECT_1 Z:T", tx: wire.TxOpen,
		}}},
		{"unnamed, in two", []exchangeCase{
			{send: parse("", "q") + describe("") + sync_, asked: "P:q D:S S", reply: parsed + described + ready('I'), answer: "1 t n Z:I", stmts: "q"},
			{send: bind("") + execute + sync_, asked: "B E S", reply: bound + tag("SELECT 0") + ready('I'), answer: "2 C:SELECT_0 Z:I", stmts: "q"},
		}},
		{"unnamed is gone after a query", []exchangeCase{
			{send: parse("", "q") + sync_, asked: "P:q S", reply: parsed + ready('I'), answer: "1 Z:I", stmts: "q"},
			{send: query("x"), asked: "Q:x", reply: tag("SELECT 0") + ready('I'), answer: "C:SELECT_0 Z:I"},
			{send: bind("") + execute + sync_, asked: "D:Sleat_none S", reply: failure("26000") + ready('I'), answer: "E:SERRORVERRORC26000Munnamed_prepared_statement_does_not_exist Z:I"},
		}},
		{"named, known and closed", []exchangeCase{
			{send: parse("a", "q") + describe("a") + sync_, asked: "P:leat_0q D:Sleat_0 S", reply: parsed + described + ready('I'), answer: "1 t n Z:I", stmts: "q"},
			{send: bind("a") + execute + sync_, asked: "B:leat_0 E S", reply: bound + tag("SELECT 0") + ready('I'), answer: "2 C:SELECT_0 Z:I", stmts: "q"},
			{send: closing("a") + parse("a", "q") + sync_, asked: "D:Sleat_0 S", reply: described + ready('I'), answer: "3 1 Z:I", stmts: "q"},
			{send: parse("b", "q") + bind("b") + execute + sync_, asked: "D:Sleat_0 B:leat_0 E S", reply: described + bound + tag("SELECT 0") + ready('I'), answer: "1 2 C:SELECT_0 Z:I", stmts: "q"},
			{send: closing("a") + closing("none") + sync_, asked: "C:Snone S", reply: closed + ready('I'), answer: "3 3 Z:I"},
			{send: bind("a") + execute + sync_, asked: "B:a E S", reply: failure("26000") + ready('I'), answer: "E:SERRORVERRORC26000Mno Z:I"},
		}},
		{"a name is taken", []exchangeCase{
			{send: parse("a", "q") + sync_, asked: "P:leat_0q D:Sleat_0 S", reply: prepared + ready('I'), answer: "1 Z:I", stmts: "q"},
			{
				send: parse("a", "r") + bind("a") + sync_, asked: "P:r D:Sleat_none S", reply: parsed + failure("26000") + ready('I'), stmts: "q",
				answer: `E:SERRORVERRORC42P05Mprepared_statement_"a"_already_exists Z:I`,
			},
		}},
		{"a failed Parse leaves no name", []exchangeCase{
			{send: parse("a", "q") + sync_, asked: "P:leat_0q D:Sleat_0 S", reply: failure("42601") + ready('I'), answer: "E:SERRORVERRORC42601Mno Z:I", stmts: "q"},
			{send: parse("a", "q") + sync_, asked: "P:leat_1q D:Sleat_1 S", reply: prepared + ready('I'), answer: "1 Z:I", stmts: "q"},
		}},
		{"an error in a pipeline", []exchangeCase{
			{
				send: parse("a", "q") + bind("a") + execute + parse("b", "r") + closing("a") + sync_, asked: "P:leat_0q D:Sleat_0 B:leat_0 E P:leat_1r D:Sleat_1 S", stmts: "q r",
				reply: prepared + bound + row("1") + failure("22012") + ready('E'), answer: "1 2 D:1 E:SERRORVERRORC22012Mno Z:E", tx: wire.TxFailed,
			},
			{send: query("rollback"), asked: "Q:rollback", reply: tag("ROLLBACK") + ready('I'), answer: "C:ROLLBACK Z:I"},
			{send: parse("b", "r") + bind("a") + sync_, asked: "P:leat_2r D:Sleat_2 B:leat_0 S", reply: prepared + bound + ready('I'), answer: "1 2 Z:I", stmts: "r q"},
		}},
		{"Flush that only prepares", []exchangeCase{
			{send: parse("a", "q") + describe("a") + flush, asked: "P:leat_0q D:Sleat_0 S", reply: parsed + described + ready('I'), answer: "1 t n", stmts: "q"},
			{send: sync_ + bind("a") + execute + sync_, asked: "B:leat_0 E S", reply: bound + tag("SELECT 0") + ready('I'), answer: "Z:I 2 C:SELECT_0 Z:I", stmts: "q"},
		}},
		{"Flush that fails", []exchangeCase{
			{send: parse("a", "q") + flush, asked: "P:leat_0q D:Sleat_0 S", reply: failure("42601") + ready('I'), answer: "E:SERRORVERRORC42601Mno", stmts: "q"},
			{send: bind("a") + query("skipped") + sync_ + query("x"), asked: "Q:x", reply: tag("SELECT 0") + ready('I'), answer: "Z:I C:SELECT_0 Z:I"},
		}},
		{"Flush that executes", []exchangeCase{
			{send: parse("", "q") + bind("") + execute + flush, asked: "P:q B E H", reply: parsed + bound + tag("SELECT 0"), answer: "1 2 C:SELECT_0", stmts: "q", uns: true},
			{send: execute + flush, asked: "E H", reply: failure("34000"), answer: "", uns: true},
		}[:1]},
		{"a query ends a Run", []exchangeCase{
			{send: parse("", "q") + bind("") + execute + query("x"), asked: "P:q B E H", reply: parsed + bound + tag("SELECT 0"), answer: "1 2 C:SELECT_0", stmts: "q", uns: true},
			{asked: "Q:x", reply: tag("SELECT 0") + ready('I'), answer: "C:SELECT_0 Z:I"},
		}},
		{"Sync alone", []exchangeCase{{send: sync_ + sync_ + flush + query("x"), asked: "Q:x", reply: tag("SELECT 0") + ready('I'), answer: "Z:I Z:I C:SELECT_0 Z:I"}}},
		{"stray data of a COPY", []exchangeCase{{
			send: typed(msgCopyData, "1") + typed(msgCopyDone, "") + typed(reqCopyFail, "x\x00") + query("x"), asked: "Q:x",
			reply: typed(repEmptyQuery, "") + ready('I'), answer: "I Z:I",
		}}},
		{"a zero byte in a query", []exchangeCase{{
			send: query("a\x00b"), asked: "Q:ab", reply: failure("08P01") + ready('I'), answer: "E:SERRORVERRORC08P01Mno Z:I",
		}}},
		{"malformed Parse", []exchangeCase{{
			send: typed(reqParse, "leat_0\x00q\x00\x00\x01") + sync_, asked: "P:leat_0q S", reply: failure("08P01") + ready('I'),
			answer: "E:SERRORVERRORC08P01Mno Z:I",
		}}},
		{"malformed Sync and Flush", []exchangeCase{
			{send: typed(reqSync, "x"), asked: "S:x", reply: failure("08P01") + ready('I'), answer: "E:SERRORVERRORC08P01Mno Z:I"},
			{send: typed(reqFlush, "x"), asked: "H:x S", reply: failure("08P01") + ready('I'), answer: "E:SERRORVERRORC08P01Mno"},
			{send: bind("a") + sync_ + query("x"), asked: "Q:x", reply: tag("SELECT 0") + ready('I'), answer: "Z:I C:SELECT_0 Z:I"},
		}},
		{"Leat's own name", []exchangeCase{{
			send: bind("leat_0") + sync_, asked: "D:Sleat_none S", reply: failure("26000") + ready('I'),
			answer: `E:SERRORVERRORC26000Mprepared_statement_"leat_0"_does_not_exist Z:I`,
		}}},
		{"a setting, a notice, a notification", []exchangeCase{{
			send: query("x"), asked: "Q:x", reply: setting("DateStyle", "German") + typed(repNotice, "\x00") + typed(repNotification, "n") + tag("SET") + ready('I'),
			answer: "S:DateStyleGerman N A:n C:SET Z:I",
		}}},
		{"Describe, its error held back", []exchangeCase{{
			send: parse("a", "q") + describe("a") + sync_, asked: "P:leat_0q D:Sleat_0 S", reply: parsed + typed(repParameterDescription, "\x00\x00") + failure("25006") + ready('I'),
			answer: "1 t E:SERRORVERRORC25006Mno Z:I", stmts: "q",
		}}},
		{"prepared before something was created", []exchangeCase{
			{send: parse("a", "q") + sync_, asked: "P:leat_0q D:Sleat_0 S", reply: prepared + ready('I'), answer: "1 Z:I", stmts: "q"},
			{send: query("create temp"), asked: "Q:create_temp", reply: tag("CREATE TABLE") + ready('I'), answer: "C:CREATE_TABLE Z:I"},
			{send: bind("a") + sync_, asked: "B:leat_0 S", reply: bound + ready('I'), answer: "2 Z:I", stmts: "q"},
			{send: parse("b", "q") + sync_, asked: "P:leat_1q D:Sleat_1 S", reply: prepared + ready('I'), answer: "1 Z:I", stmts: "q"},
			{send: closing("a") + sync_, asked: "C:Sleat_0 S", reply: closed + ready('I'), answer: "3 Z:I"},
		}},
		{"an error names the client's statement", []exchangeCase{
			{send: parse("a", "q") + sync_, asked: "P:leat_0q D:Sleat_0 S", reply: prepared + ready('I'), answer: "1 Z:I", stmts: "q"},
			{
				send: bind("a") + sync_, asked: "B:leat_0 S", reply: string(appendError(nil, severityError, "08P01", `prepared statement "leat_0" requires 1`)) + ready('I'),
				answer: `E:SERRORVERRORC08P01Mprepared_statement_"a"_requires_1 Z:I`, stmts: "q",
			},
		}},
		{"what comes behind an error that is held back", []exchangeCase{{
			send: closing("a") + bind("a") + sync_, asked: "C:Sa B:a S", reply: closed + failure("26000") + setting("DateStyle", "German") + ready('I'),
			answer: "3 E:SERRORVERRORC26000Mno S:DateStyleGerman Z:I",
		}}},
		{"the statement is lost, and prepared again", []exchangeCase{
			{send: parse("a", "q") + sync_, asked: "P:leat_0q D:Sleat_0 S", reply: prepared + ready('I'), answer: "1 Z:I", stmts: "q"},
			{
				send: bind("a") + execute + sync_, asked: "B:leat_0 E S P:leat_1q D:Sleat_1 S B:leat_1 E S", stmts: "q",
				reply:  string(appendError(nil, severityError, "26000", `prepared statement "leat_0" does not exist`)) + ready('I') + prepared + ready('I') + bound + tag("SELECT 0") + ready('I'),
				answer: "2 C:SELECT_0 Z:I",
			},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair()
			for _, c := range tt.cases {
				p.user.in.WriteString(c.send)
				r, out, err := p.serve(c.reply)
				if err != nil {
					t.Fatalf("%s: %v", messages(c.send), err)
				}
				check(t, "asked", messages(p.server.take()), c.asked)
				check(t, "answer", messages(p.user.take()), c.answer)
				var texts []string
				for _, s := range r.Stmts {
					texts = append(texts, s.Text)
				}
				check(t, "statements", strings.Join(texts, " "), c.stmts)
				if out.Tx != c.tx || out.Unsynced != c.uns {
					t.Errorf("got tx %v, unsynced %v, want %v, %v", out.Tx, out.Unsynced, c.tx, c.uns)
				}
			}
			if p.server.in.Len() > 0 || p.conn.in.Buffered() > 0 {
				t.Errorf("something of the server's is left")
			}
		})
	}
}

// A statement runs on a conn that has never seen it.
func TestRunElsewhere(t *testing.T) {
	p := newPair()
	other := &script{}
	second := p.newConn(other)
	step := func(c *Conn, s *script, send, reply, asked string) {
		t.Helper()
		p.conn, p.server = c, s
		p.user.in.WriteString(send)
		if _, _, err := p.serve(reply); err != nil {
			t.Fatal(err)
		}
		check(t, "asked", messages(s.take()), asked)
	}
	first, firstServer := p.conn, p.server
	step(first, firstServer, parse("", "u")+parse("a", "q")+sync_, parsed+prepared+ready('I'), "P:u P:leat_0q D:Sleat_0 S")
	check(t, "answer", messages(p.user.take()), "1 1 Z:I")
	step(second, other, bind("a")+execute+sync_, prepared+ready('I')+bound+tag("SELECT 0")+ready('I'), "P:leat_0q D:Sleat_0 S B:leat_0 E S")
	check(t, "answer", messages(p.user.take()), "2 C:SELECT_0 Z:I")
	step(second, other, describe("")+bind("")+execute+sync_, parsed+described+bound+tag("SELECT 0")+ready('I'), "P:u D:S B E S")
	check(t, "answer", messages(p.user.take()), "t n 2 C:SELECT_0 Z:I")
	p.conn, p.server = first, firstServer
	step(first, firstServer, bind("")+execute+sync_, bound+tag("SELECT 0")+ready('I'), "B E S")
}

func TestEviction(t *testing.T) {
	p := newPair()
	p.conn.stmts.max = 2
	for i, want := range []string{"P:leat_0qa D:Sleat_0 S", "P:leat_1qb D:Sleat_1 S", "C:Sleat_0 P:leat_2qc D:Sleat_2 S"} {
		name := string("abc"[i])
		p.user.in.WriteString(parse(name, "q"+name) + sync_)
		reply := prepared + ready('I')
		if i == 2 {
			reply = closed + reply
		}
		if _, _, err := p.serve(reply); err != nil {
			t.Fatal(err)
		}
		check(t, "asked", messages(p.server.take()), want)
	}
	p.user.take()
	// an error before the Close leaves the statement on the server: it is closed later
	p.user.in.WriteString(bind("b") + parse("d", "qd") + sync_)
	if _, _, err := p.serve(failure("22P02") + ready('I')); err != nil {
		t.Fatal(err)
	}
	check(t, "asked", messages(p.server.take()), "B:leat_1 C:Sleat_2 P:leat_3qd D:Sleat_3 S")
	p.user.in.WriteString(query("x"))
	if _, _, err := p.serve(closed + tag("SELECT 0") + ready('I')); err != nil {
		t.Fatal(err)
	}
	check(t, "asked", messages(p.server.take()), "C:Sleat_2 Q:x")
	check(t, "answer", messages(p.user.take()), "E:SERRORVERRORC22P02Mno Z:I C:SELECT_0 Z:I")
	// one that comes back takes the place of another
	p.user.in.WriteString(bind("a") + bind("c") + sync_)
	if _, _, err := p.serve(prepared + ready('I') + prepared + ready('I') + closed + bound + bound + ready('I')); err != nil {
		t.Fatal(err)
	}
	check(t, "asked", messages(p.server.take()), "P:leat_4qa D:Sleat_4 S P:leat_5qc D:Sleat_5 S C:Sleat_1 B:leat_4 B:leat_5 S")
}

// A client never gets rows of other columns than those that it prepared for.
func TestForms(t *testing.T) {
	p := newPair()
	first, firstServer := p.conn, p.server
	second := &script{}
	serve := func(c *Conn, s *script, send, reply, asked, answer string) {
		t.Helper()
		p.conn, p.server = c, s
		p.user.in.WriteString(send)
		if _, _, err := p.serve(reply); err != nil {
			t.Fatal(err)
		}
		check(t, "asked", messages(s.take()), asked)
		check(t, "answer", messages(p.user.take()), answer)
	}
	const refused = "E:SERRORVERRORC0A000Mcached_plan_must_not_change_result_typeFplancache.cRRevalidateCachedQuery Z:I"
	one, two := columns(23, "x"), columns(25, "x")
	z := ready('I')
	other := p.newConn(second)
	use := bind("a") + execute + sync_
	serve(first, firstServer, parse("a", "q")+sync_, parsed+one+z, "P:leat_0q D:Sleat_0 S", "1 Z:I")
	serve(other, second, use, parsed+two+z+failure("26000")+z, "P:leat_0q D:Sleat_0 S D:Sleat_none S", refused)
	// on a conn that has the new one, and is asked again whether it has
	serve(other, second, use, parsed+two+z+closed+failure("26000")+z, "P:leat_1q D:Sleat_1 S C:Sleat_0 D:Sleat_none S", refused)
	// prepared again it is the new one, which the first conn doesn't have
	serve(other, second, closing("a")+parse("a", "q")+describe("a")+sync_, two+two+z, "D:Sleat_1 D:Sleat_1 S", messages(closed+parsed+two+z))
	serve(first, firstServer, use, parsed+two+z+closed+bound+tag("SELECT 0")+z, "P:leat_1q D:Sleat_1 S C:Sleat_0 B:leat_1 E S", "2 C:SELECT_0 Z:I")
	// in a transaction
	serve(first, firstServer, query("begin"), tag("BEGIN")+ready('T'), "Q:begin", "C:BEGIN Z:T")
	serve(first, firstServer, parse("b", "r")+describe("b")+sync_, parsed+one+ready('T'), "P:leat_2r D:Sleat_2 S", messages(parsed+one+ready('T')))
	serve(first, firstServer, query("end"), tag("COMMIT")+z, "Q:end", "C:COMMIT Z:I")
	serve(other, second, query("begin"), tag("BEGIN")+ready('T'), "Q:begin", "C:BEGIN Z:T")
	serve(other, second, bind("b")+sync_, failure("42P01")+ready('E')+failure("26000")+ready('E'), "P:leat_2r D:Sleat_2 S D:Sleat_none S", "E:SERRORVERRORC42P01Mno Z:E")
}

// A statement is prepared in the state that its client prepared it in.
func TestMeaning(t *testing.T) {
	p := newPair()
	p.user.in.WriteString(parse("a", "q") + sync_)
	p.serve(prepared + ready('I'))
	p.user.in.WriteString(query("set datestyle to german"))
	p.serve(setting("DateStyle", "German") + tag("SET") + ready('I'))
	p.server.take()
	second := &script{}
	state := p.conn.State()
	p.conn, p.server = p.newConn(second), second
	p.conn.state = state
	p.user.in.WriteString(bind("a") + execute + sync_)
	set := row("x") + tag("SELECT 1") + ready('I')
	if _, _, err := p.serve(set + prepared + ready('I') + set + bound + tag("SELECT 0") + ready('I')); err != nil {
		t.Fatal(err)
	}
	check(t, "asked", messages(second.take()), "Q:SELECT_pg_catalog.set_config('datestyle',_NULL,_false) P:leat_0q D:Sleat_0 S "+
		"Q:SELECT_pg_catalog.set_config('datestyle',_'German',_false) B:leat_0 E S")
	if got := p.conn.State(); got != state {
		t.Errorf("the conn is in %q, want %q", got.Key(), state.Key())
	}
}

// Columns that have changed are an error to a client that prepared before, and to nobody else.
func TestHealing(t *testing.T) {
	stale := string(endMessage(append([]byte("E\x00\x00\x00\x00SERROR\x00VERROR\x00C0A000\x00Mcached plan must not change result type\x00RRevalidateCachedQuery\x00"), 0), 0))
	p := newPair()
	p.user.in.WriteString(parse("a", "q") + sync_)
	p.serve(prepared + ready('I'))
	p.server.take()
	p.user.take()
	p.user.in.WriteString(bind("a") + execute + sync_)
	p.serve(stale + ready('I'))
	check(t, "asked", messages(p.server.take()), "B:leat_0 E S")
	if got := messages(p.user.take()); !strings.HasPrefix(got, "E:SERRORVERRORC0A000") {
		t.Errorf("got %s, want the error", got)
	}
	p.user.in.WriteString(parse("b", "q") + bind("b") + execute + sync_)
	p.serve(closed + prepared + bound + tag("SELECT 0") + ready('I'))
	check(t, "asked", messages(p.server.take()), "C:Sleat_0 P:leat_1q D:Sleat_1 B:leat_1 E S")
	p.user.take()
	p.user.in.WriteString(closing("b") + parse("b", "q") + bind("b") + execute + sync_)
	p.serve(stale + ready('I') + closed + prepared + bound + tag("SELECT 0") + ready('I'))
	check(t, "asked", messages(p.server.take()), "D:Sleat_1 B:leat_1 E S C:Sleat_1 P:leat_2q D:Sleat_2 B:leat_2 E S")
	check(t, "answer", messages(p.user.take()), "3 1 2 C:SELECT_0 Z:I")
}

func TestLongRequests(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	p := newPair()
	p.user.in.WriteString(query(big))
	r, _, err := p.serve(tag("SELECT 0") + ready('I'))
	if got := p.server.take(); err != nil || got != query(big) || !r.Long() || len(r.SQL) > 64<<10 {
		t.Errorf("query: got %d bytes, long %v, err %v", len(got), r.Long(), err)
	}
	p.user.take()
	long := typed(reqBind, "\x00a\x00\x00\x00\x00\x01\x00\x30\x00\x00"+big+"\x00\x00")
	p.user.in.WriteString(parse("a", "q") + long + execute + sync_)
	p.serve(prepared + ready('I'))
	check(t, "asked", messages(p.server.take()), "P:leat_0q D:Sleat_0 S")
	if r, out, err := p.serve(bound); err != nil || r.Rest == 0 || !r.Unsynced || !out.Unsynced {
		t.Errorf("Bind: rest %d, unsynced %v, outcome %+v, err %v", r.Rest, r.Unsynced, out, err)
	}
	want := strings.Replace(typed(reqBind, "\x00leat_0\x00\x00\x00\x00\x01\x00\x30\x00\x00"+big+"\x00\x00"), "\n", "\n", 1) + flush
	if got := p.server.take(); got != want {
		t.Errorf("Bind: got %d bytes, want %d", len(got), len(want))
	}
	p.serve(tag("SELECT 0") + ready('I'))
	check(t, "asked", messages(p.server.take()), "E S")
	check(t, "answer", messages(p.user.take()), "1 2 C:SELECT_0 Z:I")

	p.user.in.WriteString(parse("", big) + bind("") + execute + sync_)
	if _, out, err := p.serve(parsed); err != nil || !out.Unsynced {
		t.Errorf("Parse: unsynced %v, err %v", out.Unsynced, err)
	}
	if got := p.server.take(); got != parse("", big)+flush {
		t.Errorf("Parse: got %d bytes", len(got))
	}
	p.serve(bound + tag("SELECT 0") + ready('I'))
	check(t, "asked", messages(p.server.take()), "B E S")
}

// A Run of many messages is cut, and what may fill the server's buffer is written beside the reading.
func TestManyMessages(t *testing.T) {
	p := newPair()
	p.user.in.WriteString(parse("a", "q") + sync_)
	p.serve(prepared + ready('I'))
	p.server.take()
	p.user.take()
	const n = 3 * maxSteps / 2
	p.user.in.WriteString(strings.Repeat(bind("a")+execute, n) + sync_)
	served := 0
	for served < 2*n+1 {
		k := min(maxSteps/2, n-served/2)
		reply := strings.Repeat(bound+tag("SELECT 0"), k)
		if served+2*k == 2*n && k < maxSteps/2 {
			reply += ready('I')
			served++
		}
		if _, out, err := p.serve(reply); err != nil || out.Unsynced != (served%2 == 0) {
			t.Fatalf("after %d: unsynced %v, err %v", served, out.Unsynced, err)
		}
		served += 2 * k
	}
	if got := strings.Count(p.user.take(), "SELECT 0"); got != n {
		t.Errorf("got %d answers, want %d", got, n)
	}
	if got := strings.Count(p.server.take(), "leat_0"); got != n {
		t.Errorf("the server got %d, want %d", got, n)
	}
}

func TestOwnAnswers(t *testing.T) {
	p := newPair()
	read := func(send string) *wire.Request {
		var r wire.Request
		p.user.in.WriteString(send)
		if err := p.client.ReadRequest(&r); err != nil {
			t.Fatal(err)
		}
		return &r
	}
	done := func(r *wire.Request, want string) {
		t.Helper()
		p.client.Finish(r)
		p.client.Flush()
		check(t, "answer", messages(p.user.take()), want)
	}
	r := read(query("set"))
	p.client.SendOK(r, wire.Done{Tag: "SET", Tx: wire.TxOpen})
	done(r, "C:SET Z:T")
	r = read(parse("a", "show") + describe("a") + sync_)
	p.client.SendRows(r, []string{"x"}, [][]string{{"1"}})
	done(r, "1 t T:x Z:T")
	r = read(bind("a") + execute + sync_)
	if len(r.Stmts) != 1 || r.Stmts[0].Text != "show" {
		t.Errorf("got statements %v", r.Stmts)
	}
	p.client.SendRows(r, []string{"x"}, [][]string{{"1"}, {"2"}})
	done(r, "2 D:1 D:2 C:SELECT_2 Z:T")
	r = read(parse("b", "q") + flush)
	p.client.SendError(&wire.Error{Code: wire.CodePoolTimeout, Message: "busy"})
	done(r, "E:SERRORVERRORC53300Mbusy")
	r = read(bind("b") + sync_ + bind("b") + sync_)
	if len(r.Stmts) != 0 {
		t.Errorf("a statement that was refused is there")
	}
	done(r, "Z:T")
	p.client.SendGoodbye(&wire.Error{Code: wire.CodeShutdown, Message: "bye"})
	done(&wire.Request{}, "E:SFATALVFATALC57P01Mbye")
	if !p.client.Deallocate("a") || p.client.Deallocate("a") {
		t.Errorf("Deallocate doesn't know the statements")
	}
}

func TestBadMessages(t *testing.T) {
	for name, in := range map[string]string{
		"length":  "Q\x00\x00\x00\x03",
		"inside":  parse("", "q") + "B\x00\x00\x00\x03",
		"unknown": typed('?', ""),
		"sync":    "S\x7f\xff\xff\xff",
		"query":   "Q\x7f\xff\xff\xff",
	} {
		p := newPair()
		p.user.in.WriteString(in)
		var r wire.Request
		err := p.client.ReadRequest(&r)
		e, ok := err.(*wire.Error)
		if !ok {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		p.client.SendError(e)
		p.client.Flush()
		if got := p.user.take(); !bytes.Contains([]byte(got), []byte("FATAL\x00C08P01")) {
			t.Errorf("%s: got %s", name, messages(got))
		}
	}
}

// SQL finds a client's statement by the client's name, for the time of the request.
func TestNamesInSQL(t *testing.T) {
	p := newPair()
	z := ready('I')
	serve := func(send string, o wire.Options, reply, asked, answer string) {
		t.Helper()
		p.options = o
		p.user.in.WriteString(send)
		if _, _, err := p.serve(reply); err != nil {
			t.Fatal(err)
		}
		check(t, "asked", messages(p.server.take()), asked)
		check(t, "answer", messages(p.user.take()), answer)
	}
	none, both := wire.Options{}, []string{"a", "b"}
	serve(parse("a", "q")+describe("a")+sync_, none, prepared+z, "P:leat_0q D:Sleat_0 S", "1 t n Z:I")
	serve(query("x"), wire.Options{Names: both}, parsed+z+tag("SELECT 0")+z, "P:aq S Q:x", "C:SELECT_0 Z:I")
	serve(query("x"), wire.Options{Names: both}, closed+parsed+z+tag("SELECT 0")+z, "C:Sa P:aq S Q:x", "C:SELECT_0 Z:I")
	serve(query("y"), none, closed+tag("SELECT 0")+z, "C:Sa Q:y", "C:SELECT_0 Z:I")
	serve(query("x"), wire.Options{Names: both, Drops: both}, parsed+z+tag("DEALLOCATE")+failure("26000")+z, "P:aq S Q:x", "C:DEALLOCATE E:SERRORVERRORC26000Mno Z:I")
	serve(bind("a")+sync_, none, closed+failure("26000")+z, "C:Sa B:a S", "E:SERRORVERRORC26000Mno Z:I")
	serve(parse("a", "q")+describe("a")+sync_, none, described+described+z, "D:Sleat_0 D:Sleat_0 S", "1 t n Z:I")
}
