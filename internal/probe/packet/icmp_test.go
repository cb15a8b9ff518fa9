// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRejects(t *testing.T) {
	tests := []struct {
		name string
		icmp ICMPError
		want bool
	}{
		{"network unreachable: no route", ICMPError{unix.SO_EE_ORIGIN_ICMP, 3, 0}, false},
		{"host unreachable: nobody there", ICMPError{unix.SO_EE_ORIGIN_ICMP, 3, 1}, false},
		{"port unreachable: a filter's default", ICMPError{unix.SO_EE_ORIGIN_ICMP, 3, 3}, true},
		{"administratively prohibited", ICMPError{unix.SO_EE_ORIGIN_ICMP, 3, 13}, true},
		{"IPv6 no route", ICMPError{unix.SO_EE_ORIGIN_ICMP6, 1, 0}, false},
		{"IPv6 administratively prohibited", ICMPError{unix.SO_EE_ORIGIN_ICMP6, 1, 1}, true},
		{"IPv6 rejected by a filter's rule", ICMPError{unix.SO_EE_ORIGIN_ICMP6, 1, 6}, true},
		{"time exceeded: a loop, no denial", ICMPError{unix.SO_EE_ORIGIN_ICMP, 11, 0}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.icmp.Rejects(); got != test.want {
				t.Errorf("Rejects() = %v; want %v", got, test.want)
			}
		})
	}
}

func FuzzParseErrorQueue(f *testing.F) {
	f.Add(controlMessage(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_ICMP, 3, 13))
	f.Add(controlMessage(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, unix.SO_EE_ORIGIN_ICMP6, 1, 1))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, control []byte) {
		e, ok := parseErrorQueue(control)
		if ok && e.origin != unix.SO_EE_ORIGIN_ICMP && e.origin != unix.SO_EE_ORIGIN_ICMP6 {
			t.Errorf("an error that is no ICMP message was taken for one: %+v", e)
		}
	})
}

func TestParseErrorQueue(t *testing.T) {
	got, ok := parseErrorQueue(controlMessage(unix.IPPROTO_IP, unix.IP_RECVERR,
		unix.SO_EE_ORIGIN_ICMP, 3, 13))
	if want := (ICMPError{unix.SO_EE_ORIGIN_ICMP, 3, 13}); !ok || got != want {
		t.Errorf("parseErrorQueue() = %+v, %v; want %+v", got, ok, want)
	}
	if _, ok := parseErrorQueue(controlMessage(unix.IPPROTO_IP, unix.IP_RECVERR,
		unix.SO_EE_ORIGIN_LOCAL, 0, 0)); ok {
		t.Error("a local error was taken for an ICMP message")
	}
}

// controlMessage is a control message with a struct sock_extended_err, as the kernel would write
// it.
func controlMessage(level, kind int, origin, icmpType, code uint8) []byte {
	const size = 16
	message := make([]byte, unix.CmsgSpace(size))
	binary.NativeEndian.PutUint64(message[0:], uint64(unix.CmsgLen(size)))
	binary.NativeEndian.PutUint32(message[8:], uint32(level))
	binary.NativeEndian.PutUint32(message[12:], uint32(kind))
	data := message[unix.CmsgLen(0):]
	binary.NativeEndian.PutUint32(data, uint32(unix.EHOSTUNREACH))
	data[4], data[5], data[6] = origin, icmpType, code
	return message
}
