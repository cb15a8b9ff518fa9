// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// natTable is the nftables table that leads the `kubernetes` Service to the API server. Nothing
// else in the namespace belongs to the node agent; policy engines have tables of their own.
const natTable = "netpol_latency_lab_node"

// configureRouter turns the agent's network namespace into the node's router.
func configureRouter(cfg Config, links *netlink.Handle) error {
	if err := routerSysctls(cfg.PodCIDRs); err != nil {
		return err
	}
	if err := removeStaleVeths(links, cfg.InterfaceNames); err != nil {
		return err
	}
	if err := addBlackholes(links, cfg.PodCIDRs); err != nil {
		return err
	}
	return addServiceNAT(cfg)
}

// routerSysctls enables forwarding. Reverse path filters are off, so that the policy engine is the
// only thing that drops packets; redirects are off, because pods have exactly one way out.
func routerSysctls(podCIDRs []netip.Prefix) error {
	var settings [][2]string
	for _, p := range podCIDRs {
		if p.Addr().Is6() {
			settings = append(settings,
				[2]string{"net/ipv6/conf/all/forwarding", "1"},
				[2]string{"net/ipv6/conf/default/forwarding", "1"},
				[2]string{"net/ipv6/conf/default/addr_gen_mode", "1"})
			continue
		}

		settings = append(settings, [2]string{"net/ipv4/ip_forward", "1"})
		for _, device := range []string{"all", "default", "eth0"} {
			settings = append(settings,
				[2]string{"net/ipv4/conf/" + device + "/rp_filter", "0"},
				[2]string{"net/ipv4/conf/" + device + "/send_redirects", "0"})
		}
	}

	for _, s := range settings {
		if err := writeSysctl(s[0], s[1]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}

	return nil
}

// removeStaleVeths removes what an agent that was killed left in the node's namespace.
func removeStaleVeths(links *netlink.Handle, prefix string) error {
	all, err := links.LinkList()
	if err != nil {
		return fmt.Errorf("list the node's interfaces: %w", err)
	}
	for _, link := range all {
		name := link.Attrs().Name
		named := prefix != "" && strings.HasPrefix(name, prefix)
		if link.Type() != "veth" || !named && !strings.HasPrefix(name, vethPrefix) {
			continue
		}
		// The kernel may be faster: it removes the veth with the killed pod's namespace.
		if err := links.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("remove the stale interface %s: %w", name, err)
		}
	}

	return nil
}

// addBlackholes drops packets to pod addresses that no pod has. Without them they would follow the
// default route out of the node and come back until their hop limit ends.
func addBlackholes(links *netlink.Handle, podCIDRs []netip.Prefix) error {
	for _, p := range podCIDRs {
		route := &netlink.Route{Dst: ipNet(p.Masked()), Type: unix.RTN_BLACKHOLE}
		if err := links.RouteReplace(route); err != nil {
			return fmt.Errorf("add the blackhole route for %v: %w", p, err)
		}
	}
	return nil
}

// addServiceNAT translates the service addresses of the API server, for pods (prerouting) and for
// the node's own processes (output).
func addServiceNAT(cfg Config) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Name: natTable, Family: nftables.TableFamilyINet}
	conn.AddTable(table) // so that deleting it cannot fail
	conn.DelTable(table)
	conn.AddTable(table)
	for name, hook := range map[string]*nftables.ChainHook{
		"prerouting": nftables.ChainHookPrerouting,
		"output":     nftables.ChainHookOutput,
	} {
		chain := conn.AddChain(&nftables.Chain{
			Name: name, Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: hook, Priority: nftables.ChainPriorityNATDest,
		})
		for _, service := range cfg.ServiceIPs {
			if backend, ok := sameFamily(cfg.APIServers, service); ok {
				conn.AddRule(&nftables.Rule{Table: table, Chain: chain,
					Exprs: translate(service, backend)})
			}
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("add the nftables table %s: %w", natTable, err)
	}

	return nil
}

func sameFamily(backends []netip.AddrPort, service netip.Addr) (netip.AddrPort, bool) {
	for _, b := range backends {
		if b.Addr().Is4() == service.Is4() {
			return b, true
		}
	}
	return netip.AddrPort{}, false
}

// translate is the rule `ip daddr SERVICE tcp dport 443 dnat to BACKEND`.
func translate(service netip.Addr, backend netip.AddrPort) []expr.Any {
	family, offset := uint32(unix.NFPROTO_IPV4), uint32(16)
	if service.Is6() {
		family, offset = unix.NFPROTO_IPV6, 24
	}

	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(family)}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset,
			Len: uint32(service.BitLen() / 8)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: service.AsSlice()},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(443)},
		&expr.Immediate{Register: 1, Data: backend.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(backend.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: family, RegAddrMin: 1, RegProtoMin: 2,
			Specified: true},
	}
}
