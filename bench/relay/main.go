// Relay is the yardstick that Leat is measured against: the least that a TCP proxy in Go can do. It
// knows nothing of what it passes on. Per client it dials the server once and runs two goroutines, each
// of which reads into a buffer of its own and writes what it read, until one side closes.
//
// With -splice the kernel moves the bytes instead (splice(2), which io.Copy takes between TCP
// connections by itself). For small replies that is more system calls, not fewer.
package main

import (
	"flag"
	"io"
	"log"
	"net"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	to := flag.String("to", "", "address of the server")
	size := flag.Int("buffer", 16<<10, "bytes of buffer per direction")
	splice := flag.Bool("splice", false, "let the kernel move the bytes")
	flag.Parse()

	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go relay(client, *to, *size, *splice)
	}
}

// relay connects a client with the server until either closes.
func relay(client net.Conn, to string, size int, splice bool) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		log.Print(err)
		return
	}
	defer server.Close()
	pump := func(dst, src net.Conn) {
		if splice {
			_, _ = io.Copy(dst, src)
		} else {
			pass(dst, src, make([]byte, size))
		}
		dst.Close()
		src.Close()
	}
	go pump(server, client)
	pump(client, server)
}

// pass is one read and one write for what is there at a time.
func pass(dst io.Writer, src io.Reader, buf []byte) {
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
