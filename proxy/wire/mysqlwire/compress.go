package mysqlwire

// The compressed protocol, as a net.Conn: what is written leaves in compressed frames, and what is read
// comes out of them. The packets inside may be split over frames anywhere, so that it knows none of them.
//
// A frame has a header of seven bytes: its length as sent (3 bytes), a sequence number of its own (1), and
// its length when expanded (3), or zero if it was not worth compressing. Frames are expanded as they are
// read, and a reply is compressed in chunks, so that no buffer grows with the size of a frame, and an idle
// connection has none at all.

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

const (
	frameHeaderSize = 7
	// minCompress is the size in bytes below which nothing is compressed, as in servers.
	minCompress = 50
	// maxChunk is the most that Leat puts into one frame, in bytes before compression.
	maxChunk = 64 << 10
)

// compression is an algorithm of the compressed protocol: zlib or zstd.
type compression interface {
	// compress appends src, compressed, to dst.
	compress(dst, src []byte) ([]byte, error)
	// expander returns a reader of what is compressed in src, from a pool.
	expander(src io.Reader) (expander, error)
}

// expander reads expanded bytes up to io.EOF. Release puts it back; it is not used afterwards.
type expander interface {
	io.Reader
	release()
}

// compressed is a connection that speaks the compressed protocol. One goroutine may read while another writes.
type compressed struct {
	net.Conn
	algorithm compression
	// goOn reports whether a read inside a frame, which failed, is to be tried again; nil: none is.
	goOn func(err error) bool
	seq  atomic.Uint32 // of the next frame to write: one more than that of the last one read or written

	// owned by the reader
	header   [frameHeaderSize]byte
	got      int              // bytes of header that are there; kept when a deadline ends a read between them
	left     int              // expanded bytes of the current frame that are still to come
	body     io.LimitedReader // the current frame as sent
	expander expander         // nil: the current frame isn't compressed
}

func newCompressed(nc net.Conn, algorithm compression) *compressed {
	return &compressed{Conn: nc, algorithm: algorithm}
}

// NetConn is the connection below.
func (c *compressed) NetConn() net.Conn { return c.Conn }

// Read reads expanded bytes. A deadline that passes between frames loses nothing; one that passes in
// the middle of a compressed frame breaks the connection.
func (c *compressed) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for c.left == 0 {
		if err := c.nextFrame(); err != nil {
			return 0, err
		}
	}
	p = p[:min(len(p), c.left)]
	if c.expander == nil {
		n, err := c.Conn.Read(p)
		c.left -= n
		if err == io.EOF && n > 0 { // the next read will say whether that is too early
			err = nil
		}
		return n, unexpected(err)
	}
	n, err := c.expander.Read(p)
	c.left -= n
	if err != nil && (err != io.EOF || c.left > 0) {
		return n, brokenFrame(err)
	}
	if c.left == 0 {
		err = c.endFrame()
	}
	return n, err
}

// nextFrame reads the header of a frame, and prepares for what follows.
func (c *compressed) nextFrame() error {
	for c.got < frameHeaderSize {
		n, err := c.Conn.Read(c.header[c.got:])
		c.got += n
		if err != nil && c.got < frameHeaderSize {
			if c.got > 0 {
				err = unexpected(err)
			}
			return err
		}
	}
	c.got = 0
	length := int(c.header[0]) | int(c.header[1])<<8 | int(c.header[2])<<16
	expanded := int(c.header[4]) | int(c.header[5])<<8 | int(c.header[6])<<16
	c.seq.Store(uint32(c.header[3]) + 1)
	if expanded == 0 {
		c.left = length
		return nil
	}
	c.body = io.LimitedReader{R: frameBody{c}, N: int64(length)}
	e, err := c.algorithm.expander(&c.body)
	if err != nil {
		return brokenFrame(err)
	}
	c.expander, c.left = e, expanded
	return nil
}

// frameBody reads on where a deadline would break a frame: what expands it can't be asked again.
type frameBody struct{ *compressed }

func (b frameBody) Read(p []byte) (int, error) {
	for {
		n, err := b.Conn.Read(p)
		if n > 0 || err == nil || b.goOn == nil || !b.goOn(err) {
			return n, err
		}
	}
}

// endFrame checks that a compressed frame ends where its header says, and lets go of the expander.
func (c *compressed) endFrame() error {
	var one [1]byte
	n, err := c.expander.Read(one[:])
	if n > 0 {
		return malformed("compressed frame longer than it says")
	}
	if err != io.EOF {
		return brokenFrame(err)
	}
	if c.body.N > 0 {
		return malformed("compressed frame with something behind its end")
	}
	c.expander.release()
	c.expander = nil
	return nil
}

// brokenFrame tells an error of the connection from one of the compressed bytes. A deadline that passed is not told
// as such: the read can't be taken up again.
func brokenFrame(err error) error {
	if isTimeout(err) {
		return fmt.Errorf("inside a compressed frame: %v", err)
	}
	var ne net.Error
	if errors.As(err, &ne) || errors.Is(err, net.ErrClosed) {
		return err
	}
	return malformed("compressed frame")
}

// Write sends p in frames.
func (c *compressed) Write(p []byte) (int, error) {
	buf := frameBuffers.Get().(*[]byte)
	defer frameBuffers.Put(buf)
	written := 0
	for len(p) > 0 {
		chunk := p[:min(len(p), maxChunk)]
		frame, err := c.appendFrame((*buf)[:0], chunk)
		if err != nil {
			return written, err
		}
		if _, err := c.Conn.Write(frame); err != nil {
			return written, err
		}
		written += len(chunk)
		p = p[len(chunk):]
	}
	return written, nil
}

// appendFrame appends a chunk as a frame: compressed, if that makes it smaller.
func (c *compressed) appendFrame(dst, chunk []byte) ([]byte, error) {
	seq := byte(c.seq.Add(1) - 1)
	dst = append(dst, make([]byte, frameHeaderSize)...)
	expanded := len(chunk)
	if expanded >= minCompress {
		var err error
		if dst, err = c.algorithm.compress(dst, chunk); err != nil {
			return nil, err
		}
	}
	if n := len(dst) - frameHeaderSize; n == 0 || n >= expanded {
		dst, expanded = append(dst[:frameHeaderSize], chunk...), 0
	}
	n := len(dst) - frameHeaderSize
	copy(dst, []byte{byte(n), byte(n >> 8), byte(n >> 16), seq, byte(expanded), byte(expanded >> 8), byte(expanded >> 16)})
	return dst, nil
}

// frameBuffers are for one frame each: a chunk that compression made no smaller, or a little larger.
var frameBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, maxChunk+maxChunk/16)
	return &b
}}
