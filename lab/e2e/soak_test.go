// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

var (
	soakFor = flag.Duration("soak", 0,
		"how long TestSoak disturbs runs; without it, it is skipped")
	soakSeed = flag.Uint64("seed", 0, "what TestSoak's choices come from (default the time)")
)

// disturbance is something that happens to a run. What it is done to is chosen at random.
type disturbance struct {
	name string
	do   func(s *soak, t *testing.T, lab *labtest.Lab, run *underWay)
	// free disturbances cost no pair its result.
	free bool
}

// disturbances are what clusters do to runs.
func disturbances() []disturbance {
	return []disturbance{
		{"the API server is restarted", func(_ *soak, _ *testing.T, lab *labtest.Lab, _ *underWay) {
			restartAPI(lab)
		}, true},
		{"an agent is evicted", func(s *soak, t *testing.T, lab *labtest.Lab, run *underWay) {
			s.delete(t, lab, run, "agent", 30)
		}, false},
		{"an agent is killed", func(s *soak, t *testing.T, lab *labtest.Lab, run *underWay) {
			s.delete(t, lab, run, "agent", 0)
		}, false},
		{"a target is evicted", func(s *soak, t *testing.T, lab *labtest.Lab, run *underWay) {
			s.delete(t, lab, run, "target", 30)
		}, false},
		{"an engine is restarted", func(s *soak, _ *testing.T, lab *labtest.Lab, _ *underWay) {
			lab.Component("restart", fmt.Sprint("engine-", s.random.IntN(2)))
		}, false},
		{"a node agent is killed", func(s *soak, _ *testing.T, lab *labtest.Lab, _ *underWay) {
			name := fmt.Sprint("node-", s.random.IntN(2))
			lab.Component("kill", name)
			lab.Component("start", name)
		}, false},
		{"logs are rotated", func(s *soak, _ *testing.T, lab *labtest.Lab, _ *underWay) {
			lab.Node("rotate-logs", fmt.Sprint("node-", s.random.IntN(2)))
		}, true},
		{"a node is not ready", func(s *soak, _ *testing.T, lab *labtest.Lab, _ *underWay) {
			name := fmt.Sprint("node-", s.random.IntN(2))
			lab.Node("not-ready", name)
			// of the soak, not for luck
			time.Sleep(time.Duration(5+s.random.IntN(15)) * time.Second)
			lab.Node("ready", name)
		}, false},
	}
}

// soak is what a soak has seen.
type soak struct {
	random  *rand.Rand
	runs    int
	done    map[string]int // disturbances
	samples map[measure.Status]int
	early   int // runs that ended early
}

// Whatever happens to runs, for as long as one wants: what is measured is true, every pair is
// accounted for, and nothing is left. The seed decides what happens; the instants are the
// machine's.
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("without -soak; make soak does it")
	}
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().Unix())
	}
	t.Logf("seed %d", seed)

	s := &soak{
		random: rand.New(rand.NewPCG(seed, 0)),
		done:   make(map[string]int), samples: make(map[measure.Status]int),
	}
	lab := labtest.Start(t, "--nodes", "2", "--delay", "300ms", "--log-stall")
	wrong := 0
	for end := time.Now().Add(*soakFor); time.Now().Before(end); {
		s.runs++
		if !t.Run(fmt.Sprint("run ", s.runs), func(t *testing.T) { s.disturb(t, lab.Of(t)) }) {
			wrong++
		}
	}

	t.Logf("seed %d: %d runs, %d of them wrong, %d ended early", seed, s.runs, wrong, s.early)
	for _, name := range slices.Sorted(maps.Keys(s.done)) {
		t.Logf("  %3d times %s", s.done[name], name)
	}
	for _, status := range slices.Sorted(maps.Keys(s.samples)) {
		t.Logf("  %4d pairs %s", s.samples[status], status)
	}
}

// soakTargets are the targets of each run.
const soakTargets = 6

// disturb carries a run out to which something happens.
func (s *soak) disturb(t *testing.T, lab *labtest.Lab) {
	pick := func(all ...string) string { return all[s.random.IntN(len(all))] }
	scenario := pick("policy-deny", "policy-creation", "policy-deletion", "pod-creation",
		"pod-label")
	phase := pick("starting agents", "proving the old state", "measuring", "measuring",
		"cleaning up")
	after := time.Duration(s.random.IntN(1000)) * time.Millisecond
	all := disturbances()
	what := all[s.random.IntN(len(all))]
	t.Logf("%s: %s after \"%s\": %s", scenario, after, phase, what.name)

	run := begin(t, lab, scenario, fmt.Sprint("--targets=", soakTargets), "--agents=2",
		"--repeat=2",
		"--timeout=20s", "--patience=1m", "--target-image=nginx")
	run.await(t, phase)
	time.Sleep(after) // it is what the soak does
	what.do(s, t, lab, run)
	s.done[what.name]++
	code, samples := run.end(t)

	s.expectAll(t, run, samples)
	var measured []measure.Sample
	for _, sample := range samples {
		s.samples[sample.Status]++
		if sample.Status == measure.Measured {
			measured = append(measured, sample)
		}
	}
	if what.free && (code != exitOK || len(measured) < len(samples)) {
		t.Errorf("exit code %d, %d of %d measured; want all", code, len(measured), len(samples))
	}
	expectTrue(t, lab, measured, "TCP")
	expectNothingLeft(t, lab, run.id)
	if t.Failed() {
		t.Logf("the run said:\n%s", run.printed.String())
	}
}

// expectAll checks that a run has come to its end, and that each iteration has a sample of every
// pair that was not said to be left out.
func (s *soak) expectAll(t *testing.T, run *underWay, samples []measure.Sample) {
	t.Helper()
	record, _, err := result.Directory(run.directory).Read()
	must(t, err)
	if record.State != result.StateComplete {
		s.early++
		t.Errorf("the run ended early: %s", record.Error)
	}

	iterations := make(map[int]int)
	for _, sample := range samples {
		iterations[sample.Iteration]++
	}
	fewer := strings.Contains(run.printed.String(), "is not heard") ||
		strings.Contains(run.printed.String(), "the rest was measured")
	for number, count := range iterations {
		if count != soakTargets && !fewer {
			t.Errorf("iteration %d has %d samples; want %d", number, count, soakTargets)
		}
	}
	if planned := record.Scenarios[0].Planned; len(iterations) != planned {
		t.Errorf("%d iterations have samples; want %d", len(iterations), planned)
	}
}

// delete has one pod of a run go. There may be none yet, or no more.
func (s *soak) delete(t *testing.T, lab *labtest.Lab, run *underWay, role string, grace int64) {
	pods := podsOf(t, lab, run.id, role)
	if len(pods) == 0 {
		return
	}
	pod := pods[s.random.IntN(len(pods))]
	_ = lab.Client.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name,
		metav1.DeleteOptions{GracePeriodSeconds: new(grace)}) // it may be gone
}
