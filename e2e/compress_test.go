package e2e

// The compressed protocol as a client speaks it, written apart from Leat's own.

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"net"

	"github.com/klauspost/compress/zstd"
)

// compressedConn cuts what is written into compressed packets of at most cut bytes, later more, wherever
// packets begin and end. Every third goes uncompressed, as short ones do.
type compressedConn struct {
	net.Conn
	deflate func([]byte) []byte
	inflate func(p []byte, size int) ([]byte, error)
	cut     int
	seq     byte
	count   int
	unread  []byte
}

func zlibConn(nc net.Conn) net.Conn {
	return &compressedConn{
		Conn: nc, cut: 1000,
		deflate: func(p []byte) []byte {
			var b bytes.Buffer
			w := zlib.NewWriter(&b)
			_, _ = w.Write(p)
			_ = w.Close()
			return b.Bytes()
		},
		inflate: func(p []byte, size int) ([]byte, error) {
			r, err := zlib.NewReader(bytes.NewReader(p))
			if err != nil {
				return nil, err
			}
			out := make([]byte, size)
			_, err = io.ReadFull(r, out)
			return out, err
		},
	}
}

func zstdConn(nc net.Conn) net.Conn {
	w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)) // fails for bad options only
	r, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	return &compressedConn{
		Conn: nc, cut: 1000,
		deflate: func(p []byte) []byte { return w.EncodeAll(p, nil) },
		inflate: func(p []byte, _ int) ([]byte, error) { return r.DecodeAll(p, nil) },
	}
}

func (c *compressedConn) Write(p []byte) (int, error) {
	c.seq = 0
	var out []byte
	for rest := p; len(rest) > 0; c.seq++ {
		cut := c.cut
		if c.count > 300 { // enough small ones
			cut *= 60
		}
		piece := rest[:min(len(rest), cut)]
		rest = rest[len(piece):]
		c.count++
		if small := c.deflate(piece); c.count%3 != 0 {
			out = append(append(append(out, int24(len(small))...), c.seq), int24(len(piece))...)
			out = append(out, small...)
			continue
		}
		out = append(append(append(out, int24(len(piece))...), c.seq), 0, 0, 0)
		out = append(out, piece...)
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func int24(n int) []byte { return []byte{byte(n), byte(n >> 8), byte(n >> 16)} }

func (c *compressedConn) Read(p []byte) (int, error) {
	for len(c.unread) == 0 {
		var head [7]byte
		if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
			return 0, err
		}
		if head[3] != c.seq {
			return 0, fmt.Errorf("compressed packet %d came, want %d", head[3], c.seq)
		}
		c.seq++
		body := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
		if _, err := io.ReadFull(c.Conn, body); err != nil {
			return 0, err
		}
		size := int(head[4]) | int(head[5])<<8 | int(head[6])<<16
		if size == 0 {
			c.unread = body
			continue
		}
		var err error
		if c.unread, err = c.inflate(body, size); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}
