// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package nfqueue reads packets from a queue of netfilter (NFQUEUE) and lets them pass, one after
// the other and no faster than asked: what an engine that filters in user space costs a packet. It
// has the rule that leads there, too.
package nfqueue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// The messages and attributes of the queue's protocol (linux/netfilter/nfnetlink_queue.h).
const (
	messagePacket  = unix.NFNL_SUBSYS_QUEUE<<8 | 0
	messageVerdict = unix.NFNL_SUBSYS_QUEUE<<8 | 1
	messageConfig  = unix.NFNL_SUBSYS_QUEUE<<8 | 2

	attributePacketHeader  = 1
	attributeVerdictHeader = 2

	configCommand = 1
	configParams  = 2
	configMaxLen  = 3

	commandBind = 1
	copyMeta    = 1 // the packet itself is not needed
	accept      = 1 // NF_ACCEPT: the packet goes on to the next chain
)

// Length is how many packets wait for their verdict at most: the kernel's default. It drops what
// comes when there are so many.
const Length = 1024

// receiveBuffer has room for the messages of a full queue.
const receiveBuffer = 4 << 20

// Queue is a queue of the network namespace in which it was opened. Without a reader the kernel
// drops what a rule sends to it.
type Queue struct {
	conn   *netlink.Conn
	number uint16
}

// Open binds a queue in the calling thread's network namespace. The error says so (it is
// errors.ErrUnsupported) if the kernel has no queues.
func Open(number uint16) (_ *Queue, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open netfilter's queue: %w", err)
	}
	q := &Queue{conn: conn, number: number}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}()

	// A reader that is late loses packets, which the kernel then drops, and goes on.
	if err := conn.SetOption(netlink.NoENOBUFS, true); err != nil {
		return nil, fmt.Errorf("open netfilter's queue: %w", err)
	}
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		return nil, fmt.Errorf("open netfilter's queue: %w", err)
	}

	bind := []byte{commandBind, 0, 0, 0}
	if err := q.configure(configCommand, bind); err != nil {
		if errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("this kernel has no queues for user space "+
				"(CONFIG_NETFILTER_NETLINK_QUEUE): %w", errors.ErrUnsupported)
		}
		return nil, fmt.Errorf("bind netfilter's queue %d: %w", number, err)
	}

	params := append(binary.BigEndian.AppendUint32(nil, 0), copyMeta)
	err = errors.Join(q.configure(configParams, params),
		q.configure(configMaxLen, binary.BigEndian.AppendUint32(nil, Length)))
	if err != nil {
		return nil, fmt.Errorf("configure netfilter's queue %d: %w", number, err)
	}

	return q, nil
}

// Close gives the queue up. The kernel drops what waits in it.
func (q *Queue) Close() error { return q.conn.Close() }

func (q *Queue) configure(kind uint16, value []byte) error {
	message, err := q.message(messageConfig, netlink.Attribute{Type: kind, Data: value})
	if err != nil {
		return err
	}
	message.Header.Flags |= netlink.Acknowledge
	_, err = q.conn.Execute(message)
	return err
}

// message is one of the queue's: struct nfgenmsg, then an attribute.
func (q *Queue) message(
	kind netlink.HeaderType, attribute netlink.Attribute,
) (netlink.Message, error) {
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{attribute})
	if err != nil {
		return netlink.Message{}, fmt.Errorf("encode a message to netfilter's queue: %w", err)
	}
	header := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, q.number)
	return netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request},
		Data:   append(header, attributes...),
	}, nil
}

// packet is one that waits for its verdict.
type packet struct {
	id      uint32
	arrived time.Time
}

// Run accepts packets in their order, at most rate of them a second, until ctx ends.
func (q *Queue) Run(ctx context.Context, rate int) error {
	packets := make(chan packet, Length)
	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, func() { _ = q.conn.SetReadDeadline(time.Unix(1, 0)) })()
	group.Go(func() error {
		defer close(packets)
		return q.receive(ctx, packets)
	})
	group.Go(func() error {
		return issueVerdicts(ctx, packets, newPacer(rate), preciseSleep, q.accept)
	})
	return group.Wait()
}

// receive passes on the packets that the kernel hands over. The kernel does not hand over more than
// the channel holds before they have their verdicts.
func (q *Queue) receive(ctx context.Context, packets chan<- packet) error {
	for {
		messages, err := q.conn.Receive()
		now := time.Now()
		switch {
		case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case errors.Is(err, unix.ENOENT):
			continue // the answer to a verdict about a packet whose interface is gone
		case err != nil:
			return fmt.Errorf("read netfilter's queue: %w", err)
		}

		for _, m := range messages {
			id, err := packetID(m)
			if err != nil {
				return err
			}
			select {
			case packets <- packet{id, now}:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// genericHeader is the size of struct nfgenmsg.
const genericHeader = 4

// packetID reads the number by which a packet is known.
func packetID(m netlink.Message) (uint32, error) {
	if m.Header.Type != messagePacket || len(m.Data) < genericHeader {
		return 0, fmt.Errorf("read netfilter's queue: a message of type %#x is no packet",
			uint16(m.Header.Type))
	}
	attributes, err := netlink.NewAttributeDecoder(m.Data[genericHeader:])
	if err != nil {
		return 0, fmt.Errorf("read netfilter's queue: %w", err)
	}

	for attributes.Next() {
		if header := attributes.Bytes(); attributes.Type() == attributePacketHeader &&
			len(header) >= 4 {
			return binary.BigEndian.Uint32(header), nil
		}
	}

	return 0, errors.New("read netfilter's queue: a packet has no number")
}

// accept lets a packet go on.
func (q *Queue) accept(id uint32) error {
	verdict := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, accept), id)
	message, err := q.message(messageVerdict,
		netlink.Attribute{Type: attributeVerdictHeader, Data: verdict})
	if err != nil {
		return err
	}
	if _, err := q.conn.Send(message); err != nil {
		return fmt.Errorf("send a verdict: %w", err)
	}
	return nil
}
