// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Answer is what a packet says about a SYN that was sent.
type Answer struct {
	From     netip.AddrPort // who was asked
	Port     uint16         // the SYN's source port
	Sequence uint32         // and its sequence number
	Open     bool           // a SYN-ACK
	// Error is an ICMP error, if IsError.
	Error   ICMPError
	IsError bool
	// Arrived is the kernel's time of arrival, in nanoseconds of the wall clock, 0 without one.
	Arrived int64
}

// parseTCP reads a TCP segment that came from the address. It is an answer if it acknowledges a
// SYN, and opens or resets the connection.
func parseTCP(segment []byte, from netip.Addr) (Answer, bool) {
	if len(segment) < 20 {
		return Answer{}, false
	}

	flags := segment[13]
	open := flags&(flagSYN|flagACK|flagRST) == flagSYN|flagACK
	if !open && flags&(flagRST|flagACK) != flagRST|flagACK {
		return Answer{}, false
	}

	return Answer{
		From: netip.AddrPortFrom(from, binary.BigEndian.Uint16(segment[0:])),
		Port: binary.BigEndian.Uint16(segment[2:]),
		// An answer acknowledges the SYN, which counts as one byte (RFC 9293, section 3.4).
		Sequence: binary.BigEndian.Uint32(segment[8:]) - 1,
		Open:     open,
	}, true
}

// parseICMPError reads an ICMP message (RFC 792, RFC 4443): it is an answer if it is about a TCP
// segment of ours, of which it quotes at least the first eight bytes.
func parseICMPError(message []byte, family Family) (Answer, bool) {
	if len(message) < 8 {
		return Answer{}, false
	}

	e := ICMPError{origin: unix.SO_EE_ORIGIN_ICMP, kind: message[0], code: message[1]}
	quoted, is := payload4, e.kind == icmp4Unreachable
	if family == IPv6 {
		e.origin = unix.SO_EE_ORIGIN_ICMP6
		quoted, is = payload6, e.kind == icmp6Unreachable
	}

	segment, _, to, protocol, ok := quoted(message[8:])
	if !is || !ok || protocol != protocolTCP || len(segment) < 8 {
		return Answer{}, false
	}

	return Answer{
		From:     netip.AddrPortFrom(to, binary.BigEndian.Uint16(segment[2:])),
		Port:     binary.BigEndian.Uint16(segment[0:]),
		Sequence: binary.BigEndian.Uint32(segment[4:]),
		Error:    e, IsError: true,
	}, true
}

// payload4 is what an IPv4 packet carries (RFC 791, section 3.1), with the addresses and the
// protocol.
func payload4(packet []byte) (payload []byte, source, to netip.Addr, protocol byte, ok bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return nil, netip.Addr{}, netip.Addr{}, 0, false
	}
	header := int(packet[0]&0x0f) * 4
	if header < 20 || len(packet) < header {
		return nil, netip.Addr{}, netip.Addr{}, 0, false
	}
	source, to = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
	return packet[header:], source, to, packet[9], true
}

// payload6 is the same of an IPv6 packet without extension headers, as ours are (RFC 8200, section
// 3).
func payload6(packet []byte) (payload []byte, source, to netip.Addr, protocol byte, ok bool) {
	if len(packet) < 40 || packet[0]>>4 != 6 {
		return nil, netip.Addr{}, netip.Addr{}, 0, false
	}
	source, to = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
	return packet[40:], source, to, packet[6], true
}
