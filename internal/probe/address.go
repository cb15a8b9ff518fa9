// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// rawAddress is an address as the kernel takes it: struct sockaddr_in (ip(7)) or struct sockaddr_in6 (ipv6(7)).
type rawAddress struct {
	bytes  [unix.SizeofSockaddrInet6]byte
	length uint32
}

func newRawAddress(address netip.Addr, port uint16) (raw rawAddress) {
	binary.BigEndian.PutUint16(raw.bytes[2:], port)
	if address.Is4() {
		four := address.As4()
		binary.NativeEndian.PutUint16(raw.bytes[0:], unix.AF_INET)
		copy(raw.bytes[4:], four[:])
		raw.length = unix.SizeofSockaddrInet4
		return raw
	}
	sixteen := address.As16()
	binary.NativeEndian.PutUint16(raw.bytes[0:], unix.AF_INET6)
	copy(raw.bytes[8:], sixteen[:])
	raw.length = unix.SizeofSockaddrInet6
	return raw
}

// family is 0 for a pair of IPv4, and 1 for one of IPv6.
func family(p *Pair) int {
	if p.to.Addr().Is6() {
		return 1
	}
	return 0
}
