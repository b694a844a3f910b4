package main

import (
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// greet accepts on l and sends each client one byte, until l is closed.
func greet(t *testing.T, l net.Listener) (done chan struct{}) {
	t.Helper()
	done = make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("Accept: got %v, want a connection or net.ErrClosed", err)
				return
			}
			_, _ = c.Write([]byte{1})
			c.Close()
		}
	}()
	return done
}

// greeted connects once and reads the byte.
func greeted(network, address string) error {
	c, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err
}

// TestTakeover has clients connect all the time while one listener takes over from another, again and again.
func TestTakeover(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := filepath.Join(t.TempDir(), "leat.sock")
			if network == "tcp" {
				address = portOr(t.Context(), 0)
			}
			old, err := listen(t.Context(), address, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			done := greet(t, old)
			go old.Offer(t.Context())
			stop, clients, refused := make(chan struct{}), sync.WaitGroup{}, atomic.Int64{}
			var connects atomic.Int64
			for range 4 {
				clients.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if err := greeted(network, address); err != nil {
							refused.Add(1)
							t.Logf("after %d connects: %v", connects.Load(), err)
						}
						connects.Add(1)
					}
				})
			}
			for range 20 {
				for seen := connects.Load(); connects.Load() < seen+10 && refused.Load() == 0; {
					runtime.Gosched()
				}
				next, err := listen(t.Context(), address, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				if !old.given.Load() {
					t.Fatal("the new listener has a socket of its own, not the old one's")
				}
				nextDone := greet(t, next)
				go next.Offer(t.Context())
				old.Stop()
				<-done
				old, done = next, nextDone
			}
			close(stop)
			clients.Wait()
			old.Close()
			<-done
			t.Logf("%d connects, %d refused", connects.Load(), refused.Load())
			if refused.Load() > 0 {
				t.Errorf("refused: got %d of %d, want 0", refused.Load(), connects.Load())
			}
		})
	}
}

// TestStopWithoutHeir: those who have connected are accepted, then the port is free.
func TestStopWithoutHeir(t *testing.T) {
	address := portOr(t.Context(), 0)
	l, err := listen(t.Context(), address, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	done := greet(t, l)
	l.Stop()
	<-done
	if n, err := waiting.Read(make([]byte, 1)); n != 1 {
		t.Errorf("who had connected: got %d bytes and %v, want 1", n, err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("who comes later: got a connection, want none")
	}
}

// TestListenErrors: the error says what to do.
func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0") // without SO_REUSEPORT
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct{ address, want string }{
		{taken.Addr().String(), "is something else listening there?"},
		{filepath.Join(t.TempDir(), "none", "leat.sock"), "does the directory exist"},
	} {
		if l, err := listen(t.Context(), c.address, 0o600); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v and %v, want %q", c.address, l, err, c.want)
		}
	}
}
