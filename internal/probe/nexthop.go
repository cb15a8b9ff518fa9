// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// nexthop is where an IPv4 packet leaves to: a device and a neighbour on it, whose address the kernel
// knows.
type nexthop struct {
	device int
	from   [6]byte
	to     [6]byte
}

// route is an entry of the kernel's main table.
type route struct {
	prefix  netip.Prefix
	gateway netip.Addr // invalid if the targets are on the link
	device  string
}

// neighbour is an address on a link.
type neighbour struct {
	device  string
	address netip.Addr
}

// nexthops are what the kernel's tables said when they were read.
type nexthops struct {
	routes     []route // the longest prefixes first
	neighbours map[neighbour][6]byte
	devices    map[string]*net.Interface
}

// readNexthops reads the kernel's tables (proc_net(5), proc_net_route; arp(7)).
func readNexthops() (*nexthops, error) {
	n := &nexthops{neighbours: make(map[neighbour][6]byte), devices: make(map[string]*net.Interface)}
	for name, take := range map[string]func(fields []string){"route": n.addRoute, "arp": n.addNeighbour} {
		if err := readTable("/proc/net/"+name, take); err != nil {
			return nil, fmt.Errorf("read the ways to targets: %w", err)
		}
	}
	slices.SortStableFunc(n.routes, func(a, b route) int { return b.prefix.Bits() - a.prefix.Bits() })
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("read the ways to targets: %w", err)
	}
	for i := range all {
		n.devices[all[i].Name] = &all[i]
	}
	return n, nil
}

// readTable calls a function with the fields of every line but the first.
func readTable(name string, take func(fields []string)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan(); lines.Scan(); {
		take(strings.Fields(lines.Text()))
	}
	return lines.Err()
}

// The flags of a neighbour that is known, and the type of Ethernet
// (linux/if_arp.h).
const (
	neighbourDone = "0x2"
	typeEthernet  = "0x1"
)

// addRoute takes "device destination gateway flags … mask …", addresses as the host stores them.
func (n *nexthops) addRoute(fields []string) {
	if len(fields) < 8 || !strings.ContainsAny(fields[3][len(fields[3])-1:], "13579BDF") {
		return // it is not up
	}
	destination, ok1 := hexAddress(fields[1])
	gateway, ok2 := hexAddress(fields[2])
	mask, ok3 := hexAddress(fields[7])
	if !ok1 || !ok2 || !ok3 {
		return
	}
	four := mask.As4()
	one := route{device: fields[0], prefix: netip.PrefixFrom(destination, bits.OnesCount32(binary.BigEndian.Uint32(four[:])))}
	if !gateway.IsUnspecified() {
		one.gateway = gateway
	}
	n.routes = append(n.routes, one)
}

// hexAddress reads an IPv4 address that is written as the number in the host's memory.
func hexAddress(text string) (netip.Addr, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 4 {
		return netip.Addr{}, false
	}
	var four [4]byte
	binary.NativeEndian.PutUint32(four[:], binary.BigEndian.Uint32(raw))
	return netip.AddrFrom4(four), true
}

// addNeighbour takes "address type flags link-layer-address mask device".
func (n *nexthops) addNeighbour(fields []string) {
	if len(fields) < 6 || fields[1] != typeEthernet || (fields[2] != neighbourDone && fields[2] != "0x6") {
		return // not Ethernet, or not known for sure
	}
	address, err := netip.ParseAddr(fields[0])
	hardware, wrong := net.ParseMAC(fields[3])
	if err == nil && wrong == nil && len(hardware) == 6 {
		n.neighbours[neighbour{fields[5], address}] = [6]byte(hardware)
	}
}

// find is the next hop towards an address, if the tables have it.
func (n *nexthops) find(to netip.Addr) (nexthop, bool) {
	for _, one := range n.routes {
		if !one.prefix.Contains(to) {
			continue
		}
		next := to
		if one.gateway.IsValid() {
			next = one.gateway
		}
		hardware, known := n.neighbours[neighbour{one.device, next}]
		device := n.devices[one.device]
		if !known || device == nil || len(device.HardwareAddr) != 6 {
			return nexthop{}, false
		}
		return nexthop{device: device.Index, from: [6]byte(device.HardwareAddr), to: hardware}, true
	}
	return nexthop{}, false
}
