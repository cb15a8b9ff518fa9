// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench measures what a probe costs: the processor time of the probing engine beside that
// of other ways to probe, of which the cheapest possible is one.
//
// A [Turn] is one measurement of one yardstick, and is made by a child process inside the client's
// namespace of a [flat.Network]. On wires of the kind used there (veth(4)) the kernel does the work
// of the router and of the target while it sends, so the sender's processor time contains that
// work. Turns of all yardsticks alternate, because the speed of a machine changes from minute to
// minute: the ratios of one round can be compared, figures of different runs cannot.
package bench
