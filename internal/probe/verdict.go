// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe/packet"
)

// errorVerdict is what an error of the kernel says about the network.
func errorVerdict(err error) measure.Verdict {
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET):
		return measure.Refused
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return measure.Rejected // a filter on this host, or in this pod
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return measure.Unreachable
	case errors.Is(err, unix.ETIMEDOUT):
		return measure.Dropped
	default:
		return measure.Ambiguous
	}
}

// icmpVerdict is what an ICMP error says.
func icmpVerdict(e packet.ICMPError) measure.Verdict {
	if e.Rejects() {
		return measure.Rejected
	}
	return measure.Unreachable
}
