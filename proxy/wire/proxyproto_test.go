package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestProxyHeader(t *testing.T) {
	v2 := func(command, family byte, body string) string {
		return proxyV2Signature + string([]byte{command, family, byte(len(body) >> 8), byte(len(body))}) + body
	}
	const tcp4 = "\xc0\x00\x02\x01\xc0\x00\x02\x09\xc8\x22\x0c\xea"
	tcp6 := "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + strings.Repeat("\x00", 16) + "\xc8\x22\x0c\xea"
	mapped := strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x01" + strings.Repeat("\x00", 16) + "\xc8\x22\x0c\xea"
	const none = "invalid AddrPort"
	tests := []struct {
		name, in, want string
		err            error
	}{
		{"TCP4", "PROXY TCP4 192.0.2.1 192.0.2.9 51234 3306\r\n", "192.0.2.1:51234", nil},
		{"TCP6", "PROXY TCP6 2001:db8::1 2001:db8::9 51234 3306\r\n", "[2001:db8::1]:51234", nil},
		{"mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::1 51234 3306\r\n", "192.0.2.1:51234", nil},
		{"unknown", "PROXY UNKNOWN\r\n", none, nil},
		{"unknown with more", "PROXY UNKNOWN ffff:: ffff:: 1 2\r\n", none, nil},
		{"family and address", "PROXY TCP4 2001:db8::1 2001:db8::9 51234 3306\r\n", none, ErrMalformed},
		{"zone", "PROXY TCP6 fe80::1%eth0 2001:db8::9 51234 3306\r\n", none, ErrMalformed},
		{"port", "PROXY TCP4 192.0.2.1 192.0.2.9 65536 3306\r\n", none, ErrMalformed},
		{"signed port", "PROXY TCP4 192.0.2.1 192.0.2.9 +1 3306\r\n", none, ErrMalformed},
		{"few fields", "PROXY TCP4 192.0.2.1\r\n", none, ErrMalformed},
		{"UDP", "PROXY UDP4 192.0.2.1 192.0.2.9 1 2\r\n", none, ErrMalformed},
		{"endless", "PROXY TCP4 " + strings.Repeat("1", 200), none, ErrTooLarge},
		{"cut", "PROXY TCP4 192.0.2.1", none, io.ErrUnexpectedEOF},
		{"empty", "", none, io.EOF},
		{"a client", "\x20\x00\x00\x01\x05\xa6\x03\x00\x00\x00\x00\x01\x2d", none, ErrMalformed},
		{"2: TCP4", v2(0x21, 0x11, tcp4), "192.0.2.1:51234", nil},
		{"2: TCP4 and extensions", v2(0x21, 0x11, tcp4+"\x04\x00\x03abc"), "192.0.2.1:51234", nil},
		{"2: TCP6", v2(0x21, 0x21, tcp6), "[2001:db8::1]:51234", nil},
		{"2: mapped", v2(0x21, 0x21, mapped), "192.0.2.1:51234", nil},
		{"2: local", v2(0x20, 0x00, ""), none, nil},
		{"2: unix", v2(0x21, 0x31, strings.Repeat("/", 216)), none, nil},
		{"2: version", v2(0x31, 0x11, tcp4), none, ErrMalformed},
		{"2: command", v2(0x22, 0x11, tcp4), none, ErrMalformed},
		{"2: short addresses", v2(0x21, 0x11, tcp4[:11]), none, ErrMalformed},
		{"2: too long", v2(0x21, 0x11, strings.Repeat("x", maxProxyV2+1)), none, ErrTooLarge},
		{"2: cut", v2(0x21, 0x11, tcp4)[:20], none, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		in := bytes.NewBufferString(tt.in)
		if tt.err == nil {
			in.WriteString("rest")
		}
		got, err := ReadProxyHeader(in)
		if got.String() != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.name, got, err, tt.want, tt.err)
		}
		if tt.err == nil && in.String() != "rest" {
			t.Errorf("%s: %q is left, want %q", tt.name, in, "rest")
		}
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.9 51234 3306\r\n"))
	f.Add([]byte(proxyV2Signature + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x09\xc8\x22\x0c\xea"))
	f.Fuzz(func(t *testing.T, p []byte) {
		from, err := ReadProxyHeader(bytes.NewReader(p))
		if err != nil && from.IsValid() {
			t.Fatalf("got %v with %v", from, err)
		}
	})
}
