package mysqlwire

import (
	"bytes"
	"reflect"
	"testing"

	"leat/proxy/wire"
)

func TestLenencInt(t *testing.T) {
	tests := []struct {
		v    uint64
		want []byte
	}{
		{0, []byte{0}},
		{250, []byte{250}},
		{251, []byte{0xfc, 251, 0}},
		{1<<16 - 1, []byte{0xfc, 0xff, 0xff}},
		{1 << 16, []byte{0xfd, 0, 0, 1}},
		{1<<24 - 1, []byte{0xfd, 0xff, 0xff, 0xff}},
		{1 << 24, []byte{0xfe, 0, 0, 0, 1, 0, 0, 0, 0}},
		{1<<64 - 1, []byte{0xfe, 255, 255, 255, 255, 255, 255, 255, 255}},
	}
	for _, tt := range tests {
		got := appendLenencInt(nil, tt.v)
		if !bytes.Equal(got, tt.want) {
			t.Errorf("appendLenencInt(%d) = %x, want %x", tt.v, got, tt.want)
		}
		if v, n, ok := readLenencInt(got); v != tt.v || n != len(got) || !ok {
			t.Errorf("readLenencInt(%x) = %d, %d, %t, want %d, %d, true", got, v, n, ok, tt.v, len(got))
		}
		for cut := range got {
			if _, _, ok := readLenencInt(got[:cut]); ok {
				t.Errorf("readLenencInt(%x) is ok, want cut off", got[:cut])
			}
		}
	}
	for _, b := range []byte{lenencNull, 0xff} {
		if _, _, ok := readLenencInt(bytes.Repeat([]byte{b}, 9)); ok {
			t.Errorf("readLenencInt(%#x...) is ok, want not", b)
		}
	}
}

func FuzzLenencString(f *testing.F) {
	f.Add([]byte("\x03abc"))
	f.Add([]byte("\xfe\xff\xff\xff\xff\xff\xff\xff\xffa"))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, n, ok := readLenencString(p)
		if !ok {
			return
		}
		if n > len(p) || n < len(s) || !bytes.HasSuffix(p[:n], s) {
			t.Fatalf("readLenencString(%x) = %x, %d", p, s, n)
		}
		again, m, ok := readLenencString(appendLenencString(nil, s))
		if !ok || !bytes.Equal(again, s) || m > n {
			t.Fatalf("round trip of %x = %x, %t", s, again, ok)
		}
	})
}

func TestErr(t *testing.T) {
	tests := []struct {
		name    string
		payload []byte
		want    wire.ServerError
	}{
		{"4.1", AppendErr(nil, 1045, "28000", "no", ClientProtocol41), wire.ServerError{Number: 1045, SQLState: "28000", Message: "no"}},
		{"before the handshake", AppendErr(nil, 1040, "08004", "full", 0), wire.ServerError{Number: 1040, SQLState: "HY000", Message: "full"}},
		{"wrong state", AppendErr(nil, 1, "x", "m", ClientProtocol41), wire.ServerError{Number: 1, SQLState: "HY000", Message: "m"}},
		{"empty", nil, wire.ServerError{Number: 2027, SQLState: "HY000", Message: "malformed error packet"}},
		{"cut in the state", []byte("\xff\x15\x04#28"), wire.ServerError{Number: 1045, SQLState: "HY000", Message: "#28"}},
	}
	for _, tt := range tests {
		if got := *ParseErr(tt.payload); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func FuzzParseErr(f *testing.F) {
	f.Add(AppendErr(nil, 1045, "28000", "no", ClientProtocol41))
	f.Fuzz(func(t *testing.T, p []byte) {
		e := ParseErr(p)
		if again := ParseErr(AppendErr(nil, e.Number, e.SQLState, e.Message, ClientProtocol41)); !reflect.DeepEqual(again, e) {
			t.Fatalf("got %+v, want %+v", again, e)
		}
	})
}

func TestErrorNumbers(t *testing.T) {
	for code := wire.CodeInternal; code <= wire.CodeTxTimeout; code++ {
		if number, state := errorNumber(code); number == 0 || len(state) != 5 {
			t.Errorf("errorNumber(%d) = %d, %q", code, number, state)
		}
		if errorNumbers[code].number == 0 {
			t.Errorf("code %d has no number", code)
		}
	}
	if number, _ := errorNumber(255); number != 1105 {
		t.Errorf("errorNumber(255) = %d, want 1105", number)
	}
}
