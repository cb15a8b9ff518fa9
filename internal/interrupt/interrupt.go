// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package interrupt turns the first signal that asks a program to end into the end of a context,
// and leaves the second to the kernel.
package interrupt

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Context returns a context that ends at the first SIGINT, SIGTERM or SIGHUP. By then SIGINT and
// SIGTERM have their default action again: whoever has seen that the work is being ended can end
// the process at once with another. signal.NotifyContext cannot promise that, since its signals are
// caught until its stop function is called, which is after the context has ended.
//
// A further SIGHUP does nothing: of a terminal that is closed both the shell and the kernel send
// one. Where SIGHUP is ignored, as by nohup(1), it stays so.
//
// The stop function ends the context and gives the signals back; it may be called more than once.
func Context(parent context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals, hangups := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(hangups, syscall.SIGHUP)
	}

	go func() {
		defer cancel()
		defer signal.Stop(signals)
		select {
		case <-signals:
		case <-hangups:
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		signal.Stop(hangups)
	}
}
