// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Where the headers of a frame begin, and where it ends: Ethernet, IPv4 (RFC 791), TCP (RFC 9293).
const (
	internetHeader = 14
	tcpHeader      = internetHeader + 20
	frameSize      = tcpHeader + 20
)

// newFrame is a SYN, ready to be sent on a wire.
func newFrame(source, router net.HardwareAddr, from, to netip.AddrPort) []byte {
	frame := make([]byte, frameSize)
	copy(frame, router)
	copy(frame[6:], source)
	binary.BigEndian.PutUint16(frame[12:], 0x0800) // IPv4
	ip, tcp := frame[internetHeader:tcpHeader], frame[tcpHeader:]
	ip[0] = 4<<4 | 5 // the version and the header's length in words
	binary.BigEndian.PutUint16(ip[2:], frameSize-internetHeader)
	ip[8], ip[9] = 64, 6 // hops and TCP
	copy(ip[12:], from.Addr().AsSlice())
	copy(ip[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(ip[10:], checksum(ip, 0))
	binary.BigEndian.PutUint16(tcp[0:], from.Port())
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	tcp[12], tcp[13] = 5<<4, 2 // the header's length in words, SYN
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	pseudo := uint32(6 + len(tcp)) // the protocol and the length; the addresses follow
	for i := 12; i < len(ip); i += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(ip[i:]))
	}

	binary.BigEndian.PutUint16(tcp[16:], checksum(tcp, pseudo))
	return frame
}

// checksum is the Internet checksum (RFC 1071) of an even number of bytes, on top of a sum.
func checksum(data []byte, sum uint32) uint16 {
	for i := 0; i < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
