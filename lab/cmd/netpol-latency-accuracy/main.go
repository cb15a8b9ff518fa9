// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command netpol-latency-accuracy holds the probing engine against ground truth; see --help.
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/lab/accuracy"
)

func main() {
	os.Exit(accuracy.Main(os.Args[1:], os.Stdout, os.Stderr))
}
