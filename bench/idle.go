package main

// Memory per idle client. Clients of Leat and of poolers are logged in; the TCP proxies, which know no log-in, stand in
// front of a listener of this program that greets and then says nothing, since 5,000 threads of a database
// server would measure the server.

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// idleClients reports what each target's resident memory grows by per client.
func (b *bench) idleClients(ctx context.Context) error {
	fmt.Fprintf(b.out, "\n### %d idle clients\n", b.idle)
	rows := [][]string{{"target", "resident before MiB", "with clients MiB", "KiB per client"}}
	for _, t := range b.targets {
		// A splice needs two pipes per client, more descriptors than there may be; pgpool a process.
		if t.proc == nil || t.name == splice || t.name == pgpool {
			continue
		}
		before, after, err := b.idleMemory(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		rows = append(rows, []string{
			t.name, fmt.Sprintf("%.1f", float64(before)/(1<<20)), fmt.Sprintf("%.1f", float64(after)/(1<<20)),
			fmt.Sprintf("%.1f", float64(after-before)/1024/float64(b.idle)),
		})
	}
	printTable(b.out, rows)
	return nil
}

// idleMemory opens the clients and returns the target's resident memory before and with them.
func (b *bench) idleMemory(ctx context.Context, t *target) (before, after int64, err error) {
	dial := func() (io.Closer, error) { return b.login(ctx, t.address) }
	if !t.pools {
		greeter, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, err
		}
		defer greeter.Close()
		go greet(greeter)
		if t, err = b.starter.startTCP(ctx, t.name, greeter.Addr().String()); err != nil {
			return 0, 0, err
		}
		defer t.proc.stop()
		dial = func() (io.Closer, error) { return dialGreeted(ctx, t.address) }
	}
	var open []io.Closer
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range 100 + b.idle {
		if i == 100 { // the first fill pools and caches
			if before, err = settledMemory(ctx, t.pid()); err != nil {
				return 0, 0, err
			}
		}
		c, err := dial()
		if err != nil {
			return 0, 0, fmt.Errorf("client %d: %w", i, err)
		}
		open = append(open, c)
	}
	after, err = settledMemory(ctx, t.pid())
	return before, after, err
}

// settledMemory is a process's resident memory once it hasn't changed by 1 % within a second, or after 10s.
func settledMemory(ctx context.Context, pid int) (int64, error) {
	last, err := residentBytes(pid)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range 10 {
		if err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
		now, err := residentBytes(pid)
		if err != nil {
			return 0, err
		}
		if change := now - last; max(change, -change) < last/100 {
			return now, nil
		}
		last = now
	}
	return last, nil
}

// greeting is as long as a MySQL server's.
var greeting = make([]byte, 100)

// greet greets each client and keeps its connection, until the listener is closed.
func greet(ln net.Listener) {
	var open []net.Conn
	for {
		c, err := ln.Accept()
		if err != nil {
			break
		}
		_, _ = c.Write(greeting)
		open = append(open, c)
	}
	for _, c := range open {
		c.Close()
	}
}

func dialGreeted(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, make([]byte, len(greeting))); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
