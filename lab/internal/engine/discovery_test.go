// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// ICMPv6 types: RFC 4443, section 4.1, and RFC 4861, section 4.3.
const (
	echoRequest           = 128
	neighbourSolicitation = 135
)

// TestDiscoveryStaysOnItsLink sends what looks like neighbour discovery from pod to pod, and then
// an echo request: the former passes the policy of both, but not the node.
func TestDiscoveryStaysOnItsLink(t *testing.T) {
	_, client, server := newPair(t)
	to := server.addresses[1]
	receiver, sender := openICMPv6(t, server), openICMPv6(t, client)
	address := &unix.SockaddrInet6{Addr: to.As16()}
	for _, message := range [][]byte{
		append([]byte{neighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}, to.AsSlice()...),
		{echoRequest, 0, 0, 0, 0, 1, 0, 1},
	} {
		if err := unix.Sendto(sender, message, 0, address); err != nil {
			t.Fatal(os.NewSyscallError("sendto", err))
		}
	}
	for {
		var message [1500]byte
		_, from, err := unix.Recvfrom(receiver, message[:], 0)
		if err != nil {
			t.Fatalf("wait for the echo request: %v", err)
		}
		if source := from.(*unix.SockaddrInet6).
			Addr; netip.AddrFrom16(source) != client.addresses[1] {
			continue // the server's own neighbour discovery
		}
		if message[0] != echoRequest {
			t.Errorf("the server got a message of type %d; want the echo request only", message[0])
			continue
		}
		return
	}
}

// openICMPv6 opens a raw socket (ipv6(7), raw(7)) in the host's namespace, which waits for as long
// as tests do.
func openICMPv6(t *testing.T, h *host) int {
	t.Helper()
	socket := -1
	err := h.ns.Do(func() (err error) {
		socket, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC,
			unix.IPPROTO_ICMPV6)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(socket) }) // nothing was written that could be lost
	timeout := unix.NsecToTimeval(waitTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO,
		&timeout); err != nil {
		t.Fatal(os.NewSyscallError("setsockopt", err))
	}
	return socket
}
