// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// connectAttempt succeeds when the TCP connection opens.
func connectAttempt(timeout time.Duration) Attempt {
	return func(ctx context.Context, to netip.AddrPort) measure.Outcome {
		connection, outcome := dial(ctx, to, timeout)
		if connection != nil {
			outcome.Verdict = measure.Allowed
			_ = connection.Close() // the reset that closes it has no reader
		}
		return outcome
	}
}
