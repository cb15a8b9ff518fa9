// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// connect succeeds when the TCP connection opens.
type connect struct{}

func (connect) socket() (kind, protocol int)       { return unix.SOCK_STREAM, 0 }
func (connect) request(*Pair) []byte               { return nil }
func (connect) read(*worker, int32, instant) error { return nil }

func (connect) open(w *worker, i int32, now instant) { w.end(i, measure.Allowed, now, nil) }
