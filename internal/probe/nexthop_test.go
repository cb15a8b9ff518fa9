// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// kernelHex is an IPv4 address as the kernel's tables write it.
func kernelHex(address string) string {
	four := netip.MustParseAddr(address).As4()
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], binary.NativeEndian.Uint32(four[:]))
	return strings.ToUpper(hex.EncodeToString(raw[:]))
}

func TestNexthops(t *testing.T) {
	n := &nexthops{
		neighbours: make(map[neighbour][6]byte),
		devices: map[string]*net.Interface{
			"eth0": {Index: 2, Name: "eth0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
			"tun0": {Index: 3, Name: "tun0"},
		},
	}
	line := func(device, destination, gateway, flags, mask string) {
		n.addRoute([]string{device, kernelHex(destination), kernelHex(gateway), flags, "0", "0", "0", kernelHex(mask), "0", "0", "0"})
	}
	// The longest prefixes first, as readNexthops sorts them.
	line("eth0", "10.0.2.0", "10.0.0.9", "0003", "255.255.255.0")
	line("eth0", "10.0.0.0", "0.0.0.0", "0001", "255.255.0.0")
	line("tun0", "10.1.0.0", "0.0.0.0", "0001", "255.255.0.0")
	line("eth0", "10.2.0.0", "10.0.0.7", "0002", "255.255.0.0")
	line("eth0", "0.0.0.0", "10.0.0.1", "0003", "0.0.0.0")
	for _, fields := range []string{
		"10.0.0.1 0x1 0x2 02:00:00:00:00:01 * eth0",
		"10.0.0.2 0x1 0x2 02:00:00:00:00:02 * eth0",
		"10.0.0.3 0x1 0x0 00:00:00:00:00:00 * eth0",
		"10.0.0.9 0x1 0x6 02:00:00:00:00:09 * eth0",
	} {
		n.addNeighbour(strings.Fields(fields))
	}
	tests := []struct {
		name, to string
		last     byte
		known    bool
	}{
		{"by the default route", "192.0.2.1", 1, true},
		{"on the link", "10.0.0.2", 2, true},
		{"by the longest prefix", "10.0.2.2", 9, true},
		{"a neighbour that the kernel is still asking for", "10.0.0.3", 0, false},
		{"a neighbour that nobody has asked for", "10.0.0.4", 0, false},
		{"a device without link-layer addresses", "10.1.0.1", 0, false},
		{"a route that is down leaves it to the default one", "10.2.0.1", 1, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			hop, known := n.find(netip.MustParseAddr(test.to))
			if known != test.known || (known && (hop.to[5] != test.last || hop.device != 2)) {
				t.Errorf("find(%s) = %+v, %v; want neighbour %d, %v", test.to, hop, known, test.last, test.known)
			}
		})
	}
}

// TestReadNexthops reads the tables of this machine, whatever they say.
func TestReadNexthops(t *testing.T) {
	n, err := readNexthops()
	if err != nil {
		t.Fatal(err)
	}
	for i := range max(len(n.routes), 1) - 1 {
		if n.routes[i].prefix.Bits() < n.routes[i+1].prefix.Bits() {
			t.Errorf("route %v is before %v", n.routes[i], n.routes[i+1])
		}
	}
}

func TestFrame(t *testing.T) {
	source, to := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:80")
	common := newFrame(nexthop{to: [6]byte{2}, from: [6]byte{4}}, source.Addr(), to)
	frame := common.named(source.Port(), 7)
	packet := frame[ethernetSize:]
	if sum := headerChecksum(packet[:ipv4Size]); sum != 0 {
		t.Errorf("the header's checksum is off by %#x", sum)
	}
	segment, from, target, protocol, ok := payload4(packet)
	if !ok || from != source.Addr() || target != to.Addr() || protocol != 6 {
		t.Errorf("the packet goes from %s to %s, protocol %d, %v", from, target, protocol, ok)
	}
	if int(binary.BigEndian.Uint16(packet[2:])) != len(packet) {
		t.Errorf("the packet says that it has %d bytes; it has %d", binary.BigEndian.Uint16(packet[2:]), len(packet))
	}
	if sum := checksum(segment, source.Addr(), to.Addr()); sum != 0 {
		t.Errorf("the segment's checksum is off by %#x", sum)
	}
}

// TestFrameNames gives frames all kinds of ports and sequence numbers: their checksums stay right.
func TestFrameNames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		var address [8]byte
		binary.BigEndian.PutUint64(address[:], random.Uint64())
		source := netip.AddrFrom4([4]byte(address[:4]))
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte(address[4:])), uint16(random.Uint32()))
		port, sequence := uint16(random.Uint32()), random.Uint32()
		frame := newFrame(nexthop{}, source, to).named(port, sequence)
		segment := frame[framePort:]
		if sum := checksum(segment, source, to.Addr()); sum != 0 {
			t.Fatalf("from %s:%d to %s, sequence %d: the checksum is off by %#x", source, port, to, sequence, sum)
		}
		if got := binary.BigEndian.Uint16(segment); got != port {
			t.Fatalf("the source port is %d; want %d", got, port)
		}
		if got := binary.BigEndian.Uint32(segment[4:]); got != sequence {
			t.Fatalf("the sequence number is %d; want %d", got, sequence)
		}
	}
}
