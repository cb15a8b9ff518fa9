// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package truth is the reference engine's log of what it enforced and when: the ground truth that a
// measurement is compared with. The log is JSON Lines, one Record a line.
//
// A record says what a transaction put into the kernel, as operations on a State. The verdict
// between two addresses is a pure function of the state (State.Verdict), so a log of 1,000 pods
// stays as small as the kernel's own changes although it answers for a million pairs: Flips replays
// the records and tells when the verdict of a pair became another one.
package truth

import "time"

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
	// Causes are the API events that the transaction carries out, alone or with its neighbours.
	Causes []Cause `json:"causes,omitempty"`
	// Ops are what the transaction changed, all at the same instant. A record without any says that
	// the causes needed no change.
	Ops []Op `json:"ops,omitempty"`
}

// Cause is an API event, stamped when the engine's watch delivered it, or something that happened
// to the engine itself. A step of a fault names the object of the event that it belongs to, and is
// stamped with the time when it was due.
type Cause struct {
	Kind string `json:"kind"` // NetworkPolicy, Pod or Namespace; Engine, Settings or Fault
	// added, updated or deleted; Engine: started or synced; Fault: the step
	Event     string    `json:"event"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name,omitempty"`
	UID       string    `json:"uid,omitempty"`
	Arrived   time.Time `json:"arrived"`
}
