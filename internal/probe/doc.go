// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package probe sends probes on a schedule and tells what became of each.
//
// An [Engine] probes any number of pairs from one worker, a locked operating system thread with one
// epoll loop. Each turn of it goes one way: the worker takes the pairs that are due from its queue,
// gives their probes entries in its table of probes in flight, and has the mode launch them in
// batches. The mode returns the replies that it knows of, from a launch, from events of sockets, or
// when it is polled. The worker alone evaluates them, after the batch: it gives verdicts, and tells
// each pair's observer its outcomes in the order of their sends. No mode calls the worker.
//
// Probes leave on schedule whatever became of the earlier ones, so that a dropped packet never
// blinds the measurement for as long as the kernel waits to send it again. There is no goroutine
// and no allocation per probe.
//
// Each way of probing, a mode, has a file of its own, and hangs what it keeps for a pair on one
// field of it. All of this is Linux; on another system the package says what can be asked for, and
// [New] that it cannot be done there.
package probe
