// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import "time"

// Every answered probe is a flow of its own, and leaves an entry in the connection tracking table of
// each node that it passes. A table has 262,144 entries by default, and when it is full the node drops
// what is new: the tool would do the damage that it is to find. So the answers are budgeted, in a way
// that leaves a burst after the trigger at full speed.
const (
	// answersAtOnce is how many answers a burst may bring, answersASecond how many may go on for ever.
	answersAtOnce  = 140_000
	answersASecond = 5000
	// tcpTrace is how long the entry of a TCP connection stays that was reset
	// (nf_conntrack_tcp_timeout_close), udpTrace that of an exchange of datagrams
	// (nf_conntrack_udp_timeout).
	tcpTrace = 10 * time.Second
	udpTrace = 30 * time.Second
)

// footprint follows how many answers were had lately. It fills by one for each (more if its trace stays
// longer than that of TCP) and drains at the rate that may go on for ever.
type footprint struct {
	weight float64
	level  float64
	at     instant
}

func newFootprint(mode Mode) footprint {
	switch mode {
	case UDP:
		return footprint{weight: float64(udpTrace) / float64(tcpTrace)}
	case Established:
		return footprint{} // there is one connection for each pair, however many probes
	default:
		return footprint{weight: 1}
	}
}

// answered enters an answer.
func (f *footprint) answered(now instant) {
	f.drain(now)
	f.level += f.weight
}

func (f *footprint) drain(now instant) {
	f.level = max(0, f.level-answersASecond*time.Duration(now-f.at).Seconds())
	f.at = now
}

// rate is the most probes a second that the answers so far permit.
func (f *footprint) rate(now instant, most float64) float64 {
	if f.weight == 0 {
		return most
	}
	f.drain(now)
	if f.level < answersAtOnce {
		return most
	}
	return min(most, answersASecond/f.weight)
}
