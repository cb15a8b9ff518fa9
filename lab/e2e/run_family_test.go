// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// In a cluster that has no IPv4, scenarios and both clients need no flag that says so, and who asks
// for IPv4 is told before anything is created.
func TestIPv6Only(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--family", "IPv6", "--delay", "50ms")
	t.Run("IPv4 is refused", func(t *testing.T) {
		expectRefused(t, lab, "probe over IPv4: the pods of this cluster have no such addresses",
			"policy-deny", "--family=IPv4")
	})

	t.Run("scenarios", func(t *testing.T) {
		samples, _ := measureRun(t, lab, exitOK, "policy-update", "pod-startup", "--targets=4")
		expectTrue(t, lab, samples, "TCP")
		for _, sample := range samples {
			if address := sample.Target.Address; !address.Addr().Is6() {
				t.Errorf("%s: %s was probed; want IPv6", sample.Scenario, address)
			}
		}
	})

	for _, scenario := range []string{"policy-creation", "pod-creation"} {
		t.Run(scenario, func(t *testing.T) {
			found, err := newTrial(t, lab, scenario, 4).Run(t.Context())
			must(t, err)
			expectMeasured(t, found, 4)
		})
	}
}
