// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// onThread runs f on an operating-system thread that may change its namespaces, and waits for it.
// The goroutine ends without unlocking, so the runtime destroys the thread.
//
// The main thread is avoided: the runtime can never destroy it, and /proc/self is its view. A
// goroutine that lands on it keeps it busy until another one has done the work elsewhere.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread()
			done <- onThread(f)
			return
		}
		done <- f()
	}()
	return <-done
}

// inNamespace runs f on a thread inside ns. Sockets that f opens stay there.
func inNamespace(ns *netns.Namespace, f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(ns.Fd(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the pod's network namespace: %w", err)
		}
		return f()
	})
}
