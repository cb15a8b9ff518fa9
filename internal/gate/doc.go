// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package gate waits until the network does what policy is to make it do: what must be blocked is
// blocked, and what must be allowed is allowed, both for some time.
//
//	endpoint.go     what is probed, as a user writes it
//	config.go       what is expected of it
//	gate.go         the engines, the end
//	expectation.go  one expectation: its addresses, and whether it holds
//	resolve.go      the addresses of names
//	certificate.go  what was seen, for the record
//
// It needs no privilege and no API server. Nothing here imports what speaks to one, so that a
// program with nothing but the gate stays small.
package gate
