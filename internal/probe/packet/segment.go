// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
)

// segmentSize is the size of the SYN that is sent: a TCP header and the option for the segment
// size.
const segmentSize = 24

// The TCP flags that matter (RFC 9293, section 3.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

const protocolTCP = 6

// putSYN writes a SYN segment with its checksum (RFC 9293, section 3.1).
func putSYN(segment *[segmentSize]byte, source, to netip.AddrPort, sequence uint32) {
	*segment = [segmentSize]byte{
		12: segmentSize / 4 << 4, 13: flagSYN, 14: 0xff, 15: 0xff,
		20: 2, 21: 4, 22: 0x05, 23: 0xb4, // the largest segment this end takes: 1,460 bytes
	}
	binary.BigEndian.PutUint16(segment[0:], source.Port())
	binary.BigEndian.PutUint16(segment[2:], to.Port())
	binary.BigEndian.PutUint32(segment[4:], sequence)
	binary.BigEndian.PutUint16(segment[16:], tcpChecksum(segment[:], source.Addr(), to.Addr()))
}

// tcpChecksum is the checksum of a segment whose checksum field is zero, with the pseudo header of
// its addresses, which are of one family (RFC 1071; RFC 8200, section 8.1).
func tcpChecksum(segment []byte, source, to netip.Addr) uint16 {
	sum := uint64(protocolTCP) + uint64(len(segment))
	if source.Is4() {
		a, b := source.As4(), to.As4()
		sum += sumWords(a[:]) + sumWords(b[:])
	} else {
		a, b := source.As16(), to.As16()
		sum += sumWords(a[:]) + sumWords(b[:])
	}
	return ^fold(sum + sumWords(segment))
}

// sumWords adds up 16-bit words.
func sumWords(b []byte) (sum uint64) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	return sum
}

// fold brings a sum of words to one word, carries included (RFC 1071).
func fold(sum uint64) uint16 {
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
