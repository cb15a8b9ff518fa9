// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// mostObserved is how much slower the enforcement may be for being observed.
const mostObserved = 1.10

// idle are the arguments of a client that runs and probes nothing: no target has the label that it looks for.
func idle() []string {
	return []string{"-TargetLabelSelector=netpol-latency/nobody=here", "--expected-targets=0"}
}

// observe runs the policy's creation in turns with a client that probes and with one that does not, and
// compares how long the engine took.
func (o options) observe(ctx context.Context, out io.Writer, t Trial) error {
	var alone, observed []time.Duration
	name := t.Name
	for run := range o.runs {
		for _, probing := range []bool{run%2 == 0, run%2 != 0} {
			t.Name = fmt.Sprintf("%s-%d-%t", name, run, probing)
			took, err := t.Enforcement(ctx, probing)
			if err != nil {
				return fmt.Errorf("run %d: %w", run+1, err)
			}
			t.Commands = nil
			median := measure.NewDistribution(took).Quantile(.5)
			fmt.Fprintf(out, "  run %2d: probing %-5t enforced in %s\n", run+1, probing, report.Duration(median))
			if probing {
				observed = append(observed, median)
			} else {
				alone = append(alone, median)
			}
		}
	}
	before, after := measure.NewDistribution(alone).Quantile(.5), measure.NewDistribution(observed).Quantile(.5)
	ratio := float64(after) / float64(before)
	fmt.Fprintf(out, "median of %d runs: %s alone, %s while probing: ratio %.3f\n",
		o.runs, report.Duration(before), report.Duration(after), ratio)
	if ratio > mostObserved {
		return fmt.Errorf("leave what is observed undisturbed: enforcement took %.2f times as long", ratio)
	}
	return nil
}

// Enforcement carries the trial out with a client that probes, or with one that does not, and returns how long the
// engine took for every target, by its own log.
func (t Trial) Enforcement(ctx context.Context, probing bool) (took []time.Duration, err error) {
	defer func() {
		gone := t.Remove(context.WithoutCancel(ctx))
		if err == nil {
			err = gone
		}
	}()
	if !probing {
		t.ClientArgs = append(t.ClientArgs, idle()...)
	}
	if err := t.Setup(ctx); err != nil {
		return nil, err
	}
	// A beat that has run for a moment is what a cluster sees before a trigger.
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := t.Trigger(ctx); err != nil {
		return nil, err
	}
	pairs, err := t.pairs(ctx)
	if err != nil {
		return nil, err
	}
	for {
		took, err := t.enforced(pairs)
		if err != nil || len(took) == len(pairs) {
			return took, err
		}
		select {
		case <-time.After(200 * time.Millisecond): // the log has no event to wait for
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pairs are the client with every target.
func (t Trial) pairs(ctx context.Context) ([]truth.Pair, error) {
	clients, err := kube.ClientPods(ctx, t.Client, t.ClientNamespace(), "test=np-test-client")
	if err != nil {
		return nil, err
	}
	targets, err := t.Client.CoreV1().Pods(t.TargetNamespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the targets: %w", err)
	}
	var all []truth.Pair
	for _, target := range targets.Items {
		to, err := netip.ParseAddr(target.Status.PodIP)
		if err != nil {
			return nil, fmt.Errorf("find the address of pod %s: %w", target.Name, err)
		}
		all = append(all, truth.Pair{
			FromUID: string(clients[0].UID), ToUID: string(target.UID), To: to, Protocol: "TCP",
			Port: uint16(target.Spec.Containers[0].Ports[0].ContainerPort),
		})
	}
	return all, nil
}

// enforced is how long the engine took for the pairs that are allowed by now.
func (t Trial) enforced(pairs []truth.Pair) ([]time.Duration, error) {
	records, err := truth.Read(t.Truth)
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for _, flips := range truth.Flips(records, pairs...) {
		if flip, err := lastAllowed(flips, time.Now()); err == nil {
			took = append(took, flip.After.Sub(notified(flip)))
		}
	}
	return took, nil
}
