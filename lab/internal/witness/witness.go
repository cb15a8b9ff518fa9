// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package witness listens to the kernel, which announces each commit of nftables, and writes down
// when. It hears of commits that programs make which nobody here wrote, and which keep no log.
package witness

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// The announcements of nftables (linux/netfilter/nf_tables.h).
const (
	group = 7 // NFNLGRP_NFTABLES

	messageNewGeneration = unix.NFNL_SUBSYS_NFTABLES<<8 | 15 // NFT_MSG_NEWGEN

	attributeGeneration  = 1
	attributeProcessID   = 2
	attributeProcessName = 3
)

// receiveBuffer has room for thousands of announcements.
const receiveBuffer = 4 << 20

// Listener hears the commits of one network namespace.
type Listener struct {
	conn *netlink.Conn
	node string
}

// Listen begins to listen in the calling thread's network namespace, which is that of the node.
func Listen(node string) (_ *Listener, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("listen to nftables: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}()

	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		return nil, fmt.Errorf("listen to nftables: %w", err)
	}
	program, err := bpf.Assemble(onlyGenerations())
	if err != nil {
		return nil, fmt.Errorf("listen to nftables: %w", err)
	}
	if err := conn.SetBPF(program); err != nil {
		return nil, fmt.Errorf("listen to nftables: %w", err)
	}
	if err := conn.JoinGroup(group); err != nil {
		return nil, fmt.Errorf("listen to nftables: %w", err)
	}
	return &Listener{conn, node}, nil
}

// onlyGenerations keeps the announcements of what a commit changed out of the socket's buffer, as
// there may be thousands. It looks at the type in struct nlmsghdr.
func onlyGenerations() []bpf.Instruction {
	const typeOffset, all = 4, 1 << 16
	wire := binary.NativeEndian.AppendUint16(nil, messageNewGeneration)
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: typeOffset, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(binary.BigEndian.Uint16(wire)), SkipFalse: 1},
		bpf.RetConstant{Val: all},
		bpf.RetConstant{Val: 0},
	}
}

// Close ends the listening.
func (l *Listener) Close() error { return l.conn.Close() }

// Run hands each commit over until ctx ends.
func (l *Listener) Run(ctx context.Context, heard func(truth.Commit) error) error {
	defer context.AfterFunc(ctx, func() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) })()
	for {
		messages, err := l.conn.Receive()
		now := time.Now()
		switch {
		case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("listen to nftables of %s: %w", l.node, err)
		}

		for _, message := range messages {
			commit, err := parse(message)
			if err != nil {
				return err
			}
			commit.Node, commit.At = l.node, now
			if err := heard(commit); err != nil {
				return err
			}
		}
	}
}

// genericHeader is the size of struct nfgenmsg.
const genericHeader = 4

// parse reads who made which generation.
func parse(m netlink.Message) (commit truth.Commit, err error) {
	if m.Header.Type != messageNewGeneration || len(m.Data) < genericHeader {
		return commit, fmt.Errorf("listen to nftables: a message of type %#x is no generation",
			uint16(m.Header.Type))
	}
	attributes, err := netlink.NewAttributeDecoder(m.Data[genericHeader:])
	if err != nil {
		return commit, fmt.Errorf("listen to nftables: %w", err)
	}

	attributes.ByteOrder = binary.BigEndian
	for attributes.Next() {
		switch attributes.Type() {
		case attributeGeneration:
			commit.Generation = attributes.Uint32()
		case attributeProcessID:
			commit.PID = attributes.Uint32()
		case attributeProcessName:
			commit.Process = attributes.String()
		}
	}
	if err := attributes.Err(); err != nil {
		return commit, fmt.Errorf("listen to nftables: read a generation: %w", err)
	}
	return commit, nil
}

// Log is where the listeners of all nodes write.
type Log struct {
	mu   sync.Mutex
	file *os.File
}

// OpenLog makes a log.
func OpenLog(path string) (*Log, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the witness's log: %w", err)
	}
	return &Log{file: file}, nil
}

// Write appends one commit, as a line that reaches the file in one piece.
func (l *Log) Write(commit truth.Commit) error {
	line, err := json.Marshal(commit)
	if err != nil {
		return fmt.Errorf("encode a commit: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write to the witness's log: %w", err)
	}
	return nil
}

// Close closes the log.
func (l *Log) Close() error { return l.file.Close() }
