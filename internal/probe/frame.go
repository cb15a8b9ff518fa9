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

// frame is an Ethernet frame with a SYN over IPv4.
type frame [frameSize]byte

// Where in a frame are the parts that differ from probe to probe.
const (
	framePort     = ethernetSize + ipv4Size
	frameSequence = framePort + 4
	frameChecksum = framePort + 16
)

// newFrame writes the frame that all probes of a pair have in common: its source port and its sequence number are 0
// (RFC 791, section 3.1).
func newFrame(hop nexthop, source netip.Addr, to netip.AddrPort) (f frame) {
	copy(f[0:], hop.to[:])
	copy(f[6:], hop.from[:])
	binary.BigEndian.PutUint16(f[12:], unix.ETH_P_IP)
	header := f[ethernetSize : ethernetSize+ipv4Size]
	from, target := source.As4(), to.Addr().As4()
	copy(header, []byte{
		0x45, 0, 0, ipv4Size + segmentSize, // version and length of the header, length of the packet
		0, 0, 0x40, 0, // not to be fragmented
		64, unix.IPPROTO_TCP, 0, 0,
	})
	copy(header[12:], from[:])
	copy(header[16:], target[:])
	binary.BigEndian.PutUint16(header[10:], headerChecksum(header))
	putSYN((*[segmentSize]byte)(f[framePort:]), netip.AddrPortFrom(source, 0), to, 0)
	return f
}

// named is the frame with a source port and a sequence number where there was none yet. Its checksum is that of the frame
// without them, brought up to date (RFC 1624, equation 3).
func (f frame) named(port uint16, sequence uint32) frame {
	binary.BigEndian.PutUint16(f[framePort:], port)
	binary.BigEndian.PutUint32(f[frameSequence:], sequence)
	sum := uint32(^binary.BigEndian.Uint16(f[frameChecksum:])) + uint32(port) + sequence>>16 + sequence&0xffff
	sum = sum&0xffff + sum>>16
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(f[frameChecksum:], ^uint16(sum))
	return f
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
