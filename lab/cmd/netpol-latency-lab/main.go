// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command netpol-latency-lab is a Kubernetes control plane with real pod networks; see --help.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/lab/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, os.Stdout, os.Stderr))
}
