// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package trial runs the test clients in a lab as a user would, with the same commands, and
// evaluates what they report by the lab's truth log.
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
	// Kubeconfig and Truth are the paths of the lab's administrator credentials and truth log;
	// Truth is empty if the lab's engine keeps none.
	Kubeconfig string
	Truth      string
	// Commits is the path of the witness's log, empty without a witness.
	Commits string
	// Commands takes the commands that are run, for a person to repeat them; nil for none.
	Commands io.Writer
	// ClientArgs are further arguments of the test client.
	ClientArgs []string
	// ManifestArgs are further arguments of "netpol-latency manifests".
	ManifestArgs []string
	// Awaiting has an observed client wait for its policy for ever, and read it. Agent puts an
	// agent of a run into its place, which does the same.
	Awaiting, Agent bool
	Client          kubernetes.Interface
}

// Result is what a trial found.
type Result struct {
	Samples []measure.Sample
	// Evaluated are the measured samples beside the truth.
	Evaluated []Evaluated
}

// allowName is the name of the policy that the test client waits for.
func (t Trial) allowName() string { return t.Scenario + "-allow-egress-to-target" }

// ClientNamespace is the namespace of the trial's test client.
func (t Trial) ClientNamespace() string { return t.Name + "-clients" }

// TargetNamespace is the namespace of the trial's targets.
func (t Trial) TargetNamespace() string { return t.Name + "-targets" }

// Run carries out the trial and removes what it created, even when it is interrupted.
func (t Trial) Run(ctx context.Context) (result Result, err error) {
	defer func() {
		gone := t.Remove(context.WithoutCancel(ctx))
		if err == nil {
			err = gone
		}
	}()
	if err := t.Setup(ctx); err != nil {
		return Result{}, err
	}
	if err := t.Trigger(ctx); err != nil {
		return Result{}, err
	}

	return t.Collect(ctx)
}

// Setup creates everything but the trigger and waits until it is up.
func (t Trial) Setup(ctx context.Context) error {
	steps := []string{
		"kubectl create namespace " + t.ClientNamespace(),
		"kubectl create namespace " + t.TargetNamespace(),
		t.manifests() + " | kubectl apply -f -",
		t.AwaitClient(),
	}
	for _, step := range steps {
		if err := t.Shell(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// AwaitClient is the command that waits until the test client is ready.
func (t Trial) AwaitClient() string {
	return fmt.Sprintf("kubectl -n %s rollout status deployment/%s-test-client --timeout=2m",
		t.ClientNamespace(), t.Scenario)
}

// Trigger makes the change whose effect is measured.
func (t Trial) Trigger(ctx context.Context) error {
	return t.Shell(ctx, t.manifests()+" --step trigger | kubectl apply -f -")
}

func (t Trial) manifests() string {
	line := fmt.Sprintf("netpol-latency manifests %s --targets %d --namespace %s "+
		"--target-namespace %s",
		t.Scenario, t.Targets, t.ClientNamespace(), t.TargetNamespace())
	for _, argument := range t.ClientArgs {
		line += " --client-arg=" + argument
	}
	return strings.Join(append([]string{line}, t.ManifestArgs...), " ")
}

// Remove deletes what the trial created, without waiting for its end.
func (t Trial) Remove(ctx context.Context) error {
	t.Commands = nil
	return t.Shell(ctx,
		"kubectl delete namespace --wait=false "+t.ClientNamespace()+" "+t.TargetNamespace())
}

// Shell runs a command line as a person would, and shows it first.
func (t Trial) Shell(ctx context.Context, line string) error {
	if t.Commands != nil {
		fmt.Fprintln(t.Commands, "  $ "+strings.NewReplacer(" | ", " |\n      ", " --namespace",
			" \\\n      --namespace").Replace(line))
	}
	command := exec.CommandContext(ctx, "sh", "-ec", line)
	command.Env = append(os.Environ(), "KUBECONFIG="+t.Kubeconfig,
		"PATH="+t.Programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return fmt.Errorf("run %q: %w: %s", line, err, strings.TrimSpace(output.String()))
	}

	return nil
}

// Collect waits for the samples of every client and evaluates them.
func (t Trial) Collect(ctx context.Context) (Result, error) {
	pods, err := kube.Namespace{Client: t.Client, Name: t.ClientNamespace()}.
		ClientPods(ctx, "test=np-test-client")
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
		evaluated, err := t.evaluate(samples, string(pod.UID))
		if err != nil {
			return Result{}, err
		}
		all.Evaluated = append(all.Evaluated, evaluated...)
	}

	return all, nil
}
