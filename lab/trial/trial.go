// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package trial runs the test clients in a lab as a user would, with the same commands, and judges
// what they report by the lab's truth log.
package trial

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"k8s.io/client-go/kubernetes"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// Trial is one run of one test client.
type Trial struct {
	// Scenario is pod-creation or policy-creation.
	Scenario string
	Targets  int
	// Name makes the namespaces of this trial its own.
	Name string
	// Programs is the directory of the project's programs.
	Programs string
	// Truth is the path of the truth log.
	Truth string
	// Commands takes the commands that are run, for a person to repeat them; nil for none.
	Commands io.Writer
	// ClientArgs are further arguments of the test client.
	ClientArgs []string
	Client     kubernetes.Interface
}

// Result is what a trial found.
type Result struct {
	Samples []measure.Sample
	// Judged are the measured samples beside the truth.
	Judged []Judged
}

// Run carries out the trial and removes what it created.
func (t Trial) Run(ctx context.Context) (_ Result, err error) {
	clients, targets := t.Name+"-clients", t.Name+"-targets"
	defer func() {
		// Even a trial that was interrupted leaves nothing.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		gone := t.run(ctx, nil, "kubectl delete namespace --wait=false "+clients+" "+targets)
		if err == nil {
			err = gone
		}
	}()
	manifests := fmt.Sprintf("netpol-latency manifests %s --targets %d --namespace %s --target-namespace %s",
		t.Scenario, t.Targets, clients, targets)
	for _, argument := range t.ClientArgs {
		manifests += " --client-arg=" + argument
	}
	steps := []string{
		"kubectl create namespace " + clients,
		"kubectl create namespace " + targets,
		manifests + " | kubectl apply -f -",
		fmt.Sprintf("kubectl -n %s rollout status deployment/%s-test-client --timeout=2m", clients, t.Scenario),
	}
	if t.Scenario == "policy-creation" {
		steps = append(steps,
			fmt.Sprintf("kubectl -n %s rollout status deployment/%s-target --timeout=2m", targets, t.Scenario))
	}
	steps = append(steps, manifests+" --step trigger | kubectl apply -f -")
	for _, step := range steps {
		if err := t.run(ctx, t.Commands, step); err != nil {
			return Result{}, err
		}
	}
	return t.collect(ctx, clients)
}

// run runs a command line in a shell, as a person would, and shows it first.
func (t Trial) run(ctx context.Context, show io.Writer, line string) error {
	if show != nil {
		fmt.Fprintln(show, "  $ "+line)
	}
	command := exec.CommandContext(ctx, "sh", "-ec", line)
	command.Env = append(os.Environ(), "PATH="+t.Programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return fmt.Errorf("run %q: %w: %s", line, err, strings.TrimSpace(output.String()))
	}
	return nil
}

// collect waits for the samples of every client and judges them.
func (t Trial) collect(ctx context.Context, namespace string) (Result, error) {
	pods, err := kube.ClientPods(ctx, t.Client, namespace, "test=np-test-client")
	if err != nil {
		return Result{}, err
	}
	var all Result
	for _, pod := range pods {
		stream, err := kube.OpenSamples(ctx, t.Client, pod, true)
		if err != nil {
			return Result{}, err
		}
		samples, err := result.Read(stream)
		_ = stream.Close() // everything has been read
		if err != nil {
			return Result{}, err
		}
		all.Samples = append(all.Samples, samples...)
		judged, err := judge(samples, string(pod.UID), t.Truth)
		if err != nil {
			return Result{}, err
		}
		all.Judged = append(all.Judged, judged...)
	}
	return all, nil
}
