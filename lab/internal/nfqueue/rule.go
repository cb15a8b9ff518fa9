// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package nfqueue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// Target hands a packet to the queue of the number. It is the target of iptables, which more
// kernels have than the statement of nftables. Without a program that reads the queue the packet is
// dropped.
func Target(number uint16) expr.Any {
	info := xt.Unknown(binary.NativeEndian.AppendUint16(nil, number)) // struct xt_NFQ_info
	return &expr.Target{Name: "NFQUEUE", Info: &info}
}

// Try makes a rule in a table that is gone at once. The error is errors.ErrUnsupported if the
// kernel lacks what the rule takes.
func Try(conn *nftables.Conn, rule expr.Any) error {
	table := conn.AddTable(&nftables.Table{Name: "netpol_latency_lab_check",
		Family: nftables.TableFamilyINet})
	chain := conn.AddChain(&nftables.Chain{Name: "check", Table: table})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{rule}})
	conn.DelTable(table)

	err := conn.Flush()
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}
