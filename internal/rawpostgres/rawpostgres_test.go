package rawpostgres

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"testing"
	"time"

	"leat/internal/localdb"
)

// TestReplies reads replies of each shape from real servers: a reply whose end is missed shows in the next.
func TestReplies(t *testing.T) {
	for _, flavor := range localdb.PostgresFlavors {
		t.Run(string(flavor), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			s, err := localdb.Start(ctx, localdb.Options{Flavor: flavor})
			if errors.Is(err, localdb.ErrNotInstalled) && os.Getenv("CI") != "true" {
				t.Skipf("NOT TESTED on %s: %v", flavor, err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			testLogins(t, ctx, s)
			testReplies(t, ctx, s)
			testCancel(t, ctx, s)
		})
	}
}

func testLogins(t *testing.T, ctx context.Context, s *localdb.Server) {
	insecure := &tls.Config{InsecureSkipVerify: true} // the server's certificate is its own authority
	tests := []struct {
		name string
		opts Options
		code string // of the error
	}{
		{"scram", Options{User: localdb.AppUser, Password: localdb.AppPassword}, ""},
		{"scram, wrong password", Options{User: localdb.AppUser, Password: "x"}, "28P01"},
		{"scram-plus", Options{User: localdb.AppUser, Password: localdb.AppPassword, TLS: insecure}, ""},
		{"md5", Options{User: localdb.MD5User, Password: localdb.AppPassword}, ""},
		{"plain", Options{User: localdb.PlainUser, Password: localdb.AppPassword}, ""},
		{"3.2", Options{User: localdb.AppUser, Password: localdb.AppPassword, Minor: 2}, ""},
		{"bad parameter", Options{User: localdb.AppUser, Password: localdb.AppPassword, Params: []string{"nope=1"}}, "42704"},
		{"parameter", Options{User: localdb.AppUser, Password: localdb.AppPassword, Params: []string{"TimeZone=Asia/Tokyo"}}, ""},
	}
	for _, test := range tests {
		test.opts.Database = localdb.AppDatabase
		c, err := Dial(ctx, s.Addr(), test.opts)
		var refused *ServerError
		code := ""
		if errors.As(err, &refused) {
			code = refused.Code
		} else if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if code != test.code {
			t.Errorf("%s: got error %q, want %q", test.name, code, test.code)
		}
		if err != nil {
			continue
		}
		long := s.Flavor() == localdb.Postgres18 && test.opts.Minor == 2
		if got, want := len(c.Key), map[bool]int{false: 4, true: 32}[long]; got != want {
			t.Errorf("%s: key of %d bytes, want %d", test.name, got, want)
		}
		if test.name == "parameter" && c.Greeting.Params()["TimeZone"] != "Asia/Tokyo" {
			t.Errorf("%s: got %v", test.name, c.Greeting.Params())
		}
		c.Close()
	}
}

func testReplies(t *testing.T, ctx context.Context, s *localdb.Server) {
	c := dial(t, ctx, s)
	defer c.Close()
	text := func(values ...string) []Arg {
		args := make([]Arg, len(values))
		for i, v := range values {
			args[i].Value = []byte(v)
		}
		return args
	}
	tests := []struct {
		name     string
		messages [][]byte
		want     string
	}{
		{"create", [][]byte{Query("CREATE TABLE t (id int, x text)")}, "CZ"},
		{"rows", [][]byte{Query("SELECT 1, NULL UNION ALL SELECT 2, 'x'")}, "TDDCZ"},
		{"several", [][]byte{Query("SELECT 1; INSERT INTO t VALUES (1); SELECT nope; SELECT 4")}, "TDCCEZ"},
		{"empty", [][]byte{Query("-- nothing")}, "IZ"},
		{"extended", [][]byte{
			Parse("", "SELECT $1::int + $2", 0, 23), Bind("", "", text("1", "2")), Describe('P', ""), Execute("", 0), Sync(),
		}, "12TDCZ"},
		{"named", [][]byte{Parse("s", "SELECT generate_series(1, $1::int)"), Describe('S', "s"), Sync()}, "1tTZ"},
		{"suspended", [][]byte{Bind("p", "s", text("3"), 1), Execute("p", 2), Execute("p", 0), CloseObject('P', "p"), Sync()}, "2DDsDC3Z"},
		{"binary", [][]byte{Bind("", "s", []Arg{{Value: []byte{0, 0, 0, 1}, Binary: true}}, 1), Execute("", 0), Sync()}, "2DCZ"},
		{"error", [][]byte{Parse("", "SELEC"), Bind("", "", nil), Execute("", 0), Sync()}, "EZ"},
		{"close", [][]byte{CloseObject('S', "s"), CloseObject('S', "never"), Sync()}, "33Z"},
		{"copy", [][]byte{Query("COPY t FROM STDIN"), CopyData([]byte("7\tx\n")), CopyDone()}, "GCZ"},
		{"copy fails", [][]byte{Query("COPY t FROM STDIN"), CopyFail("no")}, "GEZ"},
		{"copy out", [][]byte{Query("COPY t TO STDOUT")}, "HdcCZ"},
		{"function", [][]byte{FunctionCall(1396, text("-5"), 0)}, "VZ"}, // abs(bigint)
		{"notify", [][]byte{Query("LISTEN a; NOTIFY a, 'hello'")}, "CCAZ"},
	}
	for _, test := range tests {
		r, err := c.Do(test.messages...)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := r.Shape(); got != test.want {
			t.Errorf("%s: got %s (%v), want %s", test.name, got, r.Err(), test.want)
		}
		r.Masked() // doesn't panic
	}
	r, err := c.Query("SHOW server_version")
	if err != nil || r.Value() == "" || r.Status() != 'I' {
		t.Errorf("got %q, status %q, %v", r.Value(), r.Status(), err)
	}
}

func testCancel(t *testing.T, ctx context.Context, s *localdb.Server) {
	c := dial(t, ctx, s)
	defer c.Close()
	// A notice is sent at once.
	if err := c.Send(Query("DO $$ BEGIN RAISE NOTICE 'going to sleep'; PERFORM pg_sleep(60); END $$")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadUntil("N"); err != nil {
		t.Fatal(err)
	}
	if err := c.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	r, err := c.ReadReply(1)
	if err != nil {
		t.Fatal(err)
	}
	var canceled *ServerError
	if !errors.As(r.Err(), &canceled) || canceled.Code != "57014" {
		t.Errorf("got %v, want 57014", r.Err())
	}
}

func dial(t *testing.T, ctx context.Context, s *localdb.Server) *Conn {
	t.Helper()
	c, err := Dial(ctx, s.Addr(), Options{User: localdb.AppUser, Password: localdb.AppPassword, Database: localdb.AppDatabase})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMasked masks what differs, and keeps the rest.
func TestMasked(t *testing.T) {
	oid := func(n byte) []byte { return []byte{0, 0, 0x50, n} } // above 16384
	column := func(n byte) []byte {
		b := append([]byte("\x00\x01id\x00"), oid(n)...)
		return append(b, 0, 1, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0)
	}
	tests := []struct {
		kind       byte
		a, b       string
		wantEquals bool
	}{
		{'E', "SERROR\x00Fa.c\x00L1\x00Rf\x00\x00", "SERROR\x00Fb.c\x00L2\x00Rg\x00\x00", true},
		{'E', "SERROR\x00Ma\x00\x00", "SERROR\x00Mb\x00\x00", false},
		{'A', "\x00\x00\x00\x01a\x00b\x00", "\x00\x00\x00\x02a\x00b\x00", true},
		{'A', "\x00\x00\x00\x01a\x00b\x00", "\x00\x00\x00\x01a\x00c\x00", false},
		{'T', string(column(1)), string(column(2)), true},
		{'t', "\x00\x01" + string(oid(1)), "\x00\x01" + string(oid(2)), true},
		{'t', "\x00\x01\x00\x00\x00\x17", "\x00\x01\x00\x00\x00\x19", false},
	}
	for _, test := range tests {
		mask := func(p string) string {
			r := &Reply{Messages: []Message{{test.kind, []byte(p)}}}
			return string(r.Masked().Messages[0].Payload)
		}
		if got := mask(test.a) == mask(test.b); got != test.wantEquals {
			t.Errorf("%c %q and %q are the same after masking: %t, want %t", test.kind, test.a, test.b, got, test.wantEquals)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add(byte('T'), []byte("\x00\x01id\x00"))
	f.Add(byte('E'), []byte("SERROR\x00"))
	f.Add(byte('D'), []byte("\x00\x01\x00\x00\x00\x05ab"))
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		r := &Reply{Messages: []Message{{kind, payload}}}
		r.Masked()
		r.Rows()
		r.Params()
		_ = r.Err()
	})
}
