// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Where answers are read into.
const (
	receiveBatch = 32
	receiveBytes = 128 // an answer and, of an ICMP message, all of the segment that it quotes
	controlBytes = 64
)

// Receiver reads answers, many by one call to the kernel.
type Receiver struct {
	messages [receiveBatch]message
	vectors  [receiveBatch]unix.Iovec
	names    [receiveBatch][unix.SizeofSockaddrInet6]byte
	bytes    [receiveBatch][receiveBytes]byte
	controls [receiveBatch][controlBytes]byte
	answers  [receiveBatch]Answer
}

// NewReceiver makes one.
func NewReceiver() *Receiver {
	r := &Receiver{}
	for i := range r.messages {
		r.vectors[i] = unix.Iovec{Base: &r.bytes[i][0]}
		r.vectors[i].SetLen(receiveBytes)
		header := &r.messages[i].header
		header.Iov = &r.vectors[i]
		header.SetIovlen(1)
		header.Name = &r.names[i][0]
		header.Control = &r.controls[i][0]
	}
	return r
}

// TCP reads answers from a socket of [OpenTCP], until the next call of the receiver. There may be
// more if it says so.
func (r *Receiver) TCP(socket int, family Family) (answers []Answer, more bool) {
	return r.receive(socket, family, parseTCP)
}

// ICMP reads answers from a socket of [OpenICMP] in the same way.
func (r *Receiver) ICMP(socket int, family Family) (answers []Answer, more bool) {
	return r.receive(socket, family, func(message []byte, _ netip.Addr) (Answer, bool) {
		return parseICMPError(message, family)
	})
}

func (r *Receiver) receive(
	socket int, family Family, parse func(message []byte, from netip.Addr) (Answer, bool),
) (answers []Answer, more bool) {
	for i := range r.messages {
		r.messages[i].header.Namelen = unix.SizeofSockaddrInet6
		r.messages[i].header.SetControllen(controlBytes)
	}
	n := receiveMessages(socket, r.messages[:])

	answers = r.answers[:0]
	for i := range n {
		message, from, ok := r.message(i, family)
		if !ok {
			continue
		}
		if answer, ok := parse(message, from); ok {
			answer.Arrived = r.arrived(i)
			answers = append(answers, answer)
		}
	}
	return answers, n == receiveBatch
}

// message is what a packet carries, and whom it came from.
func (r *Receiver) message(i int, family Family) (message []byte, from netip.Addr, ok bool) {
	packet := r.bytes[i][:min(int(r.messages[i].length), receiveBytes)]
	if family == IPv6 {
		return packet, netip.AddrFrom16([16]byte(r.names[i][8:24])), true
	}
	message, from, _, _, ok = payload4(packet)
	return message, from, ok
}

// arrived is the kernel's time of a packet's arrival, 0 if there is none.
func (r *Receiver) arrived(i int) int64 {
	control := r.controls[i][:r.messages[i].header.Controllen]
	if len(control) < unix.CmsgLen(16) {
		return 0
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if c.Level != unix.SOL_SOCKET || c.Type != unix.SO_TIMESTAMPNS {
		return 0
	}
	data := control[unix.CmsgLen(0):]
	return int64(binary.NativeEndian.Uint64(data))*int64(time.Second) +
		int64(binary.NativeEndian.Uint64(data[8:]))
}
