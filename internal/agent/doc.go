// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package agent is the process inside a pod. It joins the API's events and the probes' outcomes on
// one clock and turns them into samples. Its two scenarios are the drop-in test clients; what they
// measure leaves as Prometheus metrics, as log lines and as JSON Lines.
//
// Data flow: kube events and finished pairs meet in one goroutine (podcreation.go and
// policycreation.go), pairs probe in goroutines of their own (pair.go), samples end in the ledger
// (ledger.go), which the metrics and the HTTP server read.
package agent
