// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
	"github.com/netpol-latency/netpol-latency/lab/internal/topology"
)

// buildControlPlaneNetwork sets up the namespace of this process: loopback, and the bridge that the
// nodes are attached to.
func buildControlPlaneNetwork(family topology.Family) error {
	if err := linkUp("lo"); err != nil {
		return err
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = topology.Bridge
	bridge := &netlink.Bridge{LinkAttrs: attributes}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add bridge %s: %w", topology.Bridge, err)
	}
	if err := configure(topology.Bridge, family.ControlPlane()); err != nil {
		return err
	}

	return forward()
}

// attachNode makes a node's namespace and joins it to the bridge: the node routes to everything
// through the control plane, and the control plane to the node's pods through the node.
func attachNode(family topology.Family, node topology.Node) (*netns.Namespace, error) {
	namespace, err := netns.New()
	if err != nil {
		return nil, err
	}
	bridge, err := netlink.LinkByName(topology.Bridge)
	if err != nil {
		return nil, fmt.Errorf("find bridge %s: %w", topology.Bridge, err)
	}

	attributes := netlink.NewLinkAttrs()
	attributes.Name = "to-" + node.Name
	attributes.MasterIndex = bridge.Attrs().Index
	pair := &netlink.Veth{LinkAttrs: attributes, PeerName: "eth0",
		PeerNamespace: netlink.NsFd(namespace.Fd())}
	if err := netlink.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("attach %s: %w", node.Name, err)
	}
	if err := linkUp(attributes.Name); err != nil {
		return nil, err
	}
	if err := namespace.Do(func() error { return configureNode(family, node) }); err != nil {
		return nil, fmt.Errorf("configure the network of %s: %w", node.Name, err)
	}

	for i, cidr := range node.PodCIDRs {
		route := &netlink.Route{LinkIndex: bridge.Attrs().Index, Dst: ipNet(cidr),
			Gw: node.Addresses[i].Addr().AsSlice()}
		if err := netlink.RouteAdd(route); err != nil {
			return nil, fmt.Errorf("route to the pods of %s: %w", node.Name, err)
		}
	}

	return namespace, nil
}

func configureNode(family topology.Family, node topology.Node) error {
	if err := linkUp("lo"); err != nil {
		return err
	}
	if err := configure("eth0", node.Addresses); err != nil {
		return err
	}

	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find eth0: %w", err)
	}
	for _, gateway := range family.ControlPlane() {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.Addr().AsSlice(),
			Dst: everywhere(gateway.Addr())}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("add the default route through %s: %w", gateway.Addr(), err)
		}
	}

	return forward()
}

func everywhere(like netip.Addr) *net.IPNet {
	bits := like.BitLen()
	return &net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)}
}

// configure gives addresses to an interface and brings it up. Nobody else is there, so IPv6
// addresses are used at once instead of after a second of duplicate detection.
func configure(name string, addresses []netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	for _, prefix := range addresses {
		address := &netlink.Addr{IPNet: &net.IPNet{
			IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}}
		if prefix.Addr().Is6() {
			address.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, address); err != nil {
			return fmt.Errorf("give %s to %s: %w", prefix, name, err)
		}
	}

	return linkUp(name)
}

func linkUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

// forward makes the calling thread's namespace a router.
func forward() error {
	for path, value := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward":          "1",
		"/proc/sys/net/ipv6/conf/all/forwarding": "1",
	} {
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return fmt.Errorf("forward packets: %w", err)
		}
	}
	return nil
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP: prefix.Masked().Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(),
			prefix.Addr().BitLen()),
	}
}
