// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// writers is how many pods are created at the same time at the most.
const writers = 16

// runCreated runs a part whose trigger is the creation of pods.
func (e *environment) runCreated(
	ctx context.Context, part scenario.Part,
) ([]measure.Sample, error) {
	it := e.newIteration(part)
	if err := it.prove(ctx); err != nil {
		return nil, err
	}
	if err := it.env.publish(ctx, it.planAt(protocol.StepTrigger)); err != nil {
		return nil, err
	}

	it.probing = e.livingAgents()
	churn, stopChurn := context.WithCancel(ctx)
	defer stopChurn()

	var deleting errgroup.Group
	if e.options.ChurnFor > 0 {
		deleting.Go(func() error { return it.deleteMeasured(churn) })
	}
	if err := it.createPods(ctx); err != nil {
		return nil, err
	}

	var samples []measure.Sample
	err := e.diagnosed(ctx, e.parameters.TargetNamespace, func(ctx context.Context) (err error) {
		samples, err = it.collect(ctx)
		return err
	})
	stopChurn()
	if wrong := deleting.Wait(); err == nil && ctx.Err() == nil {
		err = wrong
	}
	if err != nil {
		return nil, err
	}
	if err := it.check(ctx); err != nil {
		return samples, err
	}

	return samples, it.deletePods(ctx)
}

// count is how many pods are created.
func (it *iteration) count() int { return it.env.options.created() }

// created is how many pods a scenario creates that creates some.
func (o Options) created() int {
	if o.ChurnFor > 0 {
		return int(o.CreateRate * o.ChurnFor.Seconds())
	}
	return o.Targets
}

// createPods creates the pods at the rate that is asked for. Each is expected as soon as the API
// has accepted it.
func (it *iteration) createPods(ctx context.Context) error {
	it.before = time.Now()
	pace := rate.NewLimiter(rate.Limit(it.env.options.CreateRate), 1)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	pods := it.env.cluster.CoreV1().Pods(it.env.parameters.TargetNamespace)
	probers := it.env.probers()
	for number := range it.count() {
		if err := pace.Wait(ctx); err != nil {
			break // the group says why
		}
		group.Go(func() error {
			target := it.env.targetPod(number, probers[number%len(probers)])
			if err := it.env.options.Overlay.Apply(target); err != nil {
				return err
			}
			pod, err := kube.Create(ctx, pods, target, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("create target pod %d: %w", number, err)
			}
			it.env.collector.mu.Lock()
			defer it.env.collector.mu.Unlock()
			for _, expect := range it.part.Expect {
				it.expect(*pod, expect)
				it.came[it.keyOf(*pod, expect)] = time.Now()
			}
			return nil
		})
	}
	err := group.Wait()
	it.after = time.Now()

	// Less than was asked for is a property of the cluster, and of the results.
	options, got := it.env.options, float64(it.count())/it.after.Sub(it.before).Seconds()
	if options.ChurnFor > 0 && got < slowest*options.CreateRate {
		it.env.collector.warn(fmt.Sprintf("pods were created at %.0f a second instead of %.0f: "+
			"the API took no more", got, options.CreateRate))
	}
	return err
}

// probers are the numbers of the agents that are heard.
func (e *environment) probers() []int {
	lost := e.lostAgents()
	var all []int
	for number := range e.options.Agents {
		if _, unheard := lost[number]; !unheard {
			all = append(all, number)
		}
	}
	if len(all) == 0 {
		return []int{0} // its pairs are not observed
	}
	return all
}

// slowest is the part of the rate below which the creation of pods is said to be slower than it was
// to be.
const slowest = 0.95

// churnPause is how often pods that have their result are looked for.
const churnPause = 50 * time.Millisecond

// deleteMeasured deletes pods that have their result, until the context ends.
func (it *iteration) deleteMeasured(ctx context.Context) error {
	gone := make(map[pairKey]bool)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(churnPause):
		}
		for _, name := range it.measured(gone) {
			if err := it.deletePod(ctx, name); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// measured are the names of the pods that have got their result since the last call.
func (it *iteration) measured(before map[pairKey]bool) []string {
	it.env.collector.mu.Lock()
	defer it.env.collector.mu.Unlock()
	var names []string
	for key, target := range it.expected {
		if _, ok := it.env.collector.samples[key]; ok && !before[key] {
			before[key] = true
			names = append(names, target.Pod.Name)
		}
	}
	return names
}

func (it *iteration) deletePod(ctx context.Context, pod string) error {
	options := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}
	pods := it.env.cluster.CoreV1().Pods(it.env.parameters.TargetNamespace)
	if err := pods.Delete(ctx, pod, options); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete pod %s: %w", pod, err)
	}
	return nil
}

// deletePods removes what is left of the iteration's pods, before the next one.
func (it *iteration) deletePods(ctx context.Context) error {
	targets := it.env.selector(scenario.RoleTarget)
	err := deletePods(ctx, it.env.cluster, it.env.parameters.TargetNamespace, targets,
		func(int) {})
	if err != nil {
		return fmt.Errorf("delete the iteration's pods: %w", err)
	}
	return nil
}
