// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/agent"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// Wherever the runner is and whatever is wrong with the clocks of the agents, every bracket is
// true, and starts are known to what a read takes. With ITERATIONS and TARGETS in the environment
// it is a benchmark (docs/run.md).
func TestRunFromAfarOnOtherClocks(t *testing.T) {
	t.Parallel()
	iterations, targets := fromEnvironment(t, "ITERATIONS", 1), fromEnvironment(t, "TARGETS", 5)
	skew := agent.Skew{
		Since: time.Now().UTC(), Offset: time.Hour, Drift: 100,
		Step: 2 * time.Second, Every: time.Second,
	}
	text, err := json.Marshal(skew)
	must(t, err)
	lab := labtest.Start(t, "--runner-delay", "50ms", "--env",
		agent.SkewVariable+"="+string(text))

	for _, delay := range []time.Duration{0, 300 * time.Millisecond} {
		lab.Set("--delay", delay.String())
		samples, output := measureRun(t, lab, exitOK, "policy-creation", "policy-deny",
			"--targets="+strconv.Itoa(targets), "--repeat="+strconv.Itoa(iterations),
			"--clock=exchange")
		if want := 2 * iterations * targets; len(samples) != want {
			t.Errorf("%d samples; want %d", len(samples), want)
		}
		// What the runner's exchanges say agrees with the reads, and the steps are on no scale.
		for _, fault := range []string{"disagree about a trigger", "was set during the run"} {
			if strings.Contains(output, fault) {
				t.Errorf("the run says %q:\n%s", fault, output)
			}
		}
		stepped := false
		for i := range samples {
			for _, warning := range samples[i].Warnings {
				stepped = stepped || strings.Contains(warning, "the wall clock was set")
			}
			samples[i] = onTrueClock(samples[i], skew)
		}
		if !stepped {
			t.Errorf("no sample says that the wall clock was set:\n%s", output)
		}
		expectTrue(t, lab, samples, "TCP")
		expectStarts(t, lab, samples, delay)
	}
}

// fromEnvironment is a number from the environment, for those who want more than the test.
func fromEnvironment(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text, given := os.LookupEnv(name)
	if !given {
		return otherwise
	}
	number, err := strconv.Atoi(text)
	must(t, err)
	return number
}

// onTrueClock is a sample whose instants are those of the truth log.
func onTrueClock(sample measure.Sample, skew agent.Skew) measure.Sample {
	read := func(told time.Time) time.Time {
		if told.IsZero() {
			return told
		}
		since := float64(told.Add(-skew.Offset).Sub(skew.Since))
		return skew.Since.Add(time.Duration(since / (1 + skew.Drift/1e6)))
	}
	sample.Start.At, sample.Ended = read(sample.Start.At), read(sample.Ended)
	sample.Bracket.Lower = read(sample.Bracket.Lower)
	sample.Bracket.Upper = read(sample.Bracket.Upper)
	return sample
}

// expectStarts checks that no start is after what the engine made of it, which it did not do before
// its delay was over, nor long before that, and logs how well latencies are known.
func expectStarts(
	t *testing.T, lab *labtest.Lab, samples []measure.Sample, delay time.Duration,
) {
	t.Helper()
	resolutions, starts := make(map[string][]time.Duration), make(map[string][]time.Duration)
	for i, flips := range flipsOf(t, lab, samples, "TCP") {
		sample := samples[i]
		resolutions[sample.Scenario] = append(resolutions[sample.Scenario],
			sample.Latency().Resolution())
		starts[sample.Scenario] = append(starts[sample.Scenario], sample.Start.Uncertainty)
		if sample.Start.Source != measure.StartWatchRead {
			t.Errorf("%s counts from %q; want %q", sample.Scenario, sample.Start.Source,
				measure.StartWatchRead)
		}
		caused := slices.ContainsFunc(flips, func(flip truth.Flip) bool {
			noticed := flip.After.Add(-delay)
			return !sample.Start.At.After(noticed) &&
				noticed.Sub(sample.Start.Latest()) < time.Second
		})
		if !caused {
			t.Errorf("%s: the engine noticed nothing within a second from %s on", sample.Scenario,
				stamp(sample.Start.At))
		}
	}
	for scenario, all := range resolutions {
		slices.Sort(all)
		slices.Sort(starts[scenario])
		t.Logf("engine delay %s, %s: %d samples, resolution p50 %s, max %s, of the start p50 %s",
			delay, scenario, len(all), all[len(all)/2], all[len(all)-1],
			starts[scenario][len(all)/2])
	}
}
