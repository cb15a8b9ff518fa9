// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package probe sends probes on a schedule and tells what became of each.
//
// An [Engine] probes any number of pairs from one or a few workers. A worker is a locked operating
// system thread with one epoll loop: it takes the pairs that are due from its agenda, gives them slots in
// its table of probes in flight, lets its mode send them, and reports each pair's outcomes in the order
// of their sends. Probes leave on schedule whatever became of the earlier ones, so that a dropped packet
// never blinds the measurement for as long as the kernel waits to send it again. There is no goroutine
// and no allocation per probe.
//
// Each way of probing, a mode, has a file of its own. All of this is Linux; on another system the package says
// what can be asked for, and [New] that it cannot be done there.
package probe
