// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command netpol-latency-bench measures what a probe costs; see --help.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/lab/bench"
)

func main() {
	os.Exit(bench.Main(os.Args[1:], os.Stdout, os.Stderr))
}
