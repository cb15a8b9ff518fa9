// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package agent is the process inside a pod. It joins the API's events and the probes' outcomes on
// one clock and turns them into samples. It has four programs:
//
//	podcreation.go     the drop-in client for new pods
//	policycreation.go  the drop-in client for a policy that allows; client.go is what both share
//	remote.go          an agent, which does what a runner's plans say
//	startup.go         a pod that probes from its own first instant
//
// Each decides who is a target and how a pair ends. A tracker (tracker.go) owns the pods and the
// pairs (pair.go), in the program's one goroutine: the API's events and what the prober's
// goroutines tell about pairs reach it through queues (queue.go). What the drop-in clients have
// measured is kept in results.go, counted in metrics.go and served by server.go; the others write
// lines for the runner.
package agent
