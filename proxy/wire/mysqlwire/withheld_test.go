package mysqlwire

// Tests of clients that don't go on with what they have begun to send.

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"leat/proxy/wire"
)

func TestWithheld(t *testing.T) {
	query := packets(0, append([]byte{ComQuery}, bytes.Repeat([]byte("x"), 2*wholeRequest)...))
	short := packets(0, []byte("\x03SELECT 1"))
	for _, tt := range []struct {
		name string
		sent []byte
		cut  int
		read func(c *Client) error
	}{
		{"a request", short, headerSize + 3, func(c *Client) error { return c.ReadRequest(&wire.Request{}) }},
		{"a long one that is passed on", query, wholeRequest, func(c *Client) error {
			var r wire.Request
			if err := c.ReadRequest(&r); err != nil {
				return err
			}
			sink := newWriter(nowhere{})
			return c.copyRest(&r, &sink)
		}},
		{"a file", append(packets(2, []byte("1,2\n")), packets(3, nil)...), headerSize + 4, func(c *Client) error {
			sink := newWriter(nowhere{})
			for n, err := 1, error(nil); n > 0; {
				if n, err = c.copyFrame(&sink); err != nil {
					return err
				}
			}
			return nil
		}},
		{"the answer to a log-in", packets(3, []byte("secret")), 0, func(c *Client) error {
			_, err := (&clientIO{c}).ReadPacket()
			return err
		}},
	} {
		here, there := net.Pipe()
		c := testClient(here)
		c.limit = 1 << 26
		done := make(chan error, 1)
		go func() { done <- tt.read(c) }()
		there.Write(tt.sent[:tt.cut])
		await(t, tt.name+" is withheld", func() bool { return c.Withheld(time.Now().Add(time.Minute)) >= time.Minute })
		there.Write(tt.sent[tt.cut:])
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

// A client that is silent between requests withholds nothing.
func TestSilenceIsNotWithheld(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	c := testClient(here)
	done := make(chan error, 1)
	go func() {
		var r wire.Request
		err := c.ReadRequest(&r)
		c.Finish(&r)
		if err == nil {
			err = c.ReadRequest(&r)
		}
		done <- err
	}()
	there.Write(packets(0, []byte{ComPing}))
	for range 1000 {
		if d := c.Withheld(time.Now().Add(time.Minute)); d != 0 {
			t.Fatalf("withheld for %v", d)
		}
	}
	there.Close()
	if err := <-done; err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
}
