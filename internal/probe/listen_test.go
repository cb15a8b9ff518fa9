// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"net"
	"testing"
)

// A connection that is reset before it says anything does not reach the program that listens. One
// that does say something is accepted at once, however many there were before it.
func TestListenDefersWhatSaysNothing(t *testing.T) {
	listener, err := Listen(t.Context(), 0)
	check(t, err)
	defer listener.Close()
	address := listener.Addr().String()

	for range 100 {
		connection, err := net.Dial("tcp", address)
		check(t, err)
		check(t, connection.(*net.TCPConn).SetLinger(0))
		check(t, connection.Close())
	}
	connection, err := net.Dial("tcp", address)
	check(t, err)
	defer connection.Close()
	_, err = connection.Write([]byte("hello"))
	check(t, err)

	first, err := listener.Accept()
	check(t, err)
	defer first.Close()
	if got, want := first.RemoteAddr().String(), connection.LocalAddr().String(); got != want {
		t.Errorf("%s was accepted first; want %s, which sent something", got, want)
	}
}
