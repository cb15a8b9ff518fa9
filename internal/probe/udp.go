// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// udpEcho succeeds when the target sends a datagram back. An ICMP message that nobody listens is told
// apart from silence. The socket is connected, so that the kernel lets only the target's answers in.
type udpEcho struct{}

func (udpEcho) socket() (kind, protocol int) { return unix.SOCK_DGRAM, 0 }
func (udpEcho) request(*Pair) []byte         { return []byte("netpol-latency\n") }

// open sends the datagram at once: connect(2) of a datagram socket sends nothing.
func (udpEcho) open(w *worker, i int32, _ instant) {
	s := &w.flight.slots[i]
	_, err := unix.Write(int(s.fd), s.pair.request)
	s.sentBy = w.clock.now()
	if err != nil {
		w.end(i, verdictOf(err), s.sentBy, fmt.Errorf("send the datagram: %w", err))
	}
}

func (udpEcho) read(w *worker, i int32, now instant) error {
	s := &w.flight.slots[i]
	var buffer [1]byte
	_, err := unix.Read(int(s.fd), buffer[:])
	if err == nil {
		w.end(i, measure.Allowed, now, nil)
	}
	return err
}
