// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// BatchSize is the most SYNs in a batch.
const BatchSize = 64

// Batch is SYNs that leave together, by one call to the kernel.
type Batch struct {
	messages [BatchSize]message
	vectors  [BatchSize]unix.Iovec
	frames   [BatchSize]Frame
	segments [BatchSize][segmentSize]byte
	controls [BatchSize][sourceControlSize]byte
	count    int
}

// NewBatch makes one, which is used again and again.
func NewBatch() *Batch {
	b := &Batch{}
	for i := range b.messages {
		b.messages[i].header.Iov = &b.vectors[i]
		b.messages[i].header.SetIovlen(1)
	}
	return b
}

// Len is how many SYNs the batch has.
func (b *Batch) Len() int { return b.count }

// Clear empties the batch.
func (b *Batch) Clear() { b.count = 0 }

// AddFrame adds a SYN as a whole frame, for a device's socket.
func (b *Batch) AddFrame(common *Frame, port uint16, sequence uint32) {
	frame, header := &b.frames[b.count], &b.messages[b.count].header
	*frame = *common
	frame.name(port, sequence)

	b.setData(&frame.bytes[0], int(frame.length))
	header.Name, header.Namelen = nil, 0 // the socket is bound to its device
	header.Control = nil
	header.SetControllen(0)
	b.count++
}

// AddSegment adds a SYN that the kernel routes, for the raw socket of its family. The address is
// the target's, whose port the kernel wants to be 0 (ipv6(7)).
func (b *Batch) AddSegment(address *SocketAddress, source, to netip.AddrPort, sequence uint32) {
	segment, header := &b.segments[b.count], &b.messages[b.count].header
	putSYN(segment, source, to, sequence)

	b.setData(&segment[0], segmentSize)
	header.Name, header.Namelen = &address.bytes[0], address.length
	header.Control = nil
	header.SetControllen(0)
	if source.Addr().Is4() { // of IPv6 the kernel does with these as with a connection's
		putSource(&b.controls[b.count], source.Addr().As4())
		header.Control = &b.controls[b.count][0]
		header.SetControllen(sourceControlSize)
	}
	b.count++
}

func (b *Batch) setData(first *byte, length int) {
	b.vectors[b.count].Base = first
	b.vectors[b.count].SetLen(length)
}

// Send sends the SYNs from the given one on, as many as it can. An error is that of this very SYN.
func (b *Batch) Send(socket, from int) (sent int, err error) {
	return sendMessages(socket, b.messages[from:b.count])
}

// sourceControlSize is that of a control message with struct in_pktinfo.
const sourceControlSize = unix.SizeofCmsghdr + (unix.SizeofInet4Pktinfo+7)&^7

// putSource writes the control message that says which address a packet leaves from (ip(7),
// IP_PKTINFO). A connection's packets are routed by their source, and so these must be: without it
// the kernel would route first, and take a source only then.
func putSource(control *[sourceControlSize]byte, source [4]byte) {
	*control = [sourceControlSize]byte{}
	binary.NativeEndian.PutUint64(control[0:], uint64(unix.CmsgLen(unix.SizeofInet4Pktinfo)))
	binary.NativeEndian.PutUint32(control[8:], unix.IPPROTO_IP)
	binary.NativeEndian.PutUint32(control[12:], unix.IP_PKTINFO)
	copy(control[unix.SizeofCmsghdr+4:], source[:]) // ipi_spec_dst, behind the device
}
