// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/need"
	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
)

// TestControl has a silent target, and an address beside it that answers connections: by every mode
// that has a control pair it tells of the path, and no observer hears of it.
func TestControl(t *testing.T) {
	control := serve(t, func(net.Conn) {})
	tests := []struct {
		mode Mode
		to   netip.AddrPort
	}{{Connect, silent(t)}, {HTTP, silent(t)}, {SYN, silent(t)}, {UDP, deaf(t)}}
	for _, test := range tests {
		t.Run(string(test.mode), func(t *testing.T) {
			t.Parallel()
			engine, err := New(Config{
				Mode: test.mode, Schedule: fast(), Timeout: 100 * time.Millisecond, Paced: true,
				Control: Control{Address: control, Interval: ControlInterval},
			})
			need.Machine(t, err, "run the tests as root, or use another mode")
			r := newRecorder(-1)
			pair := engine.Add(test.to, r)
			deadline := time.Now().Add(2 * pace.LongestSearch)
			for !engine.Pace().Found && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}

			state := engine.Pace()
			if !state.Found || state.Rate <= pace.LowestRate || state.RoundTrip == 0 {
				t.Errorf("%+v: want a rate that was found, and a round trip", state)
			}
			pair.Stop()
			<-r.stopped
			check(t, engine.Close())
			for _, outcome := range r.outcomes {
				if !outcome.Verdict.Blocked() && outcome.Err == nil {
					t.Errorf("a probe of the silent target is %s", outcome.Verdict)
				}
			}
		})
	}
}
