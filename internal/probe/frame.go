// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The sizes of a SYN on the wire.
const (
	ethernetSize = 14
	ipv4Size     = 20
	frameSize    = ethernetSize + ipv4Size + segmentSize
)

// putFrame writes an Ethernet frame with a SYN over IPv4 (RFC 791, section 3.1).
func putFrame(frame *[frameSize]byte, hop nexthop, source, to netip.AddrPort, sequence uint32) {
	copy(frame[0:], hop.to[:])
	copy(frame[6:], hop.from[:])
	binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IP)
	header := frame[ethernetSize : ethernetSize+ipv4Size]
	from, target := source.Addr().As4(), to.Addr().As4()
	copy(header, []byte{
		0x45, 0, 0, ipv4Size + segmentSize, // version and length of the header, length of the packet
		0, 0, 0x40, 0, // not to be fragmented
		64, unix.IPPROTO_TCP, 0, 0,
	})
	copy(header[12:], from[:])
	copy(header[16:], target[:])
	binary.BigEndian.PutUint16(header[10:], headerChecksum(header))
	putSYN((*[segmentSize]byte)(frame[ethernetSize+ipv4Size:]), source, to, sequence)
}

// headerChecksum is the checksum of an IPv4 header whose checksum field is zero (RFC 1071).
func headerChecksum(header []byte) uint16 {
	var sum uint32
	for ; len(header) >= 2; header = header[2:] {
		sum += uint32(binary.BigEndian.Uint16(header))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
