// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// TestValidateTime refuses settings by which nothing could be confirmed in time.
func TestValidateTime(t *testing.T) {
	tests := []struct {
		name   string
		pairs  int
		within time.Duration
		change func(*Config)
		ok     bool
	}{
		{"the defaults", 100, time.Minute, func(*Config) {}, true},
		{"many pairs", 10_000, time.Minute, func(*Config) {}, true},
		{"too many pairs", 10_000, time.Second, func(*Config) {}, false},
		{"a long hold", 1, time.Second, func(c *Config) { c.Hold = time.Second }, false},
		{"a slow rate", 10, 10 * time.Second, func(c *Config) { c.MaxProbeRate = 2.5 }, false},
		{"hardly any rate", 10, time.Hour, func(c *Config) { c.MaxProbeRate = 1e-300 }, false},
		// The interval grows with the time since the trigger: 1 % of it.
		{"many probes", 1, time.Minute, func(c *Config) { c.Confirm = 700 }, true},
		{"too many probes", 1, time.Minute, func(c *Config) { c.Confirm = 800 }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := DefaultConfig()
			config.Probe = probe.Connect
			config.ProbeIntervalMin = time.Millisecond
			test.change(&config)
			if err := config.ValidateTime(test.pairs, test.within); (err == nil) != test.ok {
				t.Errorf("ValidateTime() = %v; want it taken: %v", err, test.ok)
			}
		})
	}
}
