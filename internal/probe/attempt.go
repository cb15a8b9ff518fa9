// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Attempt makes one probe of the address and reports what became of it. It returns by its own
// time-out, and soon after the context ends.
type Attempt func(ctx context.Context, to netip.AddrPort) measure.Outcome

// MaxTimeout is the longest time-out of a probe, in exclusion: the kernel repeats a SYN that got no
// answer after one second (RFC 6298, section 2), and a connection that the repetition opens would
// count as the first packet's success.
const MaxTimeout = time.Second

// Success says what a probe must bring about to count as allowed.
type Success string

// The kinds of success.
const (
	// Response: any HTTP response, whatever its status.
	Response Success = "response"
	// Connect: the TCP connection opens.
	Connect Success = "connect"
)

// NewAttempt returns the attempt that succeeds in the given way. The time-out bounds the opening of
// the connection; a response may take [ResponseTimeout] longer.
func NewAttempt(success Success, timeout time.Duration) (Attempt, error) {
	if timeout <= 0 || timeout >= MaxTimeout {
		return nil, fmt.Errorf("use probe time-out %s: expected more than 0 and less than %s, "+
			"after which the kernel sends a lost SYN again", timeout, MaxTimeout)
	}
	switch success {
	case Response:
		return httpAttempt(timeout), nil
	case Connect:
		return connectAttempt(timeout), nil
	default:
		return nil, fmt.Errorf("use success %q: expected %q or %q", success, Response, Connect)
	}
}
