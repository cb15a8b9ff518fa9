// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// TestPortsRanShort warns in the sample, seen to change or not, once a probe had to wait for a
// source port.
func TestPortsRanShort(t *testing.T) {
	for name, deferred := range map[string]bool{"enough": false, "short": true} {
		t.Run(name, func(t *testing.T) {
			p := &pair{notices: newQueue[notice](), port: 80}
			p.observed.counters = NewMetrics().begin("test")
			p.observed.transition = measure.NewTransition(measure.StateBlocked, measure.Rules{})
			now := time.Now()
			for i := range 3 {
				sent := now.Add(time.Duration(i) * time.Millisecond)
				p.OnOutcome(measure.Outcome{Verdict: measure.Allowed, Sent: sent, SentBy: sent,
					Done: sent.Add(time.Microsecond), Deferred: deferred && i == 1})
			}
			warned := slices.ContainsFunc(p.sample().Warnings, func(warning string) bool {
				return strings.HasPrefix(warning, "source ports ran short")
			})
			if warned != deferred {
				t.Errorf("warnings %q; want one about ports: %t", p.sample().Warnings, deferred)
			}
		})
	}
}
