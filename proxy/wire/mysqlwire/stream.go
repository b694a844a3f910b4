package mysqlwire

// stream.go: buffered reading and writing of frames, without holding a buffer while waiting.

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"leat/proxy/wire"
)

const bufferSize = 16 << 10

// buffers are lent to streams while they have bytes to hold. All are bufferSize long.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// reader reads frames from a connection. While it waits with nothing buffered it holds no buffer:
// plain sockets are read through the runtime's poller with a callback that takes a pooled buffer
// only once data is there. TLS and compressed connections keep theirs while they wait.
type reader struct {
	nc  net.Conn
	raw syscall.RawConn // nil: read through nc
	// socket is what is below TLS and compression; nil if there is none to look at.
	socket syscall.RawConn

	buf    []byte // buf[r:w] is unread
	pooled *[bufferSize]byte
	r, w   int

	// question is what ask sends from inside the callback of raw.Read; the rest is set by that callback
	question *writer
	onReady  func(fd uintptr) bool
	n        int
	err      error
}

func newReader(nc net.Conn) *reader {
	rd := &reader{nc: nc, socket: socketOf(nc)}
	if _, ok := nc.(syscall.Conn); ok {
		rd.raw = rd.socket
	}
	rd.onReady = rd.readReady
	return rd
}

// buffered is how many bytes can be read without a system call.
func (rd *reader) buffered() int { return rd.w - rd.r }

// bytes are the unread bytes. They alias the buffer: valid until the next fill or discard.
func (rd *reader) bytes() []byte { return rd.buf[rd.r:rd.w] }

// discard drops n unread bytes and gives the buffer back when nothing is left.
func (rd *reader) discard(n int) {
	rd.r += n
	if rd.r == rd.w {
		rd.release()
	}
}

func (rd *reader) release() {
	if rd.pooled != nil {
		buffers.Put(rd.pooled)
		rd.pooled = nil
	}
	rd.buf, rd.r, rd.w = nil, 0, 0
}

// take makes room for more bytes: a pooled buffer if there is none.
func (rd *reader) take() {
	if rd.buf == nil {
		rd.pooled = buffers.Get().(*[bufferSize]byte)
		rd.buf = rd.pooled[:]
	}
}

// reserve makes the buffer hold at least n bytes from r on, keeping what is unread.
func (rd *reader) reserve(n int) {
	rd.take()
	if len(rd.buf)-rd.r >= n {
		return
	}
	if len(rd.buf) >= n {
		copy(rd.buf, rd.buf[rd.r:rd.w])
		rd.w -= rd.r
		rd.r = 0
		return
	}
	bigger := make([]byte, n)
	m := copy(bigger, rd.buf[rd.r:rd.w])
	if rd.pooled != nil {
		buffers.Put(rd.pooled)
		rd.pooled = nil
	}
	rd.buf, rd.r, rd.w = bigger, 0, m
}

func (rd *reader) readReady(fd uintptr) bool {
	if q := rd.question; q != nil {
		rd.question = nil
		if q.sendNow(int(fd)) {
			return false // there can't be an answer yet
		}
		return true
	}
	empty := rd.buf == nil
	rd.take()
	for {
		n, err := syscall.Read(int(fd), rd.buf[rd.w:])
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			if empty {
				rd.release()
			}
			return false
		}
		rd.n, rd.err = n, err
		return true
	}
}

// fill waits for more bytes and reads what is there, once.
func (rd *reader) fill() error {
	if rd.buf != nil && rd.w == len(rd.buf) {
		rd.reserve(rd.buffered() + 1)
	}
	if rd.raw == nil {
		rd.take()
		n, err := rd.nc.Read(rd.buf[rd.w:])
		rd.w += n
		if n > 0 {
			return nil
		}
		if rd.buffered() == 0 {
			rd.release()
		}
		return err
	}
	rd.n, rd.err = 0, nil
	if err := rd.raw.Read(rd.onReady); err != nil {
		return err
	}
	if rd.err == nil && rd.n == 0 {
		rd.err = io.EOF
	}
	rd.w += max(rd.n, 0)
	if rd.err != nil && rd.buffered() == 0 {
		rd.release()
	}
	return rd.err
}

// ask sends what a writer to the same connection holds, and waits for the first bytes of the answer. The
// poller is armed before the question leaves, which saves the look for an answer that can't be there yet.
// The error is that of sending; one of reading shows at the next read.
func (rd *reader) ask(wr *writer) error {
	if rd.raw == nil || rd.buffered() > 0 || len(wr.buf) == 0 || wr.err != nil {
		return wr.flush()
	}
	rd.question = wr
	err := rd.fill()
	if rd.question != nil { // the connection was closed, or its deadline had passed
		rd.question = nil
		return err
	}
	return wr.flush() // what sendNow left, or nothing
}

// need waits until at least n bytes are buffered.
func (rd *reader) need(n int) error {
	if rd.buffered() >= n {
		return nil
	}
	if rd.buffered() > 0 {
		rd.reserve(n)
	}
	for rd.buffered() < n {
		if err := rd.fill(); err != nil {
			if err == io.EOF && rd.buffered() > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		if rd.buffered() < n {
			rd.reserve(n)
		}
	}
	return nil
}

// header waits for the next frame's header and returns its payload's length and sequence id,
// without consuming it.
func (rd *reader) header() (length int, seq byte, err error) {
	if err := rd.need(headerSize); err != nil {
		return 0, 0, err
	}
	b := rd.buf[rd.r:]
	return int(b[0]) | int(b[1])<<8 | int(b[2])<<16, b[3], nil
}

// frame waits for a whole frame and returns its payload, which aliases the buffer. The frame is
// still unread: discard headerSize+len(payload).
func (rd *reader) frame(limit int) ([]byte, error) {
	n, _, err := rd.header()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, wire.ErrTooLarge
	}
	if err := rd.need(headerSize + n); err != nil {
		return nil, err
	}
	return rd.buf[rd.r+headerSize : rd.r+headerSize+n], nil
}

// writer gathers frames and sends them in few system calls. Its buffer is lent while bytes wait.
type writer struct {
	nc     net.Conn
	buf    []byte
	pooled *[bufferSize]byte
	sent   int // bytes handed to the connection so far
	err    error
	// began is told when a write begins, in ns since 1970, and 0 when it has ended; nil: nobody asks.
	began *atomic.Int64
}

// grab returns the buffer to append to; put it back with keep.
func (wr *writer) grab() []byte {
	if wr.buf == nil {
		wr.pooled = buffers.Get().(*[bufferSize]byte)
		wr.buf = wr.pooled[:0]
	}
	return wr.buf
}

// write appends bytes, flushing whenever the buffer is full. Large slices are sent as they are.
func (wr *writer) write(p []byte) {
	b := wr.grab()
	if len(b)+len(p) <= bufferSize {
		wr.buf = append(b, p...)
		return
	}
	wr.flush()
	if len(p) >= bufferSize {
		wr.send(p)
		return
	}
	wr.buf = append(wr.grab(), p...)
}

// total is how many bytes were written so far, sent or still buffered.
func (wr *writer) total() int { return wr.sent + len(wr.buf) }

// rewind takes back what was written since total was mark. It reports false, and does nothing, when some
// of it has been sent.
func (wr *writer) rewind(mark int) bool {
	keep := mark - wr.sent
	if keep < 0 {
		return false
	}
	wr.buf = wr.buf[:keep]
	return true
}

// packet appends one packet: its header, and its payload split into frames where it is long.
// It returns the next sequence id.
func (wr *writer) packet(payload []byte, seq byte) byte {
	for {
		n := min(len(payload), maxFrame)
		if len(wr.grab())+headerSize > bufferSize {
			wr.flush()
		}
		wr.buf = putHeader(wr.grab(), n, seq)
		wr.write(payload[:n])
		seq++
		payload = payload[n:]
		if n < maxFrame {
			return seq
		}
	}
}

func (wr *writer) send(p []byte) {
	if wr.err != nil {
		return
	}
	if wr.began != nil {
		wr.began.Store(time.Now().UnixNano())
		defer wr.began.Store(0)
	}
	n, err := wr.nc.Write(p)
	wr.sent += n
	wr.err = err
}

// sendNow sends what is buffered without waiting, and reports whether nothing is left. flush does the rest.
func (wr *writer) sendNow(fd int) bool {
	n, err := syscall.Write(fd, wr.buf)
	for err == syscall.EINTR {
		n, err = syscall.Write(fd, wr.buf)
	}
	if n > 0 {
		wr.sent += n
		wr.buf = wr.buf[n:]
	}
	if err != nil && err != syscall.EAGAIN {
		wr.err = err
	}
	return err == nil && len(wr.buf) == 0
}

// flush sends what is buffered and gives the buffer back. The error is kept: later writes do nothing.
func (wr *writer) flush() error {
	if len(wr.buf) > 0 {
		wr.send(wr.buf)
	}
	if wr.pooled != nil {
		buffers.Put(wr.pooled)
	}
	wr.buf, wr.pooled = nil, nil
	return wr.err
}

// isTimeout reports whether an error is a deadline that passed.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
