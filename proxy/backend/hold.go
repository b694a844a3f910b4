package backend

// The queue of requests that wait for a shard to have a server for them.

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// hold is a queue of requests that wait for a shard to have a server for them. They go on first
// come first served, and a few at a time: each that is done lets the next one go, so that a server
// that came back isn't run over.
type hold struct {
	queued atomic.Int32 // the length of queue, to be read without mu

	mu    sync.Mutex
	queue list.List // of *held
	going int       // have been let go and aren't done
}

// held is one request in the queue. Go is closed when its turn comes.
type held struct {
	goOn chan struct{}
	elem *list.Element // nil once it goes
}

// pace is how many go on at a time.
const pace = 16

// join queues a request; false: there are max already.
func (h *hold) join(max int) (*held, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.queue.Len()+h.going >= max {
		return nil, false
	}
	t := &held{goOn: make(chan struct{})}
	t.elem = h.queue.PushBack(t)
	h.queued.Add(1)
	return t, true
}

// open lets the first ones go.
func (h *hold) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.going < pace && h.queue.Len() > 0 {
		h.pop()
	}
}

// openAll lets everybody go, to be refused.
func (h *hold) openAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.queue.Len() > 0 {
		h.pop()
	}
}

func (h *hold) pop() {
	t := h.queue.Remove(h.queue.Front()).(*held)
	h.queued.Add(-1)
	t.elem = nil
	h.going++
	close(t.goOn)
}

// again puts a request that was let go in vain back to the front.
func (h *hold) again(t *held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.going--
	t.goOn = make(chan struct{})
	t.elem = h.queue.PushFront(t)
	h.queued.Add(1)
}

// leave takes a request out, wherever it is. Passed says that it had been let go.
func (h *hold) leave(t *held) (passed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.elem != nil {
		h.queue.Remove(t.elem)
		h.queued.Add(-1)
		t.elem = nil
		return false
	}
	h.going--
	return true
}

// busy reports whether anybody waits: then a newcomer queues as well.
func (h *hold) busy() bool { return h.queued.Load() > 0 }
