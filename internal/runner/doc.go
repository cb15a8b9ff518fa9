// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package runner carries out scenarios from outside of the pods: it creates namespaces of its own
// with targets and agents, proves the old state, applies the trigger, collects the agents' logs,
// accounts for every pair and removes what it created.
//
//	run.go          one scenario from beginning to end
//	environment.go  the namespaces of a scenario, and what is in them
//	objects.go      these objects
//	iteration.go    one trigger: prove, write, collect, account
//	targets.go      which targets are up
//	created.go      an iteration whose trigger is the creation of pods
//	inside.go       an iteration seen from inside of new pods
//	collector.go    what the agents' logs say
//	clock.go        the agents' clocks
//	diagnosis.go    what keeps pods from starting
//	silence.go      agents that are not heard any more
//	conntrack.go    how the tables of the nodes are shared
//	place.go        the nodes that may take pods
//	own.go          changes that a user brings
//	guest.go        namespaces that exist, of people who may not create any
//	changes.go      what a trigger writes, as the API serves it
//	load.go         policies that keep the policy engine busy
//	lease.go        how agents learn that their run is gone
//	cleanup.go      what a run leaves when it could not clean up itself
package runner
