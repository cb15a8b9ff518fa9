// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package packet makes, sends and reads the packets of the probe mode syn.
//
// A SYN leaves by one of two ways. A raw socket hands a [Batch] of segments to the kernel, which
// routes each. A device socket sends whole frames past the kernel's routing, at half the cost:
// [Routes] asks the kernel where they go, and is told when that changes. Answers are read
// from raw sockets whose filters let nothing else through ([Receiver]).
//
// The package knows nothing of probes, and all of it is Linux.
package packet
