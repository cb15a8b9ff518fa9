// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"iter"
	"slices"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// members are the elements of a new set, among the addresses that the kernel already has for the
// very pods, in the order of the addresses.
func (c *cluster) members(pods iter.Seq[*pod], s *set) []truth.Member {
	var members []truth.Member
	for pod := range pods {
		for _, a := range pod.Addresses {
			if row, has := c.wanted.Addresses[a]; !has || row.UID != string(pod.UID) {
				continue
			}
			if s.group != nil {
				members = append(members, truth.Member{Address: a})
				continue
			}
			for _, port := range pod.Ports {
				if port.id == s.id {
					members = append(members, truth.Member{Address: a, Port: port.number})
				}
			}
		}
	}

	slices.SortFunc(members, truth.CompareMembers)
	return slices.Compact(members)
}
