// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package suite reads a file that holds a whole suite: which scenarios to run, with which settings,
// and the limits of their results.
//
//	targets: 20                  # settings beside the runs are the defaults of them all
//	repeat: 3
//	runs:
//	  - scenario: policy-creation
//	    direction: ingress       # egress or ingress
//	    family: IPv6             # IPv4 or IPv6
//	    peer: podSelector        # podSelector, namespaceSelector, ipBlock or ipBlockExcept
//	    port: number             # number, name or range
//	    protocol: TCP            # TCP, UDP or SCTP
//	    targets: 200
//	    agents: 2
//	    repeat: 10
//	    timeout: 1m
//	    placement: any           # any, same-node or other-node
//	    probe: syn               # and all other settings of the command line
//	thresholds:
//	  - policy-creation.p99<500ms
//
// The settings and their values are those of the table in package setting. Every mistake is
// reported at once, with its position.
package suite
