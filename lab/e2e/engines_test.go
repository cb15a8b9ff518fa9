// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/need"
	"github.com/netpol-latency/netpol-latency/lab/internal/external"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// clusterEngine is what the tests know of an engine that clusters run.
type clusterEngine struct {
	name string
	// commits are the beginnings of the names of results in which verdicts change at commits of
	// nftables: not where an engine changes a set of addresses, or nothing but its memory.
	commits []string
	// shortcomings are what it cannot do, by scenario.
	shortcomings map[string]shortcoming
	// catchesUp says that new pods are free, or change their state more than once, until the engine
	// has caught up with them. In which starts that shows is a matter of chance.
	catchesUp bool
	// queues says that packets wait for it in user space, and are lost where it gets no processor
	// for a while: that makes a flap, of which nothing says whose fault it is.
	queues bool
}

// shortcoming is something that an engine cannot do. It is looked for in each test: an engine that
// can do it now fails the test, so that nobody reads here what was true once.
type shortcoming struct {
	reason string
	// shows is what every sample shows of it.
	shows func(measure.Sample) bool
}

// clusterEngines are those that "make engines" builds.
func clusterEngines() []clusterEngine {
	lacks := map[string]shortcoming{
		"established": {"open connections live on when policy begins to forbid them",
			func(s measure.Sample) bool { return s.Status == measure.Censored }},
	}
	return []clusterEngine{
		{
			name: external.KubeRouter, shortcomings: lacks, catchesUp: true,
			commits: []string{"policy-creation", "policy-deny", "policy-deletion/",
				"policy-update/port/"},
		},
		{name: external.KubeNetworkPolicies, shortcomings: lacks, catchesUp: true, queues: true},
	}
}

// find is the engine as the lab runs it. The test is skipped for want of what it needs.
func (e clusterEngine) find(t testing.TB) external.Engine {
	t.Helper()
	found, err := external.Find(e.name)
	must(t, err)
	found = found.In(filepath.Dir(labtest.Binary(t)))
	need.Machine(t, found.Check(), "make engines")
	return found
}

// Every scenario, on both sides, with engines that clusters run: everything is measured, every
// bracket is true as far as the kernel tells, what an engine cannot do shows, and one that was
// killed enforces what it has not heard of.
func TestEngines(t *testing.T) {
	t.Parallel()
	for _, e := range clusterEngines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			e.find(t)
			lab := labtest.Start(t, "--engine", e.name, "--witness")
			for _, direction := range []string{"egress", "ingress"} {
				t.Run(direction, func(t *testing.T) {
					e.expectMeasured(t, lab.Of(t), append(scenarios(), "--direction="+direction)...)
				})
			}
			for scenario, lacks := range e.shortcomings {
				t.Run(scenario, func(t *testing.T) {
					e.expectShortcoming(t, lab.Of(t), scenario, lacks)
				})
			}
			t.Run("killed", func(t *testing.T) {
				lab.Of(t).Component("kill", "engine-0")
				lab.Of(t).Component("start", "engine-0")
				e.expectMeasured(t, lab.Of(t), "policy-deny", "--check")
			})
		})
	}
}

// expectMeasured runs scenarios, and expects that everything is measured.
func (e clusterEngine) expectMeasured(t *testing.T, lab *labtest.Lab, arguments ...string) {
	t.Helper()
	samples, output := measureRun(t, lab, exitOK, append(arguments, "--targets=2",
		"--target-image=nginx")...)
	t.Log(output)
	commits, err := truth.ReadCommits(lab.Commits)
	must(t, err)
	for _, sample := range samples {
		free := e.catchesUp && (strings.HasPrefix(sample.Scenario, "pod-startup") ||
			sample.Scenario == "pod-creation")
		if sample.Status != measure.Measured || sample.Leaks > 0 && !free ||
			sample.CountFlaps() > 0 && !free && !e.queues {
			t.Errorf("%s, pod %s: %s (%s), %d flaps, %d leaks", sample.Scenario,
				sample.Target.Pod.Name, sample.Status, sample.Reason, sample.CountFlaps(),
				sample.Leaks)
			continue
		}
		if sample.Kind == measure.KindNew && slices.ContainsFunc(e.commits, func(name string) bool {
			return strings.HasPrefix(sample.Scenario, name)
		}) {
			expectWitnessed(t, commits, sample)
		}
	}
}

// expectShortcoming skips by name what the engine cannot do, and fails if it can.
func (e clusterEngine) expectShortcoming(
	t *testing.T, lab *labtest.Lab, scenario string, lacks shortcoming,
) {
	t.Helper()
	samples, _ := measureRun(t, lab, exitCensored, scenario, "--targets=2", "--timeout=2s",
		"--target-image=nginx")
	for _, sample := range samples {
		if !lacks.shows(sample) {
			t.Fatalf("pod %s is %s: it no longer holds of %s that %s", sample.Target.Pod.Name,
				sample.Status, e.name, lacks.reason)
		}
	}
	t.Skipf("%s: %s", e.name, lacks.reason)
}
