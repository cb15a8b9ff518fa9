// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command netpol-latency measures how long a cluster takes to make a network policy true; see
// --help.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/internal/cli"
)

// version is the release, for example v1.2.3. The linker sets it, with -X main.version; without it
// the program says what the module system knows.
var version string

func main() {
	os.Exit(cli.Main(version, os.Args, os.Stdout, os.Stderr))
}
