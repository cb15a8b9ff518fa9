// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ICMPError is the part of an ICMP error message that the kernel keeps: struct sock_extended_err
// (recvmsg(2)). The zero value is no error.
type ICMPError struct {
	origin uint8
	kind   uint8
	code   uint8
}

// The ICMP numbers that matter here: RFC 792, RFC 1812 section 5.2.7.1, RFC 4443 section 3.1.
const (
	icmp4Unreachable = 3
	icmp4NetUnknown  = 6
	icmp4HostUnknown = 7
	icmp6Unreachable = 1
	icmp6NoRoute     = 0
	icmp6AddressDown = 3
)

// Rejects tells a filter that will not let a packet through from a network that cannot. The plain
// "network unreachable" and "host unreachable" come from routers without a route; everything else
// (prohibited, and the port unreachable that filters send) is a rejection.
func (e ICMPError) Rejects() bool {
	switch {
	case e.origin == unix.SO_EE_ORIGIN_ICMP && e.kind == icmp4Unreachable:
		switch e.code {
		case 0, 1, icmp4NetUnknown, icmp4HostUnknown:
			return false
		}
		return true
	case e.origin == unix.SO_EE_ORIGIN_ICMP6 && e.kind == icmp6Unreachable:
		return e.code != icmp6NoRoute && e.code != icmp6AddressDown
	default:
		return false // for example, time exceeded: a routing loop
	}
}

// ErrorQueue reads sockets' error queues, with one buffer for all.
type ErrorQueue struct {
	control [512]byte
	message unix.Msghdr
}

// NewErrorQueue makes one.
func NewErrorQueue() *ErrorQueue {
	q := &ErrorQueue{}
	q.message.Control = &q.control[0]
	return q
}

// Newest takes what is in a socket's error queue, and returns the newest ICMP error.
func (q *ErrorQueue) Newest(socket int) (newest ICMPError, found bool) {
	for {
		q.message.SetControllen(len(q.control))
		_, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(socket),
			uintptr(unsafe.Pointer(&q.message)), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if errno != 0 {
			return newest, found
		}
		if e, ok := parseErrorQueue(q.control[:q.message.Controllen]); ok {
			newest, found = e, true
		}
	}
}

// parseErrorQueue finds an ICMP error in the control messages of an error queue's entry. The layout
// of struct sock_extended_err (recvmsg(2)): errno uint32, origin, type, code uint8, …
func parseErrorQueue(control []byte) (ICMPError, bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return ICMPError{}, false
	}

	for _, message := range messages {
		is4 := message.Header.Level == unix.IPPROTO_IP && message.Header.Type == unix.IP_RECVERR
		is6 := message.Header.Level == unix.IPPROTO_IPV6 && message.Header.Type == unix.IPV6_RECVERR
		if (!is4 && !is6) || len(message.Data) < 8 ||
			binary.NativeEndian.Uint32(message.Data) == 0 {
			continue
		}
		e := ICMPError{origin: message.Data[4], kind: message.Data[5], code: message.Data[6]}
		if e.origin == unix.SO_EE_ORIGIN_ICMP || e.origin == unix.SO_EE_ORIGIN_ICMP6 {
			return e, true
		}
	}

	return ICMPError{}, false
}
