// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/nfqueue"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// tableName is the nftables table that holds everything that the engine does.
const tableName = "netpol_latency_lab"

// socketBuffer is the buffer size, in bytes, that the engine asks for. Without privileges outside
// of the namespace the kernel gives less, and large changes take several transactions.
const socketBuffer = 32 << 20

// elementsPerMessage keeps a message below the 64 KiB that a netlink attribute can have;
// elementBytes is a low estimate of what an element takes in it.
const (
	elementsPerMessage = 400
	elementBytes       = 32 * elementsPerMessage
)

// kernel is the engine's table in the namespace in which openKernel was called, with a copy of what
// it holds. One goroutine uses it.
type kernel struct {
	conn    *nftables.Conn
	table   *nftables.Table
	state   truth.State
	lastSet uint32
	// queue is where new connections wait before they are filtered; nil for an engine in the
	// kernel.
	queue *nfqueue.Queue
	// What a transaction may take: bytes to the kernel, and bytes of its acknowledgements.
	sendBudget, receiveBudget int
}

// openKernel connects to the nftables of the calling thread's network namespace.
func openKernel() (*kernel, error) {
	k := &kernel{table: &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(k.sizeBuffers))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	k.conn = conn
	return k, nil
}

func (k *kernel) close() error {
	err := k.conn.CloseLasting()
	if k.queue != nil {
		err = errors.Join(err, k.queue.Close())
	}
	return err
}

// sizeBuffers makes the socket's buffers as large as it may, and notes how large they became.
func (k *kernel) sizeBuffers(conn *netlink.Conn) error {
	if err := conn.SetWriteBuffer(socketBuffer); err != nil {
		return err
	}
	if err := conn.SetReadBuffer(socketBuffer); err != nil {
		return err
	}

	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr, receiveErr error
	err = raw.Control(func(fd uintptr) {
		k.sendBudget, sendErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		k.receiveBudget, receiveErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	})

	for _, e := range []error{err, sendErr, receiveErr} {
		if e != nil {
			return fmt.Errorf("read the size of the netlink buffers: %w", e)
		}
	}

	return nil
}

// exists says whether the namespace has a table of ours, from an engine before this one.
func (k *kernel) exists() (bool, error) {
	tables, err := k.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("list the nftables tables: %w", err)
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool {
		return t.Name == tableName
	}), nil
}

// fits is how many operations, at least one, a transaction may start with for its messages and
// their acknowledgements to fit into the socket's buffers. The costs are generous estimates.
func (k *kernel) fits(ops []truth.Op) int {
	// what an acknowledgement, or a rule sent back, takes of the receive buffer
	const perMessage = 1500
	var bytes, messages int
	for i, op := range ops {
		switch op.Kind {
		case truth.KindTable:
			bytes, messages = bytes+10000, messages+50
		case truth.KindAddress:
			bytes += 400
			if op.Address != nil {
				bytes += 120 * len(op.Address.Sets)
			}
		case truth.KindSet:
			bytes, messages = bytes+1000, messages+6
			if op.Set != nil {
				bytes += 80*len(op.Set.Members) + 80
			}
		case truth.KindPolicy:
			bytes, messages = bytes+300, messages+2
			if op.Policy != nil {
				bytes, messages = bytes+1600*len(op.Policy.Rules), messages+2*len(op.Policy.Rules)
			}
		case truth.KindGuard:
			bytes, messages = bytes+500, messages+3
			if op.Guard != nil {
				bytes, messages = bytes+400*len(op.Guard.Policies), messages+len(op.Guard.Policies)
			}
		}

		if i > 0 && (bytes > k.sendBudget*3/4 ||
			perMessage*(messages+bytes/elementBytes) > k.receiveBudget*3/4) {
			return i
		}
	}

	return len(ops)
}
