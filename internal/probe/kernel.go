// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import "time"

// MaxTimeout is the longest time-out of a probe, in exclusion: the kernel repeats a SYN that got no
// answer after one second (RFC 6298, section 2), and a connection that the repetition opens would
// count as the first packet's success.
const MaxTimeout = time.Second

// The lives of entries, by the defaults of Linux (nf_conntrack_*_timeout_*, in
// Documentation/networking/nf_conntrack-sysctl.rst).
const (
	// tcpSYNLife is that of a SYN that nothing answers (tcp_timeout_syn_sent), tcpEntryLife that of
	// a connection that was reset (tcp_timeout_close).
	tcpSYNLife   = 120 * time.Second
	tcpEntryLife = 10 * time.Second
	// udpEntryLife is that of datagrams, answered or not (udp_timeout).
	udpEntryLife = 30 * time.Second
	// sctpInitLife is that of an INIT that nothing answers (sctp_timeout_cookie_wait),
	// sctpEntryLife that of an association that was aborted (sctp_timeout_closed).
	sctpInitLife  = 3 * time.Second
	sctpEntryLife = 10 * time.Second

	// collectedWithin is how much later the kernel finds an entry whose life is over, which fills
	// the table until then. It looks the more often the shorter the lives of what it found
	// (gc_worker in nf_conntrack_core.c, Linux 6): where probes fill the table they were found to
	// stay 18 s longer (TestTableForMinutes).
	collectedWithin = 20 * time.Second
)
