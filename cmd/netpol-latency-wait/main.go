// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command netpol-latency-wait is "netpol-latency wait" and nothing else, for small images.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/internal/cli/wait"
)

// version is the release, for example v1.2.3. The linker sets it, with -X main.version; without it
// the program says what the module system knows.
var version string

func main() {
	os.Exit(wait.Main("netpol-latency-wait", version, os.Args[1:], os.Stdout, os.Stderr))
}
