// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package flat

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Serve is what the target host runs: it accepts connections to every address on Port, answers
// requests, and echoes datagrams. It returns when a listener fails.
func Serve(ready func()) error {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", Port))
	if err != nil {
		return fmt.Errorf("serve TCP: %w", err)
	}
	defer listener.Close()

	socket, err := net.ListenPacket("udp", fmt.Sprintf(":%d", Port))
	if err != nil {
		return fmt.Errorf("serve UDP: %w", err)
	}
	defer socket.Close()

	if err := prepareEcho(socket.(*net.UDPConn)); err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- accept(listener) }()
	go func() { failed <- echo(socket.(*net.UDPConn)) }()
	ready()
	return <-failed
}

// accept answers the requests of every connection. Most are reset by a client that has seen enough.
func accept(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept connections: %w", err)
		}
		if err != nil {
			continue // a connection that was reset before it was accepted
		}
		go respond(connection)
	}
}

func respond(connection net.Conn) {
	defer connection.Close()
	requests := bufio.NewReaderSize(connection, 512)
	for {
		line, err := requests.ReadString('\n')
		if err != nil {
			return
		}
		if line != "\r\n" {
			continue // a request ends with an empty line
		}
		if _, err := connection.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n")); err != nil {
			return
		}
	}
}

// prepareEcho has the kernel tell the address that a datagram was sent to, which an answer must
// come from (ip(7), IP_PKTINFO), and keep many datagrams.
func prepareEcho(socket *net.UDPConn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("serve UDP: %w", err)
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = errors.Join(
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
			// What a busy server has no room for is lost, and looks denied.
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
			// An address that is only routed to this host is not one that it could bind otherwise.
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1),
		)
	})
	if err := errors.Join(err, set); err != nil {
		return fmt.Errorf("serve UDP: %w", err)
	}

	return nil
}

func echo(socket *net.UDPConn) error {
	data, control := make([]byte, 1500), make([]byte, 128)
	for {
		n, m, _, from, err := socket.ReadMsgUDPAddrPort(data, control)
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("echo datagrams: %w", err)
		}
		if err != nil {
			continue // an ICMP message about an earlier answer
		}
		// an answer may get lost
		_, _, _ = socket.WriteMsgUDPAddrPort(data[:n], asked(control[:m]), from)
	}
}

// asked keeps, of what the kernel told of a datagram, the address that it was sent to.
func asked(control []byte) []byte {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for _, one := range messages {
		switch {
		case one.Header.Level == unix.IPPROTO_IP && one.Header.Type == unix.IP_PKTINFO &&
			len(one.Data) >= 12:
			return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: [4]byte(one.Data[4:8])})
		case one.Header.Level == unix.IPPROTO_IPV6 && one.Header.Type == unix.IPV6_PKTINFO &&
			len(one.Data) >= 20:
			return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: [16]byte(one.Data[0:16])})
		}
	}

	return nil
}
