// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"net"
	"net/netip"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// dialer probes by opening a connection with Go's standard library, and resets it.
func dialer(ctx context.Context, turn Turn) (Reading, error) {
	dialer := net.Dialer{Timeout: probe.DefaultTimeout}
	return goPace().measure(ctx, turn, func(ctx context.Context, to netip.AddrPort) {
		connection, err := dialer.DialContext(ctx, "tcp", to.String())
		if err != nil {
			return // the target is denied
		}
		_ = connection.(*net.TCPConn).SetLinger(0) // without it the close is an orderly one
		_ = connection.Close()
	})
}
