// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// sctpConnect succeeds when the one-to-one style SCTP association opens (RFC 6458, section 4).
type sctpConnect struct{ connect }

func (sctpConnect) socket() (kind, protocol int) { return unix.SOCK_STREAM, unix.IPPROTO_SCTP }

// newSCTP finds out first whether the kernel has SCTP: most load it on demand, some have none.
func newSCTP(space *workspace, most int) (*sockets, error) {
	fd, err := openSCTP(unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("use probe mode sctp: %w", err)
	}
	_ = unix.Close(fd) // it was only to be opened
	return newSockets(space, sctpConnect{}, most), nil
}

// openSCTP opens a socket that does not block.
func openSCTP(family int) (int, error) {
	const kind = unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(family, kind, unix.IPPROTO_SCTP)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return fd, fmt.Errorf("this kernel has no SCTP (module sctp): "+
			"use another protocol, or load the module on the node: %w", err)
	}
	return fd, os.NewSyscallError("socket", err)
}

// ListenSCTP serves a port by one-to-one style sockets, in every family that the machine has.
func ListenSCTP(port int) (net.Listener, error) {
	var address unix.Sockaddr = &unix.SockaddrInet6{Port: port}
	fd, err := openSCTP(unix.AF_INET6)
	if errors.Is(err, unix.EAFNOSUPPORT) { // a kernel without IPv6
		address = &unix.SockaddrInet4{Port: port}
		fd, err = openSCTP(unix.AF_INET)
	} else if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if fd < 0 {
		return nil, err
	}

	// To the library it is a stream like those of TCP. The listener has a descriptor of its own.
	file := os.NewFile(uintptr(fd), "sctp")
	defer file.Close()
	if err == nil {
		err = unix.Bind(fd, address)
	}
	if err == nil {
		err = unix.Listen(fd, unix.SOMAXCONN)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return net.FileListener(file)
}
