// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFrame(t *testing.T) {
	for _, test := range []struct {
		name, source, to string
		payload          func([]byte) ([]byte, netip.Addr, netip.Addr, byte, bool)
		kind, length     uint16 // of the frame, and what the packet's header says
	}{
		{"IPv4", "10.0.0.1:40000", "10.0.0.2:80", payload4, unix.ETH_P_IP, ipv4Size + segmentSize},
		{"IPv6", "[fd00::1]:40000", "[fd00::2]:80", payload6, unix.ETH_P_IPV6, segmentSize},
	} {
		t.Run(test.name, func(t *testing.T) {
			source, to := netip.MustParseAddrPort(test.source), netip.MustParseAddrPort(test.to)
			frame := NewFrame(Hop{to: [6]byte{2}, from: [6]byte{4}}, source.Addr(), to)
			frame.name(source.Port(), 7)
			if kind := binary.BigEndian.Uint16(frame.bytes[12:]); kind != test.kind {
				t.Errorf("the frame is of type %#x; want %#x", kind, test.kind)
			}
			packet := frame.bytes[ethernetSize:frame.length]
			segment, from, target, protocol, ok := test.payload(packet)
			if !ok || from != source.Addr() || target != to.Addr() || protocol != unix.IPPROTO_TCP {
				t.Errorf("the packet goes from %s to %s, protocol %d, %v", from, target, protocol,
					ok)
			}
			if len(segment) != segmentSize {
				t.Errorf("the packet carries %d bytes; want %d", len(segment), segmentSize)
			}
			length := binary.BigEndian.Uint16(packet[2:])
			if source.Addr().Is6() {
				length = binary.BigEndian.Uint16(packet[4:])
			} else if sum := fold(sumWords(packet[:ipv4Size])); sum != 0xffff {
				t.Errorf("the header and its checksum make %#x; want 0xffff", sum)
			}
			if length != test.length {
				t.Errorf("the packet says that it has %d bytes; want %d", length, test.length)
			}
			if sum := tcpChecksum(segment, source.Addr(), to.Addr()); sum != 0 {
				t.Errorf("the segment's checksum is off by %#x", sum)
			}
		})
	}
}

// TestFrameNames gives frames all kinds of ports and sequence numbers: their checksums stay right.
func TestFrameNames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func(six bool) netip.Addr {
		var bytes [16]byte
		binary.BigEndian.PutUint64(bytes[0:], random.Uint64())
		binary.BigEndian.PutUint64(bytes[8:], random.Uint64())
		if six {
			return netip.AddrFrom16(bytes)
		}
		return netip.AddrFrom4([4]byte(bytes[:4]))
	}
	for i := range 10_000 {
		source := address(i%2 == 1)
		to := netip.AddrPortFrom(address(i%2 == 1), uint16(random.Uint32()))
		port, sequence := uint16(random.Uint32()), random.Uint32()
		frame := NewFrame(Hop{}, source, to)
		frame.name(port, sequence)
		segment := frame.segment()
		if sum := tcpChecksum(segment, source, to.Addr()); sum != 0 {
			t.Fatalf("from %s:%d to %s, sequence %d: the checksum is off by %#x",
				source, port, to, sequence, sum)
		}
		if got := binary.BigEndian.Uint16(segment); got != port {
			t.Fatalf("the source port is %d; want %d", got, port)
		}
		if got := binary.BigEndian.Uint32(segment[4:]); got != sequence {
			t.Fatalf("the sequence number is %d; want %d", got, sequence)
		}
	}
}
