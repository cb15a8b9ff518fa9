// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// udpEcho succeeds when the target sends a datagram back. An ICMP message that nobody listens is
// told apart from silence. The socket is connected, so that the kernel lets only the target's
// answers in.
type udpEcho struct{ clock clock }

func (udpEcho) socket() (kind, protocol int)  { return unix.SOCK_DGRAM, 0 }
func (udpEcho) request(netip.AddrPort) []byte { return []byte("netpol-latency\n") }

// opened sends the datagram at once: connect(2) of a datagram socket sends nothing.
func (u udpEcho) opened(a attempt, replies []reply) []reply {
	_, err := unix.Write(int(a.fd), a.request)
	a.sentBy = u.clock.now()
	a.at = a.sentBy
	if err != nil {
		replies = append(replies, a.is(errorVerdict(err), fmt.Errorf("send the datagram: %w", err)))
	}
	return replies
}

func (udpEcho) read(a attempt, replies []reply) ([]reply, error) {
	var buffer [1]byte
	_, err := unix.Read(int(a.fd), buffer[:])
	if err == nil {
		replies = append(replies, a.is(measure.Allowed, nil))
	}
	return replies, err
}
