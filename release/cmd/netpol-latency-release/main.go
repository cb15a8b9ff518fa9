// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command netpol-latency-release makes what a release consists of; see --help.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/release/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
