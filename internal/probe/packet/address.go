// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Family is a version of IP, as an index.
type Family uint8

// The families.
const (
	IPv4 Family = iota
	IPv6
)

// Families is how many there are.
const Families = 2

// FamilyOf is the family of an address.
func FamilyOf(address netip.Addr) Family {
	if address.Is6() {
		return IPv6
	}
	return IPv4
}

// Domain is the family's number in socket(2).
func (f Family) Domain() int { return [Families]int{unix.AF_INET, unix.AF_INET6}[f] }

// SocketAddress is an address as the kernel takes it: struct sockaddr_in (ip(7)) or struct
// sockaddr_in6 (ipv6(7)).
type SocketAddress struct {
	bytes  [unix.SizeofSockaddrInet6]byte
	length uint32
}

// NewSocketAddress puts an address into the kernel's form.
func NewSocketAddress(to netip.AddrPort) (s SocketAddress) {
	family := FamilyOf(to.Addr())
	binary.NativeEndian.PutUint16(s.bytes[0:], uint16(family.Domain()))
	binary.BigEndian.PutUint16(s.bytes[2:], to.Port())
	if family == IPv4 {
		four := to.Addr().As4()
		copy(s.bytes[4:], four[:])
		s.length = unix.SizeofSockaddrInet4
		return s
	}

	sixteen := to.Addr().As16()
	copy(s.bytes[8:], sixteen[:])
	s.length = unix.SizeofSockaddrInet6
	return s
}

// NoAddress is the address that a connection is dissolved with: its family is AF_UNSPEC
// (connect(2)).
func NoAddress() SocketAddress { return SocketAddress{length: unix.SizeofSockaddrInet4} }

// Connect begins to connect a socket that does not wait (connect(2)), so that the runtime need not
// be told.
func (s *SocketAddress) Connect(socket int32) error {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(socket),
		uintptr(unsafe.Pointer(&s.bytes[0])), uintptr(s.length))
	if errno != 0 {
		return errno
	}
	return nil
}
