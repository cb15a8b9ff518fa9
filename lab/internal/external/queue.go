// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"github.com/netpol-latency/netpol-latency/lab/internal/nfqueue"
)

// queueNumber is that of the queue that kube-network-policies reads.
const queueNumber = 100

// queueTable leads new connections to the queue where the engine's own table can not.
const queueTable = "netpol_latency_lab_queue"

// kube-network-policies sends packets to its queue with the expression queue of nftables, and goes
// on without its table where the kernel lacks that. The target NFQUEUE, which more kernels have,
// does the same.

// addQueueRules sends new forwarded connections to the engine's queue, if the kernel lacks what the
// engine would do that with. Without a reader of the queue the kernel drops them.
func addQueueRules() error {
	err := tryRule(&expr.Queue{Num: queueNumber, Total: 1})
	if err == nil {
		return nil // the engine's own table does
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("look for the expression queue of nftables: %w", err)
	}

	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Name: queueTable, Family: nftables.TableFamilyINet}
	conn.AddTable(table) // so that deleting it cannot fail
	conn.DelTable(table)
	conn.AddTable(table)
	chain := conn.AddChain(&nftables.Chain{Name: "forward", Table: table,
		Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward,
		Priority: nftables.ChainPriorityMangle})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain,
		Exprs: append(matchNew(), nfqueue.Target(queueNumber))})
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("send new connections to queue %d: %w", queueNumber, err)
	}
	return nil
}

// matchNew matches packets that connection tracking has seen the first of.
func matchNew() []expr.Any {
	none := binaryutil.NativeEndian.PutUint32(0)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Xor: none,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitNEW)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: none},
	}
}

// tryRule is [nfqueue.Try] in the namespace of the calling thread.
func tryRule(one expr.Any) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	return nfqueue.Try(conn, one)
}

// queues are what an engine that filters in user space needs.
func queues() requirement {
	return requirement{
		"rules that send packets to user space",
		"CONFIG_NFT_QUEUE, or CONFIG_NETFILTER_XT_TARGET_NFQUEUE and CONFIG_NFT_COMPAT",
		func() error {
			err := tryRule(&expr.Queue{Num: queueNumber, Total: 1})
			if errors.Is(err, errors.ErrUnsupported) {
				err = tryRule(nfqueue.Target(queueNumber))
			}
			return err
		},
	}
}

// queueHasReader says why nobody reads the queue yet. The engine binds it when it has read the API.
func queueHasReader() error {
	table, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
	if err != nil {
		return fmt.Errorf("read the queues of the node: %w", err)
	}
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) > 0 && string(fields[0]) == strconv.Itoa(queueNumber) {
			return nil
		}
	}
	return fmt.Errorf("find the reader of queue %d: there is none", queueNumber)
}
