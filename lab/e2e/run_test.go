// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// The exit codes of "netpol-latency run", as its help documents them.
const (
	exitOK = iota
	exitFailure
	exitCensored
	exitInvalid
	exitThreshold
)

// command is a "netpol-latency run" in a lab.
func command(ctx context.Context, t testing.TB, lab *labtest.Lab, arguments ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(labtest.Binary(t)),
		"netpol-latency"), arguments...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+lab.Kubeconfig)
	return cmd
}

// measureRun runs scenarios, expects an exit code, and returns the samples and what was printed.
func measureRun(
	t *testing.T, lab *labtest.Lab, code int, arguments ...string,
) ([]measure.Sample, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	directory, id := t.TempDir(), runner.NewRunID()
	output, err := command(ctx, t, lab, append([]string{"run", "-o", directory, "--run-id", id},
		arguments...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || exit != nil && exit.ExitCode() != code ||
		exit == nil && code != exitOK {
		t.Fatalf("run %s: %v; want exit code %d:\n%s", strings.Join(arguments, " "), err, code,
			output)
	}
	file, err := os.Open(filepath.Join(directory, "samples.jsonl"))
	must(t, err)
	defer file.Close()
	samples, err := result.Read(file)
	must(t, err)
	expectNothingLeft(t, lab, id)
	return samples, string(output)
}

// expectNothingLeft checks that a run has removed its namespaces.
func expectNothingLeft(t *testing.T, lab *labtest.Lab, id string) {
	t.Helper()
	list, err := lab.Client.CoreV1().Namespaces().List(t.Context(),
		metav1.ListOptions{LabelSelector: runner.RunLabel + "=" + id})
	must(t, err)
	for _, namespace := range list.Items {
		t.Errorf("namespace %s is left", namespace.Name)
	}
}

// flipsOf are the changes of verdict that the truth log has of each sample's pair.
func flipsOf(
	t *testing.T, lab *labtest.Lab, samples []measure.Sample, protocol string,
) [][]truth.Flip {
	t.Helper()
	records, err := truth.Read(lab.Truth)
	must(t, err)
	var pairs []truth.Pair
	for _, sample := range samples {
		pairs = append(pairs, truth.Pair{
			FromUID: sample.Client.UID, ToUID: sample.Target.Pod.UID,
			To:       sample.Target.Address.Addr(),
			Protocol: protocol, Port: sample.Target.Address.Port(),
		})
	}
	return truth.Flips(records, pairs...)
}

// expectTrue checks that every pair was measured, that every bracket contains the commit that the
// truth log has, and that nothing forbidden was answered.
func expectTrue(t *testing.T, lab *labtest.Lab, samples []measure.Sample, protocol string) {
	t.Helper()
	for i, flips := range flipsOf(t, lab, samples, protocol) {
		sample := samples[i]
		switch {
		case sample.Status != measure.Measured:
			t.Errorf("%s, pod %s: %s: %s", sample.Scenario, sample.Target.Pod.Name, sample.Status,
				sample.Reason)
		case sample.Kind == measure.KindBlocked && sample.Leaks > 0:
			t.Errorf("%s, pod %s: %d leaks", sample.Scenario, sample.Target.Pod.Name, sample.Leaks)
		case sample.Kind != measure.KindBlocked:
			expectBracket(t, sample, flips)
		}
	}
}

// expectBracket checks that a sample's bracket contains the newest flip to the state that it waited
// for. Where a new pod's server was later than policy, the bracket is that of the server: it comes
// after the flip. A reset shows that, since the lab's engine drops, and sends none.
func expectBracket(t *testing.T, sample measure.Sample, flips []truth.Flip) {
	t.Helper()
	for i := len(flips) - 1; i >= 0; i-- {
		flip := flips[i]
		if flip.Allowed != (sample.Want == measure.StateAllowed) ||
			flip.Before.After(sample.Ended) {
			continue
		}
		serverLast := sample.Scenario == "pod-creation" && sample.Baseline == measure.Refused
		if sample.Bracket.Upper.Before(flip.Before) || sample.Bracket.Lower.After(flip.After) &&
			!serverLast {
			t.Errorf("%s, pod %s: bracket [%s, %s] misses the commit [%s, %s]", sample.Scenario,
				sample.Target.Pod.Name,
				stamp(sample.Bracket.Lower), stamp(sample.Bracket.Upper), stamp(flip.Before),
				stamp(flip.After))
		}
		return
	}
	t.Errorf("%s, pod %s: the truth log has no change to %s", sample.Scenario,
		sample.Target.Pod.Name, sample.Want)
}

// scenarios are all that end with a transition of every pair.
func scenarios() []string {
	return []string{
		"pod-creation", "policy-creation", "policy-deny", "policy-deletion", "policy-update",
		"pod-label", "namespace-label",
		"pod-startup",
	}
}

// Every scenario, on both sides, in both families, with a fast and a slow engine, against the truth
// log: each two of these meet.
func TestRunScenarios(t *testing.T) {
	t.Parallel()
	settings := map[string][][2]string{
		"0s":    {{"egress", "IPv4"}, {"ingress", "IPv6"}},
		"300ms": {{"egress", "IPv6"}, {"ingress", "IPv4"}},
	}
	for delay, all := range settings {
		t.Run(delay, func(t *testing.T) {
			t.Parallel()
			lab := labtest.Start(t, "--delay", delay)
			for _, one := range all {
				t.Run(one[0]+"/"+one[1], func(t *testing.T) {
					expectScenarios(t, lab.Of(t), "--direction="+one[0], "--family="+one[1])
				})
			}
		})
	}
}

// expectScenarios runs every scenario with some settings, and expects all brackets to be true.
func expectScenarios(t *testing.T, lab *labtest.Lab, settings ...string) {
	t.Helper()
	settings = append(settings, "--targets=2", "--target-image=nginx")
	samples, output := measureRun(t, lab, exitOK, append(scenarios(), settings...)...)
	// What is seen blocked is told before the probes' time is over, which proves it.
	if !strings.Contains(output, "policy-deny: confirming") {
		t.Errorf("the run never said that only the proof of the blocks was missing:\n%s", output)
	}
	if want := 2 * (1 + 1 + 1 + 2 + 3*3 + 2 + 2 + 3); len(samples) != want {
		t.Errorf("%d samples; want %d", len(samples), want)
	}
	expectTrue(t, lab, samples, "TCP")
}

// How a policy names its peers and ports must not matter to the measurement.
func TestRunPeersAndPorts(t *testing.T) {
	t.Parallel()
	for _, direction := range []string{"egress", "ingress"} {
		for _, settings := range []string{
			"--peer=namespaceSelector", "--peer=ipBlock", "--peer=ipBlockExcept", "--port=name",
			"--port=range", "--protocol=UDP",
		} {
			t.Run(direction+"/"+settings, func(t *testing.T) {
				t.Parallel()
				lab := soon(t)
				samples, _ := measureRun(t, lab, exitOK, "policy-creation", "--targets=2",
					"--direction="+direction, settings)
				protocol := "TCP"
				if strings.HasSuffix(settings, "UDP") {
					protocol = "UDP"
				}
				expectTrue(t, lab, samples, protocol)
			})
		}
	}
}

// Several agents share the pairs, repeats add up, and clocks that are compared by exchange widen
// the latency but do not make it wrong.
func TestRunAgentsRepeatsAndClocks(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	// UIDs lead targets to their agents: with 30, an agent is left without any once in 60,000 runs.
	samples, _ := measureRun(t, lab, exitOK, "policy-creation", "--targets=30", "--agents=3",
		"--repeat=2", "--clock=exchange")
	if len(samples) != 60 {
		t.Errorf("%d samples; want 60", len(samples))
	}
	expectTrue(t, lab, samples, "TCP")
	agents := make(map[int]bool)
	for _, sample := range samples {
		agents[sample.Agent] = true
		latency := sample.Latency()
		if latency.Lower > 100*time.Millisecond || latency.Upper < 50*time.Millisecond {
			t.Errorf("the latency is in [%s, %s]; want an interval about 50 ms", latency.Lower,
				latency.Upper)
		}
		if sample.Start.Uncertainty <= 0 {
			t.Error("the start has no uncertainty")
		}
	}
	if len(agents) != 3 {
		t.Errorf("%d agents have samples; want 3", len(agents))
	}
}

// Thresholds decide about the exit code, and so does an engine that enforces nothing.
func TestRunExitCodes(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	_, output := measureRun(t, lab, exitThreshold, "policy-creation", "--targets=2",
		"--threshold=policy-creation.p99<20ms", "--threshold=policy-creation.censored==0")
	for _, want := range []string{"policy-creation.p99<20ms: failed",
		"policy-creation.censored==0: passed"} {
		if !strings.Contains(output, want) {
			t.Errorf("the output lacks %q:\n%s", want, output)
		}
	}
	measureRun(t, lab, exitCensored, "established", "--targets=2", "--timeout=2s")
	lax := lawless(t)
	for _, scenario := range []string{"policy-creation", "policy-deny"} {
		if _, output = measureRun(t, lax, exitInvalid, scenario, "--targets=2",
			"--timeout=2s"); !strings.Contains(output, "enforced at all") {
			t.Errorf("%s: the output does not say that policy is not enforced:\n%s", scenario,
				output)
		}
	}
}

// Pods that come and go, beside policies that are many and change, are all accounted for.
func TestRunLoad(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	samples, _ := measureRun(t, lab, exitOK, "pod-creation", "--churn=20", "--churn-duration=5s",
		"--agents=2",
		"--background-policies=30", "--background-qps=10", "--target-image=nginx")
	if len(samples) != 100 {
		t.Errorf("%d samples; want 100", len(samples))
	}
	expectTrue(t, lab, samples, "TCP")
}

// A dry run prints objects that the API accepts and creates none; a run that is to keep everything
// does, and cleanup removes it.
func TestRunDryAndKept(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	output, err := command(t.Context(), t, lab, "run", "policy-update", "pod-startup", "--dry-run",
		"--run-id=dry").Output()
	must(t, err)
	expectNothingLeft(t, lab, "dry")
	for _, kind := range []string{"Namespace", "Role", "ConfigMap", "Deployment", "Job",
		"NetworkPolicy"} {
		if !strings.Contains(string(output), "kind: "+kind+"\n") {
			t.Errorf("the dry run prints no %s", kind)
		}
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	must(t, os.WriteFile(file, output, 0o600))
	lab.Kubectl("apply", "-f", file)
	cleaned, err := command(t.Context(), t, lab, "cleanup", "--run-id=dry").CombinedOutput()
	if err != nil || !strings.Contains(string(cleaned), "4 namespaces removed") {
		t.Errorf("clean up what a dry run printed: %v: %s", err, cleaned)
	}
	// The trigger of this one labels a namespace: that must not cost it the labels that cleanup
	// finds it by.
	kept, err := command(t.Context(), t, lab, "run", "namespace-label", "--targets=2", "--keep",
		"--run-id=kept", "-o", t.TempDir(),
		"--target-image=nginx").CombinedOutput()
	if err != nil {
		t.Fatalf("a run that keeps everything: %v: %s", err, kept)
	}
	list, err := lab.Client.CoreV1().Namespaces().List(t.Context(),
		metav1.ListOptions{LabelSelector: "netpol-latency/run=kept"})
	must(t, err)
	if len(list.Items) != 2 {
		t.Errorf("%d namespaces are kept; want 2", len(list.Items))
	}
	cleaned, err = command(t.Context(), t, lab, "cleanup", "--run-id=kept").CombinedOutput()
	if err != nil {
		t.Errorf("clean up what was kept: %v: %s", err, cleaned)
	}
	expectNothingLeft(t, lab, "kept")
}

// A suite runs scenarios in several ways, tells their results apart and evaluates each.
func TestRunSuite(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	file := filepath.Join(t.TempDir(), "suite.yaml")
	must(t, os.WriteFile(file, []byte(`
targets: 2
runs:
  - scenario: policy-deny
  - scenario: policy-deny
    direction: ingress
    family: IPv6
thresholds:
  - policy-deny.p99<5s
`), 0o600))
	samples, output := measureRun(t, lab, exitOK, "-c", file, "--set=targets=3",
		"--target-image=nginx")
	expectTrue(t, lab, samples, "TCP")
	if len(samples) != 6 {
		t.Errorf("%d samples; want 6", len(samples))
	}
	for _, want := range []string{"3 targets:", "ingress, IPv6, 3 targets:",
		"policy-deny.p99<5s: passed"} {
		if !strings.Contains(output, want) {
			t.Errorf("the output lacks %q:\n%s", want, output)
		}
	}
}

// A change of the user's own, with labels that it selects.
func TestRunPolicyOfTheUser(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	must(t, os.WriteFile(file, []byte(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: mine, namespace: elsewhere}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: admin}}}]
`), 0o600))
	samples, _ := measureRun(t, lab, exitOK, "--policy="+file, "--to=app=db", "--expect=blocked",
		"--direction=ingress", "--targets=3")
	expectTrue(t, lab, samples, "TCP")
	must(t, os.WriteFile(file, []byte(`{apiVersion: v1, kind: Namespace, metadata: {name: targets, labels: {team: red}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: red, namespace: elsewhere}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{to: [{namespaceSelector: {matchLabels: {team: red}}}]}]
`), 0o600))
	samples, _ = measureRun(t, lab, exitOK, "--policy="+file, "--expect=allowed", "--targets=3",
		"--repeat=2")
	expectTrue(t, lab, samples, "TCP")
	must(t, os.WriteFile(file,
		[]byte(`{apiVersion: v1, kind: Namespace, metadata: {name: default}}`), 0o600))
	output, err := command(t.Context(), t, lab, "run", "-o", t.TempDir(), "--policy="+file,
		"--expect=blocked").CombinedOutput()
	if err == nil || !strings.Contains(string(output), "exists already") {
		t.Errorf("a run with an object that exists: %v, %s; want a refusal", err, output)
	}
}
