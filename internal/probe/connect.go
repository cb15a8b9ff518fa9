// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// connect succeeds when the TCP connection opens.
type connect struct{}

func (connect) socket() (kind, protocol int)  { return unix.SOCK_STREAM, 0 }
func (connect) request(netip.AddrPort) []byte { return nil }

func (connect) opened(a attempt, replies []reply) []reply {
	return append(replies, a.is(measure.Allowed, nil))
}

func (connect) read(_ attempt, replies []reply) ([]reply, error) { return replies, nil }
