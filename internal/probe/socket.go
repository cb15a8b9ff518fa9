// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// resetOnClose has closing a connection reset it, and leave no TIME_WAIT behind (socket(7),
// SO_LINGER).
var resetOnClose = unix.Linger{Onoff: 1}

// openSocket opens a socket that does not wait, and whose error queue has ICMP errors (ip(7),
// IP_RECVERR).
func openSocket(family packet.Family, kind, protocol int) (int32, error) {
	kind |= unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	fd, err := unix.Socket(family.Domain(), kind, protocol)
	if err != nil {
		return none, os.NewSyscallError("socket", err)
	}

	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if family == packet.IPv6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	err = unix.SetsockoptInt(fd, level, option, 1)
	if err == nil {
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &resetOnClose)
	}
	if err != nil {
		closeSocket(int32(fd))
		return none, os.NewSyscallError("setsockopt", err)
	}
	return int32(fd), nil
}

// closeSocket closes a socket, if it is one.
func closeSocket(socket int32) {
	if socket != none {
		_ = unix.Close(int(socket)) // the reset that closes a connection has no reader
	}
}

// socketError takes the error that waits on a socket (socket(7), SO_ERROR), nil if an event tells
// of none (poll(2)).
func socketError(socket int32, events uint32) error {
	if events&unix.EPOLLERR == 0 {
		return nil
	}
	code, err := unix.GetsockoptInt(int(socket), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}

// deferAccept keeps a listening socket's connections from the program until they bring data. The
// kernel waits for it a second or so, then answers the handshake once more and takes what it gets
// (tcp(7), TCP_DEFER_ACCEPT).
func deferAccept(fd int) error {
	err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1)
	return os.NewSyscallError("setsockopt TCP_DEFER_ACCEPT", err)
}
