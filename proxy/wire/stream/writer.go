package stream

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// Writer gathers frames and sends them in few system calls. Its buffer is lent while bytes wait.
type Writer struct {
	nc     net.Conn
	buf    []byte
	pooled *[BufferSize]byte
	sent   int // bytes handed to the connection so far
	err    error
	// Began is told when a write begins, in ns since 1970, and 0 when it has ended; nil: nobody asks.
	Began *atomic.Int64
}

// NewWriter makes a Writer to a connection.
func NewWriter(nc net.Conn) Writer { return Writer{nc: nc} }

// Err is the error that ended the sending, if one did.
func (wr *Writer) Err() error { return wr.err }

// Sent is how many bytes were handed to the connection so far.
func (wr *Writer) Sent() int { return wr.sent }

// Room makes room for n more bytes, which Append takes then without sending anything. n is at most BufferSize.
func (wr *Writer) Room(n int) {
	if len(wr.grab())+n > BufferSize {
		wr.Flush()
	}
}

// Append appends a few bytes for which there is Room.
func (wr *Writer) Append(p ...byte) { wr.buf = append(wr.grab(), p...) }

// grab returns the buffer to append to.
func (wr *Writer) grab() []byte {
	if wr.buf == nil {
		wr.pooled = buffers.Get().(*[BufferSize]byte)
		wr.buf = wr.pooled[:0]
	}
	return wr.buf
}

// Write appends bytes, flushing whenever the buffer is full. Large slices are sent as they are.
func (wr *Writer) Write(p []byte) {
	b := wr.grab()
	if len(b)+len(p) <= BufferSize {
		wr.buf = append(b, p...)
		return
	}
	wr.Flush()
	if len(p) >= BufferSize {
		wr.send(p)
		return
	}
	wr.buf = append(wr.grab(), p...)
}

// Total is how many bytes were written so far, sent or still buffered.
func (wr *Writer) Total() int { return wr.sent + len(wr.buf) }

// Since returns what was written since total was mark. It aliases the buffer: valid until the next call. It is nil
// when some of that has been sent.
func (wr *Writer) Since(mark int) []byte {
	if mark < wr.sent {
		return nil
	}
	return wr.buf[mark-wr.sent:]
}

// Rewind takes back what was written since total was mark. It reports false, and does nothing, when some
// of it has been sent.
func (wr *Writer) Rewind(mark int) bool {
	keep := mark - wr.sent
	if keep < 0 {
		return false
	}
	wr.buf = wr.buf[:keep]
	return true
}

func (wr *Writer) send(p []byte) {
	if wr.err != nil {
		return
	}
	if wr.Began != nil {
		wr.Began.Store(time.Now().UnixNano())
		defer wr.Began.Store(0)
	}
	n, err := wr.nc.Write(p)
	wr.sent += n
	wr.err = err
}

// sendNow sends what is buffered without waiting, and reports whether nothing is left. Flush does the rest.
func (wr *Writer) sendNow(fd int) bool {
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

// Flush sends what is buffered and gives the buffer back. The error is kept: later writes do nothing.
func (wr *Writer) Flush() error {
	if len(wr.buf) > 0 {
		wr.send(wr.buf)
	}
	if wr.pooled != nil {
		buffers.Put(wr.pooled)
	}
	wr.buf, wr.pooled = nil, nil
	return wr.err
}
