// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

const (
	// vethPrefix begins the name of the node's end of every pod's veth.
	vethPrefix = "pod"
	// podInterface is the name of the pod's end.
	podInterface = "eth0"
	// firstVethIndex keeps the interface numbers that we choose away from those of the kernel.
	firstVethIndex = 1000
)

// sandbox is the network of one pod: a namespace, a veth to the node and the addresses. A nil
// namespace stands for the node's own network (hostNetwork).
type sandbox struct {
	ns        *netns.Namespace
	offset    uint32
	addresses []netip.Addr
	hostIndex int
	// named is whether the node's end has the name of its pod, which the next of that name needs.
	named bool

	claimed atomic.Bool
}

// claim makes the caller the owner; only the first caller succeeds.
func (s *sandbox) claim() bool { return s.claimed.CompareAndSwap(false, true) }

// do runs f inside the sandbox.
func (s *sandbox) do(f func() error) error {
	if s.ns == nil {
		return f()
	}
	return s.ns.Do(f)
}

// wiring makes and removes sandboxes. Pods are routed, as Calico does it: the pod has a host
// address and a default route through a link-local gateway, the node has a host route to the pod,
// and the neighbours on both sides are permanent, so that no ARP and no neighbour discovery happens
// and no neighbour table limit can look like a denial.
type wiring struct {
	node *netlink.Handle
	next atomic.Int32
}

// newWiring works in the namespace of the calling process, the node's.
func newWiring() (*wiring, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink in the node's namespace: %w", err)
	}
	return &wiring{node: handle}, nil
}

func (w *wiring) close() { w.node.Close() }

// build makes a sandbox with the addresses. The calling thread must be disposable: it ends up in
// the new namespace.
func (w *wiring) build(addresses []netip.Addr) (built *sandbox, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("create a network namespace: %w", err)
	}
	ns, err := netns.Current()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ns.Close())
		}
	}()

	number := w.next.Add(1)
	s := &sandbox{ns: ns, addresses: addresses, hostIndex: firstVethIndex + int(number)}
	if err := w.addVeth(s, number); err != nil {
		return nil, err
	}
	if err := wirePod(addresses, podMAC(0)); err != nil {
		return nil, fmt.Errorf("configure the pod's interface: %w", err)
	}
	if err := w.wireNode(s); err != nil {
		return nil, fmt.Errorf("configure the node's interface: %w", err)
	}

	return s, nil
}

// interfaceName is the name that CNI plugins which find pods by their interfaces give to them:
// Calico's with the prefix cali, that of AWS with eni.
func interfaceName(prefix, namespace, pod string) string {
	const digits = 11 // what the longest name of an interface has room for, with four before it
	sum := sha1.Sum([]byte(namespace + "." + pod))
	return prefix + hex.EncodeToString(sum[:])[:digits]
}

// rename gives the node's end of the pod's interface another name.
func (w *wiring) rename(s *sandbox, name string) error {
	link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: s.hostIndex}}
	err := w.node.LinkSetName(link, name)
	if errors.Is(err, unix.EBUSY) { // kernels before 6.2 want it down, and then it has no routes
		err = errors.Join(w.node.LinkSetDown(link), w.node.LinkSetName(link, name),
			w.node.LinkSetUp(link), w.wireNode(s))
	}
	if err != nil {
		return fmt.Errorf("name the pod's interface %s: %w", name, err)
	}
	s.named = true
	return nil
}

// mac is the address of the pod's end.
func (s *sandbox) mac() net.HardwareAddr { return podMAC(int32(s.hostIndex - firstVethIndex)) }

// podMAC is the address of the pod's end of veth number; every node's end has that of number 0.
func podMAC(number int32) net.HardwareAddr {
	return net.HardwareAddr{0x0e, 0, byte(number >> 24), byte(number >> 16), byte(number >> 8),
		byte(number)}
}

// writeSysctl sets a network sysctl in the namespace of the calling thread.
func writeSysctl(name, value string) error {
	file, err := os.OpenFile("/proc/sys/"+name, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("set sysctl %s: %w", name, err)
	}
	defer file.Close()
	if _, err := file.WriteString(value); err != nil {
		return fmt.Errorf("set sysctl %s: %w", name, err)
	}
	return nil
}

// addVeth creates both ends at once, the pod's in the pod's namespace.
func (w *wiring) addVeth(s *sandbox, number int32) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("%s%d", vethPrefix, number)
	attrs.Index = s.hostIndex
	attrs.HardwareAddr = podMAC(0)
	attrs.Flags = net.FlagUp
	veth := netlink.NewVeth(attrs)
	veth.PeerName = podInterface
	veth.PeerHardwareAddr = s.mac()
	veth.PeerNamespace = netlink.NsFd(s.ns.Fd())
	if err := w.node.LinkAdd(veth); err != nil {
		return fmt.Errorf("create veth %s: %w", attrs.Name, err)
	}

	return nil
}

// wirePod runs inside the pod's namespace.
func wirePod(addresses []netip.Addr, gatewayMAC net.HardwareAddr) error {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()

	eth0, err := handle.LinkByName(podInterface)
	if err != nil {
		return fmt.Errorf("find %s: %w", podInterface, err)
	}
	if err := silence(handle, eth0, addresses); err != nil {
		return err
	}

	loopback := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}}
	if err := errors.Join(handle.LinkSetUp(loopback), handle.LinkSetUp(eth0)); err != nil {
		return fmt.Errorf("bring the interfaces up: %w", err)
	}
	for _, addr := range addresses {
		if err := wirePodAddress(handle, eth0, addr, gatewayMAC); err != nil {
			return fmt.Errorf("address %v: %w", addr, err)
		}
	}

	return nil
}

// silence keeps the interface from making a link-local address when it comes up, and with it from
// router solicitations and multicast reports. Setting the sysctl would do the same, but the kernel
// looks a sysctl's name up in one list over all network namespaces: with 1,000 pods it takes 6 ms.
func silence(handle *netlink.Handle, eth0 netlink.Link, addresses []netip.Addr) error {
	const generateNone = 1 // IN6_ADDR_GEN_MODE_NONE
	if !slices.ContainsFunc(addresses, netip.Addr.Is6) {
		return nil
	}
	if err := handle.LinkSetIP6AddrGenMode(eth0, generateNone); err != nil {
		return fmt.Errorf("switch off link-local addresses: %w", err)
	}
	return nil
}

// wirePodAddress gives eth0 one address, and the way out for its family.
func wirePodAddress(
	handle *netlink.Handle, eth0 netlink.Link, addr netip.Addr, gatewayMAC net.HardwareAddr,
) error {
	index, via, everywhere := eth0.Attrs().Index, gateway(addr),
		netip.PrefixFrom(anyAddress(addr), 0)
	flags := 0
	if addr.Is6() {
		flags = unix.IFA_F_NODAD
	}
	if err := handle.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(hostPrefix(addr)),
		Flags: flags}); err != nil {
		return fmt.Errorf("add it: %w", err)
	}

	neighbour := &netlink.Neigh{LinkIndex: index, IP: via.AsSlice(), HardwareAddr: gatewayMAC,
		State: netlink.NUD_PERMANENT}
	if err := handle.NeighSet(neighbour); err != nil {
		return fmt.Errorf("add the gateway's neighbour entry: %w", err)
	}

	route := &netlink.Route{LinkIndex: index, Dst: ipNet(everywhere), Gw: via.AsSlice(),
		Flags: int(netlink.FLAG_ONLINK)}
	if err := handle.RouteAdd(route); err != nil {
		return fmt.Errorf("add the default route: %w", err)
	}

	return nil
}

// wireNode gives the node the way to the pod.
func (w *wiring) wireNode(s *sandbox) error {
	for _, addr := range s.addresses {
		neighbour := &netlink.Neigh{LinkIndex: s.hostIndex, IP: addr.AsSlice(),
			HardwareAddr: s.mac(), State: netlink.NUD_PERMANENT}
		if err := w.node.NeighSet(neighbour); err != nil {
			return fmt.Errorf("add the neighbour entry of %v: %w", addr, err)
		}
		if err := w.node.RouteReplace(w.podRoute(s, addr)); err != nil {
			return fmt.Errorf("add the route to %v: %w", addr, err)
		}
	}
	return nil
}

// remove takes the sandbox down. The routes go first and at once; the interfaces follow when the
// kernel gets round to cleaning up the namespace, which waits for sockets that are still closing.
func (w *wiring) remove(s *sandbox) error {
	var errs []error
	for _, addr := range s.addresses {
		if err := w.node.RouteDel(w.podRoute(s, addr)); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove the route to %v: %w", addr, err))
		}
	}
	if s.named {
		link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: s.hostIndex}}
		if err := w.node.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("remove the pod's interface: %w", err))
		}
	}
	return errors.Join(append(errs, s.ns.Close())...)
}

func (w *wiring) podRoute(s *sandbox, addr netip.Addr) *netlink.Route {
	return &netlink.Route{LinkIndex: s.hostIndex, Dst: ipNet(hostPrefix(addr)),
		Scope: netlink.SCOPE_LINK}
}

// gateway is the pod's next hop. No interface has this address: the neighbour entry answers for it.
func gateway(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return netip.AddrFrom4([4]byte{169, 254, 1, 1})
	}
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: 1})
}

func anyAddress(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func hostPrefix(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
