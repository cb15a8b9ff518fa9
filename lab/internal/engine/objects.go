// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	networkingv1 "k8s.io/api/networking/v1"
)

type pod struct {
	podFacts
	arrival int
	groups  map[*group]struct{}

	// openings counts the faults that keep the pod's policies from being enforced at the moment;
	// frozen has the guards that the pod keeps because of another.
	openings int
	frozen   *guardPair
}

type policy struct {
	object  *networkingv1.NetworkPolicy
	subject *group
	chains  [2]*policyChain
}

// group is the pods that a selection holds. Policies share it: as the pods that they select, and as
// the set of addresses in their rules.
type group struct {
	selection
	members  map[*pod]struct{}
	subjects map[*policy]struct{}
	set      *set // nil while no rule in the kernel refers to the group
}

// guard is one direction of the policies that select a pod. Pods with the same policies share it.
type guard struct {
	id     string
	chains []*policyChain
	users  int
}

type guardPair [2]*guard

// policyChain is one direction of a policy.
type policyChain struct {
	id    string
	want  *chain // as the policy says
	have  *chain // as the kernel has it, nil while it does not
	owned bool   // by a policy that exists
	users int
}

// set is a set that rules in the kernel refer to.
type set struct {
	id    string
	from  origin
	group *group // the pods of a selection
	users int
}
