// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The sizes of a SYN's headers in a frame.
const (
	ethernetSize = 14
	ipv4Size     = 20
	ipv6Size     = 40
)

// Frame is an Ethernet frame with a SYN.
type Frame struct {
	bytes  [ethernetSize + ipv6Size + segmentSize]byte
	length uint8
}

// NewFrame writes the frame that all SYNs to a target have in common: their source port and their
// sequence number are 0.
func NewFrame(hop Hop, source netip.Addr, to netip.AddrPort) (f Frame) {
	copy(f.bytes[0:], hop.to[:])
	copy(f.bytes[6:], hop.from[:])
	header := f.bytes[ethernetSize:]
	if source.Is4() {
		binary.BigEndian.PutUint16(f.bytes[12:], unix.ETH_P_IP)
		putIPv4((*[ipv4Size]byte)(header), source.As4(), to.Addr().As4())
		f.length = ethernetSize + ipv4Size + segmentSize
	} else {
		binary.BigEndian.PutUint16(f.bytes[12:], unix.ETH_P_IPV6)
		putIPv6((*[ipv6Size]byte)(header), source.As16(), to.Addr().As16())
		f.length = ethernetSize + ipv6Size + segmentSize
	}

	putSYN((*[segmentSize]byte)(f.segment()), netip.AddrPortFrom(source, 0), to, 0)
	return f
}

// putIPv4 writes the header of a SYN's packet (RFC 791, section 3.1).
func putIPv4(header *[ipv4Size]byte, source, to [4]byte) {
	*header = [ipv4Size]byte{
		// version and length of the header, length of the packet
		0x45, 0, 0, ipv4Size + segmentSize,
		0, 0, 0x40, 0, // not to be fragmented
		64, unix.IPPROTO_TCP, 0, 0,
	}
	copy(header[12:], source[:])
	copy(header[16:], to[:])
	binary.BigEndian.PutUint16(header[10:], ^fold(sumWords(header[:])))
}

// putIPv6 does so for IPv6 (RFC 8200, section 3).
func putIPv6(header *[ipv6Size]byte, source, to [16]byte) {
	*header = [ipv6Size]byte{0: 0x60, 5: segmentSize, 6: unix.IPPROTO_TCP, 7: 64}
	copy(header[8:], source[:])
	copy(header[24:], to[:])
}

// segment is the frame's end.
func (f *Frame) segment() []byte { return f.bytes[f.length-segmentSize : f.length] }

// name gives a frame that has neither a source port and a sequence number. Its checksum is that of
// the frame without them, brought up to date (RFC 1624, equation 3).
func (f *Frame) name(port uint16, sequence uint32) {
	segment := f.segment()
	binary.BigEndian.PutUint16(segment[0:], port)
	binary.BigEndian.PutUint32(segment[4:], sequence)
	sum := uint64(^binary.BigEndian.Uint16(segment[16:])) +
		uint64(port) + uint64(sequence>>16) + uint64(sequence&0xffff)
	binary.BigEndian.PutUint16(segment[16:], ^fold(sum))
}
