// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"

	"github.com/google/nftables"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// routerWire is the router's end of the client's wire.
const routerWire = "client"

// whileIngressDrops does something while a host drops every packet that comes in on an interface, before
// anything else sees it.
func whileIngressDrops(host *netns.Namespace, device string, do func() error) (err error) {
	connection, err := nftables.New(nftables.WithNetNSFd(host.Fd()))
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := connection.AddTable(&nftables.Table{Name: "ingress", Family: nftables.TableFamilyNetdev})
	drop := nftables.ChainPolicyDrop
	connection.AddChain(&nftables.Chain{
		Name: "drop", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookIngress,
		Priority: nftables.ChainPriorityFilter, Device: device, Policy: &drop,
	})
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
