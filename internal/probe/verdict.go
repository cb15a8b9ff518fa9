// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// classify tells why a connection did not open. The socket's error queue knows whether the error
// came as an ICMP message (ip(7), IP_RECVERR); without an entry there, ECONNREFUSED was a reset.
func classify(err error, connection *os.File) measure.Verdict {
	switch {
	case errors.Is(err, errTimeout):
		return measure.Dropped
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return measure.Ambiguous
	}
	if message, ok := queuedICMP(connection); ok {
		return message.verdict()
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET):
		return measure.Refused
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return measure.Rejected // a filter on this host, or in this pod
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return measure.Unreachable
	case errors.Is(err, unix.ETIMEDOUT):
		return measure.Dropped
	default:
		return measure.Ambiguous
	}
}

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

// queuedICMP takes the newest ICMP error from the socket's error queue.
func queuedICMP(connection *os.File) (newest icmpError, found bool) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return icmpError{}, false
	}
	control := make([]byte, 512)
	_ = raw.Control(func(socket uintptr) {
		for {
			_, n, _, _, err := unix.Recvmsg(int(socket), nil, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if message, ok := parseICMP(control[:n]); ok {
				newest, found = message, true
			}
		}
	})
	return newest, found
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
