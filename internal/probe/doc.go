// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package probe sends probes and tells what became of each.
//
// An [Attempt] makes one probe; each kind has a file of its own. A [Prober] paces attempts at one
// target: they leave on a schedule, whatever became of the earlier ones, so that a packet that was
// dropped never blinds the measurement for as long as the kernel waits to send it again.
package probe
