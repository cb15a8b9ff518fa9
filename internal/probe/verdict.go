// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// icmpError is the part of an ICMP error message that the kernel keeps: struct sock_extended_err.
type icmpError struct {
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

// verdict tells a network that cannot reach the target from a filter that will not. The plain
// "network unreachable" and "host unreachable" come from routers without a route; everything else
// (prohibited, and the port unreachable that filters send) is a rejection.
func (e icmpError) verdict() measure.Verdict {
	switch {
	case e.origin == unix.SO_EE_ORIGIN_ICMP && e.kind == icmp4Unreachable:
		switch e.code {
		case 0, 1, icmp4NetUnknown, icmp4HostUnknown:
			return measure.Unreachable
		}
		return measure.Rejected
	case e.origin == unix.SO_EE_ORIGIN_ICMP6 && e.kind == icmp6Unreachable:
		switch e.code {
		case icmp6NoRoute, icmp6AddressDown:
			return measure.Unreachable
		}
		return measure.Rejected
	default:
		return measure.Unreachable // for example, time exceeded: a routing loop
	}
}

// errorQueue reads sockets' error queues, with one buffer for all.
type errorQueue struct {
	control [512]byte
	message unix.Msghdr
}

func newErrorQueue() *errorQueue {
	q := &errorQueue{}
	q.message.Control = &q.control[0]
	return q
}

// newest takes what is in a socket's error queue, and returns the newest ICMP error.
func (q *errorQueue) newest(socket int) (newest icmpError, found bool) {
	for {
		q.message.SetControllen(len(q.control))
		_, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(socket), uintptr(unsafe.Pointer(&q.message)),
			unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if errno != 0 {
			return newest, found
		}
		if message, ok := parseICMP(q.control[:q.message.Controllen]); ok {
			newest, found = message, true
		}
	}
}

// parseICMP finds an ICMP error in the control messages of an error queue's entry. The layout of
// struct sock_extended_err (recvmsg(2)): errno uint32, origin, type, code uint8, …
func parseICMP(control []byte) (icmpError, bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return icmpError{}, false
	}
	for _, message := range messages {
		is4 := message.Header.Level == unix.IPPROTO_IP && message.Header.Type == unix.IP_RECVERR
		is6 := message.Header.Level == unix.IPPROTO_IPV6 && message.Header.Type == unix.IPV6_RECVERR
		if (!is4 && !is6) || len(message.Data) < 8 || binary.NativeEndian.Uint32(message.Data) == 0 {
			continue
		}
		e := icmpError{origin: message.Data[4], kind: message.Data[5], code: message.Data[6]}
		if e.origin == unix.SO_EE_ORIGIN_ICMP || e.origin == unix.SO_EE_ORIGIN_ICMP6 {
			return e, true
		}
	}
	return icmpError{}, false
}
