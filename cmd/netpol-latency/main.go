// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command netpol-latency measures how long a cluster takes to make a network policy true; see --help.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
