// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SourcePorts has sockets connect from ports that the caller chooses.
type SourcePorts struct {
	// Narrow says that the kernel is told of a range of one port, which it heeds since Linux 6.3
	// (ip(7), IP_LOCAL_PORT_RANGE). Otherwise a socket is bound to its port, and keeps it for as
	// long as it lives.
	Narrow bool

	anywhere [Families]SocketAddress
}

// NewSourcePorts finds out what the kernel can do.
func NewSourcePorts() *SourcePorts {
	s := &SourcePorts{anywhere: [Families]SocketAddress{
		NewSocketAddress(netip.AddrPortFrom(netip.IPv4Unspecified(), 0)),
		NewSocketAddress(netip.AddrPortFrom(netip.IPv6Unspecified(), 0)),
	}}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		s.Narrow = unix.SetsockoptInt(socket, unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, 0) == nil
		_ = unix.Close(socket) // it was only to be asked
	}
	return s
}

// Choose has a socket connect from a port. Sockets that are connected to different targets can
// share one.
func (s *SourcePorts) Choose(socket int32, family Family, port uint16) error {
	if s.Narrow {
		only := int(port)<<16 | int(port)
		return unix.SetsockoptInt(int(socket), unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, only)
	}

	if err := unix.SetsockoptInt(int(socket), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}

	from := &s.anywhere[family]
	binary.BigEndian.PutUint16(from.bytes[2:], port)
	_, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(socket),
		uintptr(unsafe.Pointer(&from.bytes[0])), uintptr(from.length))
	if errno != 0 {
		return errno
	}

	return nil
}

// PortTaken reports whether an error says that a socket cannot have the port that was chosen for
// it: another socket has it, or it is reserved (ip(7), ip_local_reserved_ports).
func PortTaken(err error) bool {
	return errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL)
}
