// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPutSYN(t *testing.T) {
	for _, ends := range [][2]string{
		{"10.0.0.1:40000", "10.0.0.2:80"}, {"[fd00::1]:40000", "[fd00::2]:80"},
	} {
		source, to := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		var segment [segmentSize]byte
		putSYN(&segment, source, to, 0x01020304)
		if got := binary.BigEndian.Uint32(segment[4:]); got != 0x01020304 {
			t.Errorf("sequence number %#x", got)
		}
		if segment[13] != flagSYN {
			t.Errorf("flags %#x; want SYN alone", segment[13])
		}
		// A segment with its right checksum sums up to zero (RFC 1071).
		if sum := tcpChecksum(segment[:], source.Addr(), to.Addr()); sum != 0 {
			t.Errorf("%s: the checksum is off by %#x", to, sum)
		}
	}
}

// reply is the answer to the SYN number 7 as a host would send it.
func reply(flags byte) []byte {
	segment := make([]byte, 20)
	binary.BigEndian.PutUint16(segment[0:], 80)
	binary.BigEndian.PutUint16(segment[2:], 40000)
	binary.BigEndian.PutUint32(segment[8:], 8)
	segment[12], segment[13] = 5<<4, flags
	return segment
}

func TestParseTCP(t *testing.T) {
	from := netip.MustParseAddr("10.0.0.2")
	want := Answer{From: netip.AddrPortFrom(from, 80), Port: 40000, Sequence: 7}
	open := want
	open.Open = true
	tests := []struct {
		name    string
		segment []byte
		want    Answer
		ok      bool
	}{
		{"SYN-ACK opens", reply(flagSYN | flagACK), open, true},
		{"RST-ACK refuses", reply(flagRST | flagACK), want, true},
		{"a reset that acknowledges nothing is another's", reply(flagRST), Answer{}, false},
		{"data of another connection", reply(flagACK), Answer{}, false},
		{"a SYN of somebody else", reply(flagSYN), Answer{}, false},
		{"half a header", reply(flagSYN | flagACK)[:19], Answer{}, false},
		{"nothing", nil, Answer{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := parseTCP(test.segment, from)
			if ok != test.ok || got != test.want {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, test.want, test.ok)
			}
		})
	}
}

// quote is an ICMP error about a SYN of ours.
func quote(kind, code byte, six bool) []byte {
	var segment [segmentSize]byte
	source, to := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:80")
	packet := make([]byte, 20)
	packet[0], packet[9] = 0x45, 6
	copy(packet[12:], source.Addr().AsSlice())
	copy(packet[16:], to.Addr().AsSlice())
	if six {
		source, to = netip.MustParseAddrPort("[fd00::1]:40000"),
			netip.MustParseAddrPort("[fd00::2]:80")
		packet = make([]byte, 40)
		packet[0], packet[6] = 0x60, 6
		copy(packet[8:], source.Addr().AsSlice())
		copy(packet[24:], to.Addr().AsSlice())
	}
	putSYN(&segment, source, to, 7)
	return bytes.Join([][]byte{{kind, code, 0, 0, 0, 0, 0, 0}, packet, segment[:8]}, nil)
}

func TestParseICMPError(t *testing.T) {
	got, ok := parseICMPError(quote(3, 13, false), IPv4)
	want := Answer{
		From: netip.MustParseAddrPort("10.0.0.2:80"), Port: 40000, Sequence: 7,
		Error: ICMPError{unix.SO_EE_ORIGIN_ICMP, 3, 13}, IsError: true,
	}
	if !ok || got != want {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
	got, ok = parseICMPError(quote(1, 1, true), IPv6)
	want.From, want.Error = netip.MustParseAddrPort("[fd00::2]:80"),
		ICMPError{unix.SO_EE_ORIGIN_ICMP6, 1, 1}
	if !ok || got != want {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
	if _, ok := parseICMPError(quote(8, 0, false), IPv4); ok {
		t.Error("an echo request was taken for an error")
	}
}

// FuzzAnswer reads any bytes as each kind of packet: what it takes for an answer is within them.
func FuzzAnswer(f *testing.F) {
	f.Add(reply(flagSYN | flagACK))
	f.Add(quote(3, 13, false))
	f.Add(quote(1, 1, true))
	f.Add([]byte{0x4f, 0})
	f.Fuzz(func(t *testing.T, packet []byte) {
		from := netip.MustParseAddr("10.0.0.2")
		if a, ok := parseTCP(packet, from); ok && (a.From.Addr() != from || a.IsError) {
			t.Errorf("a TCP segment became %+v", a)
		}
		for _, family := range []Family{IPv4, IPv6} {
			a, ok := parseICMPError(packet, family)
			if ok && (a.Open || !a.IsError || FamilyOf(a.From.Addr()) != family) {
				t.Errorf("an ICMP error became %+v", a)
			}
		}
		if payload, _, _, _, ok := payload4(packet); ok && len(payload) > len(packet)-20 {
			t.Errorf("a packet of %d bytes carries %d", len(packet), len(payload))
		}
	})
}
