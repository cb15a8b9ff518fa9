// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// routerWire is the router's end of the client's wire.
const routerWire = "client"

// whileIngressDrops does something while a host drops every IPv4 packet that comes in on an
// interface, before anything else sees it.
func whileIngressDrops(host *netns.Namespace, device string, do func() error) (err error) {
	connection, err := nftables.New(nftables.WithNetNSFd(host.Fd()))
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}

	table := connection.AddTable(&nftables.Table{Name: "ingress",
		Family: nftables.TableFamilyNetdev})
	chain := connection.AddChain(&nftables.Chain{
		Name: "drop", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum:  nftables.ChainHookIngress,
		Priority: nftables.ChainPriorityFilter, Device: device,
	})

	// Not ARP: the client must go on finding the router.
	connection.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1,
			Data: binaryutil.BigEndian.PutUint16(unix.ETH_P_IP)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})

	if err := connection.Flush(); err != nil {
		return fmt.Errorf("drop packets at the ingress of %s: %w", device, err)
	}

	defer func() {
		connection.DelTable(table)
		if failed := connection.Flush(); failed != nil {
			err = errors.Join(err, fmt.Errorf("let packets in at %s again: %w", device, failed))
		}
	}()

	return do()
}
