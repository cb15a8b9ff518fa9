// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// What an engine does wrong must be caught, and named: each fault of the reference engine, by the
// scenario that it shows in.
func TestRunFaults(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--delay", "20ms")
	tests := []struct {
		fault     string
		code      int
		arguments []string
		caught    func(measure.Sample) bool
		says      string
	}{
		{
			"leak=2s", exitThreshold, []string{"pod-startup", "--watch=3s",
				"--threshold=pod-startup.leaks==0"},
			func(s measure.Sample) bool { return s.Kind == measure.KindBlocked && s.Leaks > 0 },
			"pod-startup.leaks==0: failed",
		},
		{
			"flap=50ms@100ms", exitThreshold, []string{"policy-deny",
				"--threshold=policy-deny.flaps==0"},
			func(s measure.Sample) bool { return s.FlapCount > 0 }, "policy-deny.flaps==0: failed",
		},
		{
			"gap=100ms", exitThreshold, []string{"policy-update",
				"--threshold=policy-update/selector/other.leaks==0"},
			func(s measure.Sample) bool { return s.Kind == measure.KindBlocked && s.Leaks > 0 },
			"other.leaks==0: failed",
		},
		{
			"no-except", exitInvalid, []string{"policy-creation", "--peer=ipBlockExcept",
				"--direction=ingress", "--timeout=3s"},
			func(s measure.Sample) bool {
				return s.Kind == measure.KindBlocked &&
					s.Status == measure.Invalid
			}, "never seen blocked",
		},
		{
			"ipv4-only", exitInvalid, []string{"policy-creation", "--family=IPv6", "--timeout=3s"},
			func(s measure.Sample) bool {
				return s.Status == measure.Invalid
			}, "is policy enforced at all",
		},
	}
	for _, test := range tests {
		t.Run(test.fault, func(t *testing.T) {
			lab.Set("--fault", test.fault)
			defer lab.Set("--fault", "none")
			samples, output := measureRun(t, lab, test.code,
				append(test.arguments, "--targets=4", "--target-image=nginx")...)
			count := 0
			for _, sample := range samples {
				if test.caught(sample) {
					count++
				}
			}
			if count == 0 || !strings.Contains(output, test.says) {
				t.Errorf("%d samples show the fault; want some, and %q in the output:\n%s", count,
					test.says, output)
			}
		})
	}
}

// An engine that never enforces one target must cost that one its result, and no other.
func TestRunTargetNeverEnforced(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--delay", "20ms", "--fault", "never=netpol-latency/group=b")
	samples, output := measureRun(t, lab, exitInvalid, "policy-update", "--direction=ingress",
		"--targets=3", "--timeout=3s", "--target-image=nginx", "--check")
	for _, sample := range samples {
		b := strings.HasPrefix(sample.Target.Pod.Name, "target-b")
		if !b && sample.Status != measure.Measured {
			t.Errorf("%s, pod %s: %s, %s; want it measured", sample.Scenario,
				sample.Target.Pod.Name, sample.Status, sample.Reason)
		}
		if b && sample.Status == measure.Measured {
			t.Errorf("%s, pod %s is measured; the engine never changes what it can reach",
				sample.Scenario, sample.Target.Pod.Name)
		}
	}
	for _, want := range []string{"some results are invalid",
		"are right after the last iteration, " +
			"the others wrong for good: "} {
		if !strings.Contains(strings.Join(strings.Fields(output), " "), want) {
			t.Errorf("the output does not say %q:\n%s", want, output)
		}
	}
}
