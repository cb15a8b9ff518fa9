// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command policy-creation-enforcement-latency is the drop-in test client; see --help.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/internal/agent"
)

// version is the release, for example v1.2.3. The linker sets it, with -X main.version; without it
// the program says what the module system knows.
var version string

func main() {
	os.Exit(agent.Main(agent.PolicyCreation(), version, os.Args[1:], os.Stdout, os.Stderr))
}
