// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/netpol-latency/netpol-latency/lab/internal/nfqueue"
)

// An engine that filters in user space reads the first packets of each connection from a queue.
// This one lets them wait there, for as long as its verdicts take, and pass on to the chains that
// filter: a packet is filtered by the policies of the moment when it leaves the queue, as by a
// program that looks at its rules when it comes to the packet. So the truth log means what it means
// without one.

// queueNumber is that of the queue in the node's namespace.
const queueNumber = 100

// queueChain is the base chain that comes before the two that filter.
const queueChain = "arriving-queue"

// addQueue sends new connections from pods and to pods to the queue.
func (k *kernel) addQueue() {
	k.addBase(queueChain, nftables.ChainHookPrerouting, -1)
	k.addRule(queueChain, "", matchEstablished(), verdict(expr.VerdictAccept))
	k.addRule(queueChain, "neighbour discovery", matchNeighbourDiscovery(),
		verdict(expr.VerdictAccept))
	for _, cidr := range k.state.Table.PodCIDRs {
		for _, at := range []end{source, destination} {
			k.addRule(queueChain, "filtered in user space", matchPrefix(at, cidr), queueTo())
		}
	}
}

// queueTo hands a packet to the queue.
func queueTo() []expr.Any { return []expr.Any{nfqueue.Target(queueNumber)} }

// openQueue binds the queue, so that the tables that are made from now on lead through it.
func (k *kernel) openQueue() error {
	if err := k.checkQueue(); err != nil {
		return err
	}
	queue, err := nfqueue.Open(queueNumber)
	if err != nil {
		return fmt.Errorf("filter in user space: %w", err)
	}
	k.queue = queue
	return nil
}

// checkQueue tries a rule like those of the queue. The error says so (it is errors.ErrUnsupported)
// if the kernel lacks what it takes.
func (k *kernel) checkQueue() error {
	err := nfqueue.Try(k.conn, nfqueue.Target(queueNumber))
	if errors.Is(err, errors.ErrUnsupported) {
		err = fmt.Errorf("this kernel lacks the target NFQUEUE for nftables "+
			"(CONFIG_NETFILTER_XT_TARGET_NFQUEUE and CONFIG_NFT_COMPAT): %w",
			errors.ErrUnsupported)
	}
	if err != nil {
		return fmt.Errorf("filter in user space: %w", err)
	}
	return nil
}
