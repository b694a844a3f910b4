package wire

// The PROXY protocol, versions 1 and 2: a load balancer's word for where a client really comes from. It
// comes before everything else. It can say anything, so it is only asked for on connections from networks
// that are trusted; anywhere else its bytes are a bad handshake.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

const (
	proxyV2Signature = "\r\n\r\n\x00\r\nQUIT\n"
	// maxProxyV1 is the longest line of version 1 in bytes, by its specification.
	maxProxyV1 = 107
	// maxProxyV2 bounds the addresses and extensions of version 2, in bytes.
	maxProxyV2 = 4 << 10
)

// ReadProxyHeader reads a PROXY header, and no byte more, and returns where the client comes from. The
// address is not valid if the balancer speaks for itself (a health check) or doesn't know: then the
// connection's own address counts. A missing header is ErrMalformed; a deadline on r bounds the wait.
func ReadProxyHeader(r io.Reader) (netip.AddrPort, error) {
	// The shortest header of either version is longer than this.
	var start [len(proxyV2Signature)]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case string(start[:]) == proxyV2Signature:
		return readProxyV2(r)
	case bytes.HasPrefix(start[:], []byte("PROXY ")):
		return readProxyV1(r, start[:])
	}
	return netip.AddrPort{}, fmt.Errorf("%w: no PROXY header", ErrMalformed)
}

// readProxyV1 reads on to the end of a line such as "PROXY TCP4 192.0.2.1 192.0.2.9 51234 3306\r\n".
func readProxyV1(r io.Reader, start []byte) (netip.AddrPort, error) {
	line := append(make([]byte, 0, maxProxyV1), start...)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxProxyV1 {
			return netip.AddrPort{}, fmt.Errorf("PROXY header: %w: no end of line in %d bytes", ErrTooLarge, maxProxyV1)
		}
		line = line[:len(line)+1]
		if _, err := io.ReadFull(r, line[len(line)-1:]); err != nil {
			return netip.AddrPort{}, cutOff(err)
		}
	}
	f := strings.Split(string(line[:len(line)-2]), " ")
	if f[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(f) != 6 || (f[1] != "TCP4" && f[1] != "TCP6") {
		return netip.AddrPort{}, fmt.Errorf("PROXY header: %w", ErrMalformed)
	}
	addr, err := netip.ParseAddr(f[2])
	if err != nil || addr.Zone() != "" || addr.Is4() != (f[1] == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("address in PROXY header: %w", ErrMalformed)
	}
	port, err := strconv.ParseUint(f[4], 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port in PROXY header: %w", ErrMalformed)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

// readProxyV2 reads what follows the signature: version and command, family, length, addresses, and
// extensions, which are skipped.
func readProxyV2(r io.Reader) (netip.AddrPort, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, cutOff(err)
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if n > maxProxyV2 {
		return netip.AddrPort{}, fmt.Errorf("PROXY header: %w: %d > %d bytes", ErrTooLarge, n, maxProxyV2)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return netip.AddrPort{}, cutOff(err)
	}
	const local, proxied = 0x20, 0x21 // version 2 and the command
	switch {
	case head[0] == local:
		return netip.AddrPort{}, nil
	case head[0] != proxied:
		return netip.AddrPort{}, fmt.Errorf("version or command of PROXY header: %w", ErrMalformed)
	}
	const tcp4, tcp6 = 0x11, 0x21
	switch family := head[1]; {
	case family == tcp4 && n >= 12:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:])), nil
	case family == tcp6 && n >= 36:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:])), nil
	case family == tcp4 || family == tcp6:
		return netip.AddrPort{}, fmt.Errorf("addresses of PROXY header: %w", ErrMalformed)
	}
	return netip.AddrPort{}, nil // a unix socket, or something that isn't TCP
}

// cutOff turns the end of the stream inside a header into an error that says so.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
