// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package truth is the reference engine's log of what it enforced and when: the ground truth that a
// measurement is judged against. The log is JSON Lines, one Record a line.
package truth

import (
	"net/netip"
	"time"
)

// Record is one committed nftables transaction.
type Record struct {
	// Seq counts the records of one engine process from 1.
	Seq uint64 `json:"seq"`
	// Node is the name of the node whose engine committed.
	Node string `json:"node"`
	// Before and After are read from the wall clock just before the transaction is handed to the
	// kernel and just after the kernel acknowledged it: the change became true between them.
	Before time.Time `json:"before"`
	After  time.Time `json:"after"`
	// Causes are the API events that the transaction carries out.
	Causes []Cause `json:"causes,omitempty"`
	// Changes are the pairs whose verdict is another one after the transaction than before it.
	Changes []Change `json:"changes,omitempty"`
}

// Cause is an API event, stamped when the engine's watch delivered it.
type Cause struct {
	Kind      string    `json:"kind"`  // NetworkPolicy, Pod or Namespace
	Event     string    `json:"event"` // added, updated or deleted
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	UID       string    `json:"uid"`
	Arrived   time.Time `json:"arrived"`
}

// Change is the new verdict for new connections from one pod to one port of another.
type Change struct {
	From     Endpoint `json:"from"`
	To       Endpoint `json:"to"`
	Protocol string   `json:"protocol"` // TCP, UDP or SCTP
	Port     uint16   `json:"port"`
	Allowed  bool     `json:"allowed"`
}

// Endpoint is one address of one pod.
type Endpoint struct {
	Namespace string     `json:"namespace"`
	Pod       string     `json:"pod"`
	UID       string     `json:"uid"`
	IP        netip.Addr `json:"ip"`
}
