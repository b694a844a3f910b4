// Package stream is the buffered reading and writing of frames that both dialects' codecs share. No buffer
// is held while a connection waits.
package stream

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// BufferSize is how long the buffers are that are lent to readers and writers, in bytes.
const BufferSize = 16 << 10

// buffers are lent while there are bytes to hold.
var buffers = sync.Pool{New: func() any { return new([BufferSize]byte) }}

// Reader reads frames from a connection. While it waits with nothing buffered it holds no buffer:
// plain sockets are read through the runtime's poller with a callback that takes a pooled buffer
// only once data is there. TLS and compressed connections keep theirs while they wait.
type Reader struct {
	nc  net.Conn
	raw syscall.RawConn // nil: read through nc
	// socket is what is below TLS and compression; nil if there is none to look at.
	socket syscall.RawConn

	buf    []byte // buf[r:w] is unread
	pooled *[BufferSize]byte
	r, w   int

	// question is what Ask sends from inside the callback of raw.Read; the rest is set by that callback
	question *Writer
	onReady  func(fd uintptr) bool
	n        int
	err      error
	// Began is told when a wait for bytes begins, in ns since 1970; nil: nobody asks.
	Began *atomic.Int64
}

// NewReader makes a Reader of a connection.
func NewReader(nc net.Conn) *Reader {
	rd := &Reader{nc: nc, socket: socketOf(nc)}
	if _, ok := nc.(syscall.Conn); ok {
		rd.raw = rd.socket
	}
	rd.onReady = rd.readReady
	return rd
}

// Buffered is how many bytes can be read without a system call.
func (rd *Reader) Buffered() int { return rd.w - rd.r }

// Bytes are the unread bytes. They alias the buffer: valid until the next Fill, Need or Discard.
func (rd *Reader) Bytes() []byte { return rd.buf[rd.r:rd.w] }

// Discard drops n unread bytes and gives the buffer back when nothing is left.
func (rd *Reader) Discard(n int) {
	rd.r += n
	if rd.r == rd.w {
		rd.release()
	}
}

func (rd *Reader) release() {
	if rd.pooled != nil {
		buffers.Put(rd.pooled)
		rd.pooled = nil
	}
	rd.buf, rd.r, rd.w = nil, 0, 0
}

// take makes room for more bytes: a pooled buffer if there is none.
func (rd *Reader) take() {
	if rd.buf == nil {
		rd.pooled = buffers.Get().(*[BufferSize]byte)
		rd.buf = rd.pooled[:]
	}
}

// Reserve makes the buffer hold at least n bytes from r on, keeping what is unread.
func (rd *Reader) Reserve(n int) {
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

func (rd *Reader) readReady(fd uintptr) bool {
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

// Fill waits for more bytes and reads what is there, once.
func (rd *Reader) Fill() error {
	if rd.buf != nil && rd.w == len(rd.buf) {
		rd.Reserve(rd.Buffered() + 1)
	}
	if rd.Began != nil {
		rd.Began.Store(time.Now().UnixNano())
	}
	if rd.raw == nil {
		rd.take()
		n, err := rd.nc.Read(rd.buf[rd.w:])
		rd.w += n
		if n > 0 {
			return nil
		}
		if rd.Buffered() == 0 {
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
	if rd.err != nil && rd.Buffered() == 0 {
		rd.release()
	}
	return rd.err
}

// Ask sends what a writer to the same connection holds, and waits for the first bytes of the answer. The
// poller is armed before the question leaves, which saves the look for an answer that can't be there yet.
// The error is that of sending; one of reading shows at the next read.
func (rd *Reader) Ask(wr *Writer) error {
	if rd.raw == nil || rd.Buffered() > 0 || len(wr.buf) == 0 || wr.err != nil {
		return wr.Flush()
	}
	rd.question = wr
	err := rd.Fill()
	if rd.question != nil { // the connection was closed, or its deadline had passed
		rd.question = nil
		return err
	}
	return wr.Flush() // what sendNow left, or nothing
}

// Need waits until at least n bytes are buffered.
func (rd *Reader) Need(n int) error {
	if rd.Buffered() >= n {
		return nil
	}
	if rd.Buffered() > 0 {
		rd.Reserve(n)
	}
	for rd.Buffered() < n {
		if err := rd.Fill(); err != nil {
			if err == io.EOF && rd.Buffered() > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		if rd.Buffered() < n {
			rd.Reserve(n)
		}
	}
	return nil
}
