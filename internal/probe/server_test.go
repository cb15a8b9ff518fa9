// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// serve accepts connections on the loopback interface and treats each as told, until the test ends.
func serve(t testing.TB, treat func(net.Conn)) netip.AddrPort {
	t.Helper()
	return serveOn(t, "127.0.0.1:0", treat)
}

// serveOn does so on an address.
func serveOn(t testing.TB, address string, treat func(net.Conn)) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				treat(connection)
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// respond answers a request with a whole HTTP response.
func respond(connection net.Conn) {
	var request [1024]byte
	if _, err := connection.Read(request[:]); err == nil {
		_, _ = connection.Write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: " +
			"0\r\nConnection: close\r\n\r\n"))
	}
}

// silent returns an address whose listener has its backlog full: the kernel drops every further
// SYN, as a policy does.
func silent(t testing.TB) netip.AddrPort {
	t.Helper()
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(listener) })
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}),
		uint16(bound.(*unix.SockaddrInet4).Port))
	connection, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return to
}

// closed returns an address that nobody listens on.
func closed(t testing.TB) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// echo sends every datagram back, until the test ends.
func echo(t testing.TB, address string) netip.AddrPort {
	t.Helper()
	return echoTo(t, address, func(net.Addr) {})
}

// echoTo does so, and tells whom it has answered.
func echoTo(t testing.TB, address string, answered func(to net.Addr)) netip.AddrPort {
	t.Helper()
	socket, to := datagrams(t, address)
	go func() {
		var buffer [1500]byte
		for {
			n, from, err := socket.ReadFrom(buffer[:])
			if err != nil {
				return
			}
			_, _ = socket.WriteTo(buffer[:n], from) // a lost answer is the test's to notice
			answered(from)
		}
	}()
	return to
}

// deaf takes datagrams and never answers.
func deaf(t testing.TB) netip.AddrPort {
	t.Helper()
	_, to := datagrams(t, "127.0.0.1:0")
	return to
}

func datagrams(t testing.TB, address string) (net.PacketConn, netip.AddrPort) {
	t.Helper()
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return socket, socket.LocalAddr().(*net.UDPAddr).AddrPort()
}
