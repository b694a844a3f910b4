package mysqlwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"leat/proxy/wire"
)

const testCaps = requiredCapabilities | ClientLongPassword

func testGreeting() *greeting {
	return &greeting{
		version: "8.4.6", threadID: 77, salt: []byte("abcdefghijklmnopqrst"), capabilities: testCaps | ClientZstd,
		charset: 255, status: StatusAutocommit, plugin: pluginSHA2,
	}
}

func TestGreeting(t *testing.T) {
	mariadb := testGreeting()
	mariadb.version, mariadb.plugin = "5.5.5-10.11.19-MariaDB-deb12", pluginNative
	mariadb.capabilities, mariadb.mariadb = testCaps&^ClientLongPassword, MariaDBStmtBulk|MariaDBProgress
	for _, want := range []*greeting{testGreeting(), mariadb} {
		p := want.append(nil)
		got, err := parseGreeting(p)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		for cut := range len(p) - len(want.plugin) - 1 {
			if _, err := parseGreeting(p[:cut]); err == nil && !beforeCharset(p, cut) {
				t.Errorf("%s: cut to %d bytes: no error", want.version, cut)
			}
		}
	}
	if got := mariadb.flavor(); got != wire.FlavorMariaDB {
		t.Errorf("flavor = %v, want mariadb", got)
	}
	if got := testGreeting().flavor(); got != wire.FlavorMySQL {
		t.Errorf("flavor = %v, want mysql", got)
	}
}

// beforeCharset reports whether a greeting that is cut there is a whole one of before 4.1.
func beforeCharset(p []byte, cut int) bool { return cut == bytes.IndexByte(p, 0)+1+4+9+2 }

func TestGreetingRefusal(t *testing.T) {
	_, err := parseGreeting(AppendErr(nil, 1040, "", "Too many connections", 0))
	var refused *wire.ServerError
	if !errors.As(err, &refused) || refused.Number != 1040 {
		t.Errorf("got %v, want 1040", err)
	}
	if _, err := parseGreeting([]byte("\x09old\x00")); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("protocol 9: got %v, want malformed", err)
	}
}

func FuzzGreeting(f *testing.F) {
	f.Add(testGreeting().append(nil))
	f.Fuzz(func(t *testing.T, p []byte) {
		g, err := parseGreeting(p)
		if err != nil || g.capabilities&ClientSecureConnection == 0 || g.capabilities&ClientPluginAuth == 0 {
			return
		}
		again, err := parseGreeting(g.append(nil))
		if len(g.salt) <= 254 && strings.IndexByte(g.plugin, 0) < 0 && (err != nil || !reflect.DeepEqual(again, g)) {
			t.Fatalf("got %+v, %v, want %+v", again, err, g)
		}
	})
}

func testResponse(caps Capability) *handshakeResponse {
	h := &handshakeResponse{
		capabilities: caps, maxPacket: 1 << 24, charset: 45, user: "app", auth: []byte("12345678901234567890"), plugin: pluginNative,
	}
	if caps&ClientPluginAuth != 0 {
		h.plugin = pluginSHA2
	}
	if caps&ClientConnectWithDB != 0 {
		h.database = "features"
	}
	if caps&ClientConnectAttrs != 0 {
		h.attributes = []Attribute{{"_client_name", "leat"}, {"program_name", strings.Repeat("p", 300)}, {"empty", ""}}
	}
	if caps&ClientZstd != 0 {
		h.zstdLevel = 7
	}
	return h
}

func TestHandshakeResponse(t *testing.T) {
	tests := map[string]Capability{
		"all":        testCaps | ClientZstd,
		"no lenenc":  testCaps &^ ClientPluginAuthLenenc,
		"no db":      testCaps &^ ClientConnectWithDB,
		"no attrs":   testCaps &^ ClientConnectAttrs,
		"no plugins": testCaps &^ (ClientPluginAuth | ClientPluginAuthLenenc),
		"bare 4.1":   ClientProtocol41 | ClientLongPassword,
		"mariadb":    testCaps &^ ClientLongPassword,
	}
	for name, caps := range tests {
		want := testResponse(caps)
		p := want.append(nil)
		got, err := parseHandshakeResponse(p)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
		for cut := range p { // nothing but an error or less
			_, _ = parseHandshakeResponse(p[:cut])
		}
		if start, _, err := parseHandshakeStart(want.appendSSLRequest(nil)); err != nil || start.capabilities != caps {
			t.Errorf("%s: TLS request: got %+v, %v", name, start, err)
		}
		if n := len(want.appendSSLRequest(nil)); n != 32 {
			t.Errorf("%s: TLS request of %d bytes, want 32", name, n)
		}
	}
}

func TestHandshakeResponseRefused(t *testing.T) {
	big := testResponse(testCaps)
	big.attributes = []Attribute{{"a", strings.Repeat("v", maxAttributes)}}
	long := testResponse(testCaps)
	long.user = strings.Repeat("u", maxName+1)
	tests := []struct {
		name string
		p    []byte
		want error
	}{
		{"before 4.1", []byte("\x05\x24\x00\x00\x00root\x00"), errOldClient},
		{"empty", nil, wire.ErrMalformed},
		{"short", []byte("\x00\x02\x00\x00\x00\x00"), wire.ErrMalformed},
		{"attributes over the bound", big.append(nil), wire.ErrTooLarge},
		{"long user", long.append(nil), wire.ErrMalformed},
		{"attribute length past the end", func() []byte {
			p := testResponse(testCaps &^ ClientConnectAttrs).append(nil)
			p[2] |= byte(ClientConnectAttrs >> 16)
			return append(p, 200)
		}(), wire.ErrMalformed},
	}
	for _, tt := range tests {
		if _, err := parseHandshakeResponse(tt.p); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzHandshakeResponse(f *testing.F) {
	for _, caps := range []Capability{testCaps, testCaps | ClientZstd, ClientProtocol41} {
		f.Add(testResponse(caps).append(nil))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := parseHandshakeResponse(p)
		if err != nil || h.capabilities&ClientPluginAuthLenenc == 0 {
			return
		}
		again, err := parseHandshakeResponse(h.append(nil))
		if err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("got %+v, %v, want %+v", again, err, h)
		}
	})
}

// append appends the payload, command byte first, for a client with these capabilities.
func (c *changeUser) append(dst []byte, caps Capability) []byte {
	dst = append(dst, ComChangeUser)
	dst = append(append(dst, c.user...), 0)
	if caps&ClientSecureConnection != 0 {
		dst = append(append(dst, byte(len(c.auth))), c.auth...)
	} else {
		dst = append(append(dst, c.auth...), 0)
	}
	dst = append(append(dst, c.database...), 0)
	dst = binary.LittleEndian.AppendUint16(dst, c.charset)
	if caps&ClientPluginAuth != 0 {
		dst = append(append(dst, c.plugin...), 0)
	}
	if caps&ClientConnectAttrs != 0 {
		dst = appendAttributes(dst, c.attributes)
	}
	return dst
}

func TestChangeUser(t *testing.T) {
	for _, caps := range []Capability{testCaps, testCaps &^ ClientConnectAttrs, ClientProtocol41} {
		want := &changeUser{user: "batch", auth: []byte("01234567890123456789"), database: "db", charset: 305, plugin: pluginNative}
		if caps&ClientConnectAttrs != 0 {
			want.attributes = []Attribute{{"k", "v"}}
		}
		p := want.append(nil, caps)
		got, err := parseChangeUser(p, caps)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%#x: got %+v, %v, want %+v", uint32(caps), got, err, want)
		}
		for cut := range p {
			_, _ = parseChangeUser(p[:cut], caps)
		}
	}
	if _, err := parseChangeUser([]byte("\x11user\x00\x14short"), testCaps); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("got %v, want malformed", err)
	}
}

func FuzzChangeUser(f *testing.F) {
	c := changeUser{user: "u", auth: []byte("a"), database: "d", charset: 45, plugin: pluginSHA2}
	f.Add(c.append(nil, testCaps), uint32(testCaps))
	f.Fuzz(func(t *testing.T, p []byte, caps uint32) {
		c, err := parseChangeUser(p, Capability(caps))
		if err != nil || Capability(caps)&ClientPluginAuth == 0 {
			return
		}
		again, err := parseChangeUser(c.append(nil, Capability(caps)), Capability(caps))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("got %+v, %v, want %+v", again, err, c)
		}
	})
}

func TestAuthSwitch(t *testing.T) {
	salt := newSalt()
	plugin, got, err := parseAuthSwitch(appendAuthSwitch(nil, pluginSHA2, salt[:]))
	if err != nil || plugin != pluginSHA2 || !bytes.Equal(got, salt[:]) {
		t.Errorf("got %q, %x, %v", plugin, got, err)
	}
	long := append([]byte("\xfeclient_ed25519\x00"), make([]byte, 32)...)
	if plugin, got, err := parseAuthSwitch(long); err != nil || plugin != pluginEd25519 || len(got) != 32 {
		t.Errorf("got %q, %x, %v, want 32 zero bytes", plugin, got, err)
	}
	if _, _, err := parseAuthSwitch([]byte{markEOF}); !errors.Is(err, errOldClient) {
		t.Errorf("old switch: got %v, want a refusal", err)
	}
}

func FuzzAuthSwitch(f *testing.F) {
	f.Add(appendAuthSwitch(nil, pluginNative, []byte("01234567890123456789")))
	f.Fuzz(func(t *testing.T, p []byte) {
		plugin, salt, err := parseAuthSwitch(p)
		if err != nil {
			return
		}
		if len(salt) != saltSize {
			return
		}
		again, saltAgain, err := parseAuthSwitch(appendAuthSwitch(nil, plugin, salt))
		if err != nil || again != plugin || !bytes.Equal(saltAgain, salt) {
			t.Fatalf("got %q, %x, %v, want %q, %x", again, saltAgain, err, plugin, salt)
		}
	})
}

func TestSalt(t *testing.T) {
	for range 200 {
		for _, b := range newSalt() {
			if b == 0 || b == '$' || b > 127 {
				t.Fatalf("salt holds %#x", b)
			}
		}
	}
}
