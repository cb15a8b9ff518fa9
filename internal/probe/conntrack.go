// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import "time"

// Every answered probe is a flow of its own, and leaves an entry in the connection tracking table
// of each node that it passes. A table has 262,144 entries by default, and when it is full the node
// drops what is new: the tool would do the damage that it is to find. So the answers are budgeted,
// in a way that leaves a burst after the trigger at full speed.
const (
	// answersAtOnce is how many answers a burst may bring.
	answersAtOnce = 140_000
	// tcpEntryLife is how long the entry of a TCP connection stays that was reset
	// (nf_conntrack_tcp_timeout_close), udpEntryLife that of an exchange of datagrams
	// (nf_conntrack_udp_timeout).
	tcpEntryLife = 10 * time.Second
	udpEntryLife = 30 * time.Second
)

// conntrackBudget follows how many answers were had lately. It fills by one for each (more if its
// entry stays longer than that of TCP) and drains at the rate that may go on for ever.
type conntrackBudget struct {
	weight float64
	bucket
}

func newConntrackBudget(mode Mode) conntrackBudget {
	switch mode {
	case UDP:
		weight := float64(udpEntryLife) / float64(tcpEntryLife)
		return conntrackBudget{weight, bucket{rate: sustainedRate}}
	case Established:
		return conntrackBudget{} // there is one connection for each pair, however many probes
	default:
		return conntrackBudget{1, bucket{rate: sustainedRate}}
	}
}

// spend takes in an answer.
func (b *conntrackBudget) spend(now instant) { b.fill(b.weight, now) }

// rate is the most probes a second that the answers so far permit.
func (b *conntrackBudget) rate(now instant, most float64) float64 {
	if b.weight == 0 || b.drained(now) < answersAtOnce {
		return most
	}
	return min(most, sustainedRate/b.weight)
}
