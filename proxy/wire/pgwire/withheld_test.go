package pgwire

// Tests of clients that don't go on with what they have begun to send.

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"leat/proxy/wire"
)

func TestWithheld(t *testing.T) {
	const query = "Q\x00\x00\x00\x0dSELECT 1\x00"
	for _, tt := range []struct {
		name       string
		sent, rest string
	}{
		{"a query", query[:8], query[8:]},
		{"a Sync", "P\x00\x00\x00\x08\x00\x00\x00\x00", "S\x00\x00\x00\x04"},
	} {
		here, there := net.Pipe()
		c := newClient(&accepted{nc: here, in: newReader(here), out: newWriter(here)}, 1<<20)
		done := make(chan error, 1)
		go func() { done <- c.ReadRequest(&wire.Request{}) }()
		io.WriteString(there, tt.sent)
		for end := time.Now().Add(10 * time.Second); c.Withheld(time.Now().Add(time.Minute)) < time.Minute; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%s is withheld: nobody noticed", tt.name)
			}
		}
		io.WriteString(there, tt.rest)
		if err := <-done; err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d := c.Withheld(time.Now().Add(time.Minute)); d != 0 {
			t.Errorf("%s has arrived, and is withheld for %v", tt.name, d)
		}
		here.Close()
		there.Close()
	}
}
