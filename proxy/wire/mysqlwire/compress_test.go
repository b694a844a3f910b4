package mysqlwire

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"leat/proxy/wire"
)

var algorithms = map[string]compression{"zlib": zlibCompression{}, "zstd": zstdCompression{3}, "zstd 22": zstdCompression{22}}

// memoryConn is a connection that reads from one place and writes to another.
type memoryConn struct {
	net.Conn
	io.Reader
	io.Writer
}

func (m memoryConn) Read(p []byte) (int, error)  { return m.Reader.Read(p) }
func (m memoryConn) Write(p []byte) (int, error) { return m.Writer.Write(p) }

func TestCompressedRoundTrip(t *testing.T) {
	random := make([]byte, 200_000)
	_, _ = rand.Read(random)
	text := strings.Repeat("one packet after another ", 1<<20)
	inputs := []struct {
		name    string
		writes  []string
		atMost  int // bytes on the wire
		atLeast int
	}{
		{"small stays as it is", []string{strings.Repeat("a", minCompress-1)}, minCompress - 1 + 7, minCompress - 1 + 7},
		{"text", []string{strings.Repeat("a", 10000)}, 200, 10},
		{"random stays as it is", []string{string(random)}, len(random) + 4*7, len(random) + 4*7},
		{"split anywhere", []string{"a", "bc", text[:100], text[100:70000], "d"}, 3000, 10},
		{"over 16 MB", []string{text}, len(text) / 50, 10},
	}
	for name, algorithm := range algorithms {
		for _, in := range inputs {
			t.Run(name+"/"+in.name, func(t *testing.T) {
				var sent bytes.Buffer
				w := newCompressed(memoryConn{Writer: &sent}, algorithm)
				for _, s := range in.writes {
					if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
						t.Fatalf("Write = %d, %v", n, err)
					}
				}
				if n := sent.Len(); n > in.atMost || n < in.atLeast {
					t.Errorf("%d bytes on the wire, want %d to %d", n, in.atLeast, in.atMost)
				}
				r := newCompressed(memoryConn{Reader: iotest.HalfReader(&sent)}, algorithm)
				got, err := io.ReadAll(r)
				if want := strings.Join(in.writes, ""); err != nil || string(got) != want {
					t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
				}
			})
		}
	}
}

// A frame of a peer's may be as large as the header can say.
func TestCompressedLargeFrame(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), maxFrame/16)
	var z bytes.Buffer
	zw := zlib.NewWriter(&z)
	_, _ = zw.Write(want)
	zw.Close()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"zlib": z.Bytes(), "zstd": e.EncodeAll(want, nil)} {
		c := newCompressed(memoryConn{Reader: bytes.NewReader(rawFrame(len(body), 0, len(want), body))}, algorithms[name])
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, %v, want %d", name, len(got), err, len(want))
		}
	}
}

func rawFrame(length int, seq byte, expanded int, body []byte) []byte {
	return append([]byte{
		byte(length), byte(length >> 8), byte(length >> 16), seq,
		byte(expanded), byte(expanded >> 8), byte(expanded >> 16),
	}, body...)
}

func TestCompressedSequence(t *testing.T) {
	var in, out bytes.Buffer
	c := newCompressed(memoryConn{Reader: &in, Writer: &out}, zlibCompression{})
	step := func(what string, read int, want byte) {
		t.Helper()
		if read >= 0 {
			in.Write(rawFrame(1, byte(read), 0, []byte("x")))
			if _, err := c.Read(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
		}
		out.Reset()
		if _, err := c.Write([]byte("y")); err != nil {
			t.Fatal(err)
		}
		if got := out.Bytes()[3]; got != want {
			t.Errorf("%s: sequence number %d, want %d", what, got, want)
		}
	}
	step("the reply to a command", 0, 1)
	step("its next frame", -1, 2)
	step("the reply to a command of several frames", 3, 4)
	step("the next command begins again", 0, 1)
	step("it wraps", 255, 0)
}

func TestCompressedBroken(t *testing.T) {
	good := func(algorithm compression) []byte {
		b, err := algorithm.compress(nil, bytes.Repeat([]byte("a"), 100))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, algorithm := range algorithms {
		body := good(algorithm)
		n := len(body)
		tests := []struct {
			name string
			in   []byte
			want error
		}{
			{"whole", rawFrame(n, 0, 100, body), nil},
			{"closed behind a raw frame", rawFrame(3, 0, 0, []byte("abc")), nil},
			{"empty frames", append(rawFrame(0, 0, 0, nil), rawFrame(n, 0, 100, body)...), nil},
			{"longer than it says", rawFrame(n, 0, 99, body), wire.ErrMalformed},
			{"shorter than it says", rawFrame(n, 0, 101, body), wire.ErrMalformed},
			{"cut inside", rawFrame(n, 0, 100, body[:n/2]), wire.ErrMalformed},
			{"garbage", rawFrame(100, 0, 100, bytes.Repeat([]byte("?"), 100)), wire.ErrMalformed},
			{"more behind", rawFrame(n+10000, 0, 100, append(body[:n:n], make([]byte, 10000)...)), wire.ErrMalformed},
			{"cut header", rawFrame(n, 0, 100, body)[:3], io.ErrUnexpectedEOF},
			{"cut raw frame", rawFrame(10, 0, 0, []byte("abc")), io.ErrUnexpectedEOF},
		}
		for _, tt := range tests {
			_, err := io.ReadAll(newCompressed(memoryConn{Reader: iotest.DataErrReader(bytes.NewReader(tt.in))}, algorithm))
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: %s: got %v, want %v", name, tt.name, err, tt.want)
			}
		}
	}
}

// A deadline that passes while nothing comes loses nothing.
func TestCompressedDeadline(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	c := newCompressed(near, zlibCompression{})
	frame := rawFrame(3, 0, 0, []byte("abc"))
	buf := make([]byte, 10)

	if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var ne net.Error
	if _, err := c.Read(buf); !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("got %v, want a timeout", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	first := make(chan error, 1)
	go func() {
		_, err := far.Write(frame[:4])
		_ = c.SetReadDeadline(time.Now().Add(-time.Second)) // once half a header is read
		first <- err
	}()
	if _, err := c.Read(buf); !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("got %v, want a timeout", err)
	}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Time{})
	go func() { _, _ = far.Write(frame[4:]) }()
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "abc" {
		t.Errorf("got %q, %v, want abc", buf[:n], err)
	}
}

func TestCompressedAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools lose some of what is put into them")
	}
	chunk := bytes.Repeat([]byte("some rows of a reply "), 500)
	for name, algorithm := range algorithms {
		var wireBytes bytes.Buffer
		c := newCompressed(memoryConn{Reader: &wireBytes, Writer: &wireBytes}, algorithm)
		buf := make([]byte, len(chunk))
		got := testing.AllocsPerRun(100, func() {
			wireBytes.Reset()
			if _, err := c.Write(chunk); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
		})
		if got > 4 {
			t.Errorf("%s: %.0f allocations for a frame each way, want at most 4", name, got)
		}
	}
}

func FuzzCompressed(f *testing.F) {
	for _, a := range []compression{zlibCompression{}, zstdCompression{3}} {
		b, err := a.compress(nil, bytes.Repeat([]byte("a"), 100))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(rawFrame(len(b), 0, 100, b), false)
	}
	f.Add(rawFrame(3, 0, 0, []byte("abc")), true)
	f.Fuzz(func(t *testing.T, p []byte, useZstd bool) {
		algorithm := algorithms["zlib"]
		if useZstd {
			algorithm = algorithms["zstd"]
		}
		c := newCompressed(memoryConn{Reader: bytes.NewReader(p)}, algorithm)
		got, err := io.Copy(io.Discard, c)
		if limit := int64(len(p)/frameHeaderSize+1) * maxFrame; got > limit {
			t.Fatalf("%d bytes from %d, %v", got, len(p), err)
		}
	})
}

func BenchmarkCompressed(b *testing.B) {
	var rows bytes.Buffer
	for i := range 300 {
		fmt.Fprintf(&rows, "\x00%d\x08user%04d\x0bcity number\x030.%d", i, i*7, i*31)
	}
	for name, algorithm := range algorithms {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(rows.Len()))
			c := newCompressed(memoryConn{Writer: io.Discard}, algorithm)
			for b.Loop() {
				if _, err := c.Write(rows.Bytes()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
