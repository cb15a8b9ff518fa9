// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package gate holds "netpol-latency wait" against a filter that changes at known instants: it has
// nothing but tests.
package gate
