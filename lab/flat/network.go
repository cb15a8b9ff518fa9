// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package flat is a network without a cluster: a client, a router whose filter can be changed at
// known instants, and one host that owns ten thousands of addresses, so that any number of targets
// costs nothing. It shows how accurate and how costly the probing engine is, and nothing else.
package flat

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// Port is where every target serves HTTP, and echoes datagrams.
const Port = 80

// link is a wire between the router and a host, of both families.
type link struct {
	name         string // of the router's end; the host's is eth0
	router, host []netip.Prefix
}

func links() (client, target link) {
	return link{
			"client",
			[]netip.Prefix{netip.MustParsePrefix("10.90.0.1/24"),
				netip.MustParsePrefix("fd90::1/64")},
			[]netip.Prefix{netip.MustParsePrefix("10.90.0.2/24"),
				netip.MustParsePrefix("fd90::2/64")},
		}, link{
			"target",
			[]netip.Prefix{netip.MustParsePrefix("10.92.0.1/24"),
				netip.MustParsePrefix("fd92::1/64")},
			[]netip.Prefix{netip.MustParsePrefix("10.92.0.2/24"),
				netip.MustParsePrefix("fd92::2/64")},
		}
}

// targets are the prefixes of which the target host owns every address (ip-route(8), type local).
func targets() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.91.0.0/16"),
		netip.MustParsePrefix("fd91::/112")}
}

// Targets are the first addresses of the target host, of IPv6 if six.
func Targets(count int, six bool) []netip.AddrPort {
	address := targets()[0].Addr()
	if six {
		address = targets()[1].Addr()
	}
	all := make([]netip.AddrPort, count)
	for i := range all {
		address = address.Next()
		all[i] = netip.AddrPortFrom(address, Port)
	}
	return all
}

// Network is the three namespaces. Close takes them down.
type Network struct {
	Client, Router, Target *netns.Namespace
	*Filter
}

// New builds a network whose filter lets everything through. It needs root, or a user namespace.
func New() (n *Network, err error) {
	n = &Network{}
	defer func() {
		if err != nil {
			n, err = nil, errors.Join(err, n.Close())
		}
	}()

	for _, namespace := range []**netns.Namespace{&n.Client, &n.Router, &n.Target} {
		if *namespace, err = netns.New(); err != nil {
			return n, err
		}
	}

	client, target := links()
	err = n.Router.Do(func() error {
		return errors.Join(forward(), up("lo"), wire(client, n.Client), wire(target, n.Target),
			routes(target))
	})
	if err != nil {
		return n, fmt.Errorf("build the router: %w", err)
	}

	err = errors.Join(n.Client.Do(func() error {
		return host(client)
	}), n.Target.Do(func() error { return errors.Join(host(target), own()) }))
	if err != nil {
		return n, fmt.Errorf("build the hosts: %w", err)
	}

	n.Filter, err = newFilter(n.Router)
	return n, err
}

// Rewire replaces the client's wire by a new one whose devices have the same names and, in the
// client, the same number: what a plugin does that makes a pod's interface anew.
func (n *Network) Rewire() error {
	client, _ := links()
	err := n.Client.Do(func() error {
		old, err := netlink.LinkByName("eth0")
		if err == nil {
			err = netlink.LinkDel(old)
		}
		if err == nil {
			err = netlink.LinkAdd(&netlink.Veth{
				LinkAttrs: netlink.LinkAttrs{Name: "eth0", Index: old.Attrs().Index},
				PeerName:  client.name, PeerNamespace: netlink.NsFd(n.Router.Fd()),
			})
		}
		return err
	})

	if err != nil {
		return fmt.Errorf("replace the client's wire: %w", err)
	}

	return errors.Join(
		n.Router.Do(func() error {
			return errors.Join(address(client.name, client.router), up(client.name))
		}),
		n.Client.Do(func() error { return host(client) }),
	)
}

// Close takes the network down.
func (n *Network) Close() error {
	var all []error
	for _, namespace := range []*netns.Namespace{n.Client, n.Router, n.Target} {
		if namespace != nil {
			all = append(all, namespace.Close())
		}
	}
	return errors.Join(all...)
}

// forward makes the namespace a router.
func forward() error {
	for name, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1",
		// A router whose packets are all for others need not look for sockets of its own that wait
		// for them (Documentation/networking/ip-sysctl.rst).
		"ipv4/ip_early_demux": "0",
	} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("forward packets: %w", err)
		}
	}
	return nil
}

func up(name string) error {
	found, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(found)
	}
	if err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// wire connects the router's namespace, in which it is called, to a host's.
func wire(l link, host *netns.Namespace) error {
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: l.name},
		PeerName:  "eth0", PeerNamespace: netlink.NsFd(host.Fd()),
	})
	if err != nil {
		return fmt.Errorf("wire %s: %w", l.name, err)
	}
	return errors.Join(address(l.name, l.router), up(l.name))
}

func address(name string, prefixes []netip.Prefix) error {
	found, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	for _, prefix := range prefixes {
		// Nobody else is on the wire, so nobody needs to be asked whether the address is free.
		one := &netlink.Addr{IPNet: ipNet(prefix), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrAdd(found, one); err != nil {
			return fmt.Errorf("give %s the address %s: %w", name, prefix, err)
		}
	}
	return nil
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(),
		prefix.Addr().BitLen())}
}

// host sets up a host's end of a wire, with the router as its way to everywhere.
func host(l link) error {
	if err := errors.Join(up("lo"), address("eth0", l.host), up("eth0")); err != nil {
		return err
	}
	for _, router := range l.router {
		if err := netlink.RouteAdd(&netlink.Route{Gw: router.Addr().AsSlice()}); err != nil {
			return fmt.Errorf("route by way of %s: %w", router.Addr(), err)
		}
	}
	return nil
}

// routes leads the targets' prefixes to the target host.
func routes(l link) error {
	for i, prefix := range targets() {
		route := &netlink.Route{Dst: ipNet(prefix), Gw: l.host[i].Addr().AsSlice()}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("route %s: %w", prefix, err)
		}
	}
	return nil
}

// own makes every address of the targets' prefixes the host's.
func own() error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	for _, prefix := range targets() {
		err := netlink.RouteAdd(&netlink.Route{
			Dst: ipNet(prefix), LinkIndex: loopback.Attrs().Index, Type: unix.RTN_LOCAL,
			Table: unix.RT_TABLE_LOCAL,
			Scope: netlink.SCOPE_HOST,
		})
		if err != nil {
			return fmt.Errorf("own %s: %w", prefix, err)
		}
	}

	return nil
}
