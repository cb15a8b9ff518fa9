// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"encoding/binary"
	"net/netip"
)

// segmentSize is the size of the SYN that is sent: a TCP header and the option for the segment size.
const segmentSize = 24

// The TCP flags that matter (RFC 9293, section 3.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// putSYN writes a SYN segment with its checksum (RFC 9293, section 3.1).
func putSYN(segment *[segmentSize]byte, source, to netip.AddrPort, sequence uint32) {
	*segment = [segmentSize]byte{
		12: segmentSize / 4 << 4, 13: flagSYN, 14: 0xff, 15: 0xff,
		20: 2, 21: 4, 22: 0x05, 23: 0xb4, // the largest segment this end takes: 1,460 bytes
	}
	binary.BigEndian.PutUint16(segment[0:], source.Port())
	binary.BigEndian.PutUint16(segment[2:], to.Port())
	binary.BigEndian.PutUint32(segment[4:], sequence)
	binary.BigEndian.PutUint16(segment[16:], checksum(segment[:], source.Addr(), to.Addr()))
}

// checksum is the TCP checksum of a segment whose checksum field is zero, with the pseudo header of
// its addresses, which are of one family (RFC 1071; RFC 8200, section 8.1).
func checksum(segment []byte, source, to netip.Addr) uint16 {
	sum := uint64(6) + uint64(len(segment)) // the protocol number and the length
	add := func(b []byte) {
		for ; len(b) >= 2; b = b[2:] {
			sum += uint64(binary.BigEndian.Uint16(b))
		}
	}
	if source.Is4() {
		a, b := source.As4(), to.As4()
		add(a[:])
		add(b[:])
	} else {
		a, b := source.As16(), to.As16()
		add(a[:])
		add(b[:])
	}
	add(segment)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// answer is what a packet says about a SYN of ours.
type answer struct {
	from     netip.AddrPort // who was asked
	port     uint16         // our source port
	sequence uint32         // of the SYN that it answers
	open     bool           // a SYN-ACK
	icmp     icmpError      // an ICMP error, if it has an origin
}

// parseTCP reads a TCP segment that came from the address. It is an answer if it acknowledges a SYN,
// and opens or resets the connection.
func parseTCP(segment []byte, from netip.Addr) (answer, bool) {
	if len(segment) < 20 {
		return answer{}, false
	}
	flags := segment[13]
	open := flags&(flagSYN|flagACK|flagRST) == flagSYN|flagACK
	if !open && flags&(flagRST|flagACK) != flagRST|flagACK {
		return answer{}, false
	}
	return answer{
		from: netip.AddrPortFrom(from, binary.BigEndian.Uint16(segment[0:])),
		port: binary.BigEndian.Uint16(segment[2:]),
		// An answer acknowledges the SYN, which counts as one byte (RFC 9293, section 3.4).
		sequence: binary.BigEndian.Uint32(segment[8:]) - 1,
		open:     open,
	}, true
}

// payload4 is what an IPv4 packet carries (RFC 791, section 3.1), with the addresses and the protocol.
func payload4(packet []byte) (payload []byte, source, to netip.Addr, protocol byte, ok bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return nil, netip.Addr{}, netip.Addr{}, 0, false
	}
	header := int(packet[0]&0x0f) * 4
	if header < 20 || len(packet) < header {
		return nil, netip.Addr{}, netip.Addr{}, 0, false
	}
	return packet[header:], netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20])),
		packet[9], true
}

// payload6 is the same of an IPv6 packet without extension headers, as ours are (RFC 8200, section 3).
func payload6(packet []byte) (payload []byte, source, to netip.Addr, protocol byte, ok bool) {
	if len(packet) < 40 || packet[0]>>4 != 6 {
		return nil, netip.Addr{}, netip.Addr{}, 0, false
	}
	return packet[40:], netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40])),
		packet[6], true
}

// parseICMPError reads an ICMP message (RFC 792, RFC 4443): it is an answer if it is about a TCP segment
// of ours, of which it quotes at least the first eight bytes.
func parseICMPError(message []byte, six bool) (answer, bool) {
	if len(message) < 8 {
		return answer{}, false
	}
	e := icmpError{origin: originICMP, kind: message[0], code: message[1]}
	quoted, is := payload4, e.kind == icmp4Unreachable
	if six {
		e.origin = originICMP6
		quoted, is = payload6, e.kind == icmp6Unreachable
	}
	segment, _, to, protocol, ok := quoted(message[8:])
	if !is || !ok || protocol != 6 || len(segment) < 8 {
		return answer{}, false
	}
	return answer{
		from:     netip.AddrPortFrom(to, binary.BigEndian.Uint16(segment[2:])),
		port:     binary.BigEndian.Uint16(segment[0:]),
		sequence: binary.BigEndian.Uint32(segment[4:]),
		icmp:     e,
	}, true
}
