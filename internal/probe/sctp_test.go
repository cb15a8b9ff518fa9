// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/need"
)

// TestSCTP opens associations with a port that is served, in both families.
func TestSCTP(t *testing.T) {
	listener, err := ListenSCTP(0)
	need.Machine(t, err, "use a kernel that has the module sctp")
	defer listener.Close()
	go func() {
		for {
			if _, err := listener.Accept(); err != nil {
				return
			}
		}
	}()

	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	engine := startEngine(t, SCTP, fast(), 300*time.Millisecond)
	for _, address := range []string{"127.0.0.1", "::1"} {
		r := newRecorder(5)
		engine.Add(netip.AddrPortFrom(netip.MustParseAddr(address), port), r)
		<-r.stopped
		for i, o := range r.outcomes {
			if o.Verdict != measure.Allowed {
				t.Errorf("probe %d of %s: %s, %v; want it allowed", i, address, o.Verdict, o.Err)
			}
		}
	}
}
