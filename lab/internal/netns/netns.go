// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package netns creates network namespaces and runs code inside them.
//
// A namespace here has no name in the file system: an open descriptor keeps it alive, so when the
// process that holds it dies, however it dies, the kernel takes down the namespace with every
// interface, route and netfilter table in it (network_namespaces(7)).
package netns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is an open handle of a network namespace. The zero value is not usable; get one from
// New, Current or Open and Close it.
type Namespace struct {
	file *os.File
}

// New makes an empty network namespace: one loopback interface, down, and nothing else.
func New() (*Namespace, error) {
	var created *Namespace
	err := OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("create a network namespace: %w", err)
		}
		var err error
		created, err = Current()
		return err
	})
	return created, err
}

// Current opens the namespace of the calling thread.
func Current() (*Namespace, error) {
	return Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
}

// Open opens the namespace behind path, for example /proc/PID/ns/net.
func Open(path string) (*Namespace, error) {
	file, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return &Namespace{file: file}, nil
}

// Fd is the namespace's descriptor, valid until Close.
func (n *Namespace) Fd() int { return int(n.file.Fd()) }

// Close gives up this handle. The namespace lives on while a process, a socket or another handle
// uses it.
func (n *Namespace) Close() error { return n.file.Close() }

// Do runs f on a thread that is inside the namespace and waits for it. Sockets that f opens and
// processes that f starts stay in the namespace after Do returns; goroutines that f starts do not
// run in it.
func (n *Namespace) Do(f func() error) error {
	return OnThread(func() error {
		if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// OnThread runs f on an operating-system thread of its own, whose namespaces it may change, and
// waits for it. The goroutine ends without unlocking, so the runtime destroys the thread instead of
// handing its changed namespaces to other goroutines.
//
// The main thread is avoided: the runtime can never destroy it, and /proc/self is its view. A
// goroutine that lands on it keeps it busy until another one has done the work elsewhere.
func OnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread()
			done <- OnThread(f)
			return
		}
		done <- f()
	}()
	return <-done
}
