// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Command netpol-latency-trial runs the test clients in a lab and evaluates them by its truth log;
// run it with "netpol-latency-lab run -- netpol-latency-trial".
package main

import (
	"os"

	"github.com/netpol-latency/netpol-latency/lab/trial"
)

func main() {
	os.Exit(trial.Main(os.Args[1:], os.Stdout, os.Stderr))
}
