// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command pod-creation-reachability-latency is the drop-in test client; see --help.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/internal/agent"
)

func main() {
	os.Exit(agent.Main(agent.PodCreation(), os.Args[1:], os.Stdout, os.Stderr))
}
