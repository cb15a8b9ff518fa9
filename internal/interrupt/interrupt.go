// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package interrupt turns the first SIGINT or SIGTERM into the end of a context and leaves the
// second to the kernel.
package interrupt

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Context returns a context that ends at the first SIGINT or SIGTERM. By then both signals have
// their default action again: whoever has seen that the work is being ended can end the process at
// once with another. signal.NotifyContext cannot promise that, since its signals are caught until
// its stop function is called, which is after the context has ended.
//
// The stop function ends the context and gives the signals back; it may be called more than once.
func Context(parent context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		defer cancel()
		defer signal.Stop(signals)
		select {
		case <-signals:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
