// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// route is the kernel's way to a target.
type route struct {
	source  netip.Addr // the address that a connection to the target leaves from
	device  int        // 0 if what goes there is for the kernel to route
	next    netip.Addr // whom the device sends it to: a gateway, or the target itself
	several bool       // there is a choice of next hops
}

// askRoute asks the kernel for the way to a target as connect(2) does: first for the address to
// leave from. Of IPv4 it then looks for the route from there, which rules may send elsewhere
// (ip-rule(8)), and both addresses say which of several next hops it is (ip-route(8), nexthop). Of
// IPv6 it stays with the route that it has found, unless there is none without a source
// (ip6_dst_lookup_tail in net/ipv6/ip6_output.c).
func askRoute(socket *netlinkSocket, to netip.AddrPort) (route, error) {
	found, err := getRoute(socket, to, netip.Addr{}, 0)
	if err != nil {
		return route{}, err
	}
	source := found.source
	if to.Addr().Is4() {
		found, err = getRoute(socket, to, source, 0)
	}
	if err != nil || found.device == 0 || !hashesPorts(FamilyOf(to.Addr())) {
		return found, err
	}

	// By ports too, probes from one port and from the next may leave by different next hops.
	matched, err := getRoute(socket, to, source, unix.RTM_F_FIB_MATCH)
	if err != nil || matched.several {
		found.device = 0
	}
	return found, nil
}

// hashesPorts reports whether the kernel chooses among next hops by more than the addresses
// (Documentation/networking/ip-sysctl.rst, fib_multipath_hash_policy).
func hashesPorts(family Family) bool {
	directory := [Families]string{"ipv4", "ipv6"}[family]
	policy, err := os.ReadFile("/proc/sys/net/" + directory + "/fib_multipath_hash_policy")
	return err == nil && len(policy) > 0 && policy[0] != '0'
}

// getRoute looks a route up in the kernel (rtnetlink(7), RTM_GETROUTE), from a source if there is
// one.
func getRoute(
	socket *netlinkSocket, to netip.AddrPort, source netip.Addr, flags uint32,
) (found route, err error) {
	message := &nl.RtMsg{RtMsg: unix.RtMsg{
		Family:  uint8(FamilyOf(to.Addr()).Domain()),
		Dst_len: uint8(to.Addr().BitLen()),
		Flags:   flags,
	}}
	data := []nl.NetlinkRequestData{
		message,
		nl.NewRtAttr(unix.RTA_DST, to.Addr().AsSlice()),
		nl.NewRtAttr(unix.RTA_IP_PROTO, []byte{unix.IPPROTO_TCP}),
		nl.NewRtAttr(unix.RTA_DPORT, binary.BigEndian.AppendUint16(nil, to.Port())),
	}
	if source.IsValid() {
		message.Src_len = uint8(source.BitLen())
		data = append(data, nl.NewRtAttr(unix.RTA_SRC, source.AsSlice()))
	}

	var wrong error
	err = socket.request(unix.RTM_GETROUTE, 0, data, func(data []byte) {
		found, wrong = parseRoute(data, to.Addr())
	})
	if source.IsValid() {
		found.source = source
	}
	if err = errors.Join(err, wrong); err != nil {
		return route{}, fmt.Errorf("find the way to %s: %w", to.Addr(), err)
	}
	return found, nil
}

// parseRoute reads the kernel's answer. What is delivered on this host, what goes to many, and what
// is wrapped into something else on its way is for the kernel.
func parseRoute(data []byte, to netip.Addr) (route, error) {
	if len(data) < unix.SizeofRtMsg {
		return route{}, errors.New("the kernel's answer is cut short")
	}
	attributes, err := nl.ParseRouteAttr(data[unix.SizeofRtMsg:])
	if err != nil {
		return route{}, err
	}

	found := route{next: to}
	wrapped := false
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.RTA_PREFSRC:
			found.source, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_OIF:
			found.device = int(binary.NativeEndian.Uint32(a.Value))
		case unix.RTA_GATEWAY:
			found.next, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_VIA: // struct rtvia: a gateway of the other family
			found.next, _ = netip.AddrFromSlice(a.Value[min(2, len(a.Value)):])
		case unix.RTA_MULTIPATH:
			found.several = true
		case unix.RTA_ENCAP:
			wrapped = true
		}
	}
	if nl.DeserializeRtMsg(data).Type != unix.RTN_UNICAST || wrapped {
		found.device = 0
	}
	return found, nil
}
