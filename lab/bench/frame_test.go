// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
)

func TestFrame(t *testing.T) {
	source, router := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	frame := newFrame(source, router, netip.MustParseAddrPort("10.90.0.2:40000"),
		netip.MustParseAddrPort("10.91.0.1:80"))
	ip, tcp := frame[internetHeader:tcpHeader], frame[tcpHeader:]
	// A sum over what contains its own checksum is zero (RFC 1071).
	if sum := checksum(ip, 0); sum != 0 {
		t.Errorf("the header's checksum is off by %#x", sum)
	}
	pseudo := append(append([]byte{}, ip[12:20]...), 0, 6, 0, byte(len(tcp)))
	if sum := checksum(append(pseudo, tcp...), 0); sum != 0 {
		t.Errorf("the segment's checksum is off by %#x", sum)
	}
	if port := binary.BigEndian.Uint16(tcp[2:]); port != 80 || tcp[13] != 2 {
		t.Errorf("the segment goes to port %d with flags %#x: want a SYN to 80", port, tcp[13])
	}
	if to := net.HardwareAddr(frame[:6]); to.String() != router.String() {
		t.Errorf("the frame goes to %s: want %s", to, router)
	}
}
