// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package measure owns the nouns of netpol-latency and the arithmetic between them. Read its files
// in the order of the data flow:
//
//	event -> target -> outcome -> transition -> sample -> account, summary
//
// Nothing here does I/O, starts a goroutine or reads a clock: every instant is handed in. Instants
// are time.Time values that still carry the reading of the monotonic clock, so differences between
// two instants of one process are immune to steps of the wall clock.
package measure
