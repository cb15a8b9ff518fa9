// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// network is a node's router namespace with hosts around it, each in a namespace of its own at the
// end of a routed veth. Neighbours are resolved as they come, so that a table which blocks
// neighbour discovery would be noticed.
type network struct {
	router *netns.Namespace
	hosts  []*host
}

// host is something with addresses that opens and accepts connections: a pod, the router itself, or
// a machine outside of the cluster.
type host struct {
	name      string
	ns        *netns.Namespace
	addresses []netip.Addr
	sctp      map[family]*sctpSocket
	lastPort  uint16 // that a TCP or UDP attempt left from
}

// firstPort is below the first source port of every host.
const firstPort = 1024

var (
	gateway4 = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
)

func newNetwork(t testing.TB) *network {
	t.Helper()
	router, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v (this test needs root, for example `unshare -rn`)",
			err)
	}
	t.Cleanup(func() { _ = router.Close() }) // nothing uses it any more
	n := &network{router: router}
	n.in(t, router, func() error {
		for _, name := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/"+name, []byte("1"), 0o644); err != nil {
				return err
			}
		}
		return linkUp("lo")
	})
	return n
}

func (n *network) in(t testing.TB, ns *netns.Namespace, do func() error) {
	t.Helper()
	if err := ns.Do(do); err != nil {
		t.Fatal(err)
	}
}

// addHost connects a new namespace with the router.
func (n *network) addHost(t testing.TB, name string, addresses ...netip.Addr) *host {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() }) // nothing uses it any more
	veth := fmt.Sprintf("veth%d", len(n.hosts))
	n.in(t, n.router, func() error {
		link := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: veth}, PeerName: "eth0",
			PeerNamespace: netlink.NsFd(ns.Fd()),
		}
		if err := netlink.LinkAdd(link); err != nil {
			return fmt.Errorf("add a veth: %w", err)
		}
		if err := addAddresses(veth, gateway4, gateway6); err != nil {
			return err
		}
		return addRoutes(veth, addresses, netip.Addr{})
	})
	h := &host{name: name, ns: ns, addresses: addresses, lastPort: firstPort}
	n.in(t, ns, func() error {
		if err := linkUp("lo"); err != nil {
			return err
		}
		if err := addAddresses("eth0", addresses...); err != nil {
			return err
		}
		for _, gateway := range []netip.Addr{gateway4, gateway6} {
			if err := addRoutes("eth0", nil, gateway); err != nil {
				return err
			}
		}
		return nil
	})
	h.listen(t)
	n.hosts = append(n.hosts, h)
	return h
}

// addRouter makes the router itself a host, with addresses that are not those of a pod.
func (n *network) addRouter(t testing.TB, addresses ...netip.Addr) {
	t.Helper()
	n.in(t, n.router, func() error { return addAddresses("lo", addresses...) })
	h := &host{name: "node", ns: n.router, addresses: addresses, lastPort: firstPort}
	h.listen(t)
	n.hosts = append(n.hosts, h)
}

func linkUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	return netlink.LinkSetUp(link)
}

// addAddresses brings an interface up with addresses that are usable at once.
func addAddresses(name string, addresses ...netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	for _, a := range addresses {
		bits := a.BitLen()
		if a.IsLinkLocalUnicast() && a.Is6() {
			bits = 64
		}
		address := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(),
			Mask: net.CIDRMask(bits, a.BitLen())}}
		if a.Is6() {
			address.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, address); err != nil {
			return fmt.Errorf("add %v to %s: %w", a, name, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// addRoutes leads to destinations on the link, or everywhere through a gateway on it.
func addRoutes(name string, to []netip.Addr, gateway netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	var routes []*netlink.Route
	for _, a := range to {
		routes = append(routes, &netlink.Route{
			LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK,
			Dst: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
		})
	}
	if gateway.IsValid() {
		everywhere := &net.IPNet{IP: make(net.IP, gateway.BitLen()/8),
			Mask: net.CIDRMask(0, gateway.BitLen())}
		routes = append(routes, &netlink.Route{
			LinkIndex: link.Attrs().Index, Dst: everywhere, Gw: gateway.AsSlice(),
			Flags: int(netlink.FLAG_ONLINK),
		})
	}
	for _, route := range routes {
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("add the route %v: %w", route, err)
		}
	}
	return nil
}
