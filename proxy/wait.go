package proxy

// wait.go: how a request that waits for a conn is cancelled, while its session goes on.

import (
	"context"
	"sync"
)

// waitContext ends with the session, or when stop is called while somebody waits on it. It makes nothing until
// then: most requests find a conn at once.
type waitContext struct {
	context.Context // the session's

	mu      sync.Mutex
	done    chan struct{} // made when it is first waited on
	stopped bool
	release func() bool // of the session's context
}

// Done implements context.Context.
func (w *waitContext) Done() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		w.done = make(chan struct{})
		w.release = context.AfterFunc(w.Context, w.stop)
	}
	return w.done
}

// Err implements context.Context.
func (w *waitContext) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return context.Canceled
	}
	return w.Context.Err()
}

// stop ends a wait under way; without one it does nothing.
func (w *waitContext) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil && !w.stopped {
		w.stopped = true
		close(w.done)
	}
}

// renew makes it ready for the next wait.
func (w *waitContext) renew() {
	w.mu.Lock()
	release := w.release
	w.done, w.stopped, w.release = nil, false, nil
	w.mu.Unlock()
	if release != nil {
		release()
	}
}
