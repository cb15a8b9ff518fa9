// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "net/netip"

// Target is an address to probe: one port of one incarnation of a pod.
type Target struct {
	Pod     Object
	Address netip.AddrPort
}
