// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command policy-creation-enforcement-latency is the drop-in test client; see --help.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/internal/agent"
)

func main() {
	os.Exit(agent.Main(agent.PolicyCreation(), os.Args[1:], os.Stdout, os.Stderr))
}
