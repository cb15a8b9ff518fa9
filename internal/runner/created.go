// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// writers is how many pods are created at the same time at the most.
const writers = 16

// playCreated plays a part whose trigger is the creation of pods.
func (s *stage) playCreated(ctx context.Context, part scenario.Part) ([]measure.Sample, error) {
	r := s.newRound(part)
	if err := r.prove(ctx); err != nil {
		return nil, err
	}
	if err := r.publish(ctx, r.planAt(protocol.StepTrigger)); err != nil {
		return nil, err
	}
	churn, stopChurn := context.WithCancel(ctx)
	defer stopChurn()
	var deleting errgroup.Group
	if s.ChurnFor > 0 {
		deleting.Go(func() error { return r.deleteMeasured(churn) })
	}
	if err := r.createPods(ctx); err != nil {
		return nil, err
	}
	samples, err := r.collect(ctx)
	stopChurn()
	if wrong := deleting.Wait(); err == nil && ctx.Err() == nil {
		err = wrong
	}
	if err != nil {
		return nil, err
	}
	return samples, r.deletePods(ctx)
}

// count is how many pods are created.
func (r *round) count() int {
	if r.ChurnFor > 0 {
		return int(r.CreateRate * r.ChurnFor.Seconds())
	}
	return r.Targets
}

// createPods creates the pods at the rate that is asked for. Each is expected as soon as the API has
// accepted it.
func (r *round) createPods(ctx context.Context) error {
	r.before = time.Now()
	pace := rate.NewLimiter(rate.Limit(r.CreateRate), 1)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	pods := r.cluster.CoreV1().Pods(r.world.TargetNamespace)
	for number := range r.count() {
		if err := pace.Wait(ctx); err != nil {
			break // the group says why
		}
		group.Go(func() error {
			pod, err := pods.Create(ctx, r.targetPod(number), metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("create target pod %d: %w", number, err)
			}
			r.collector.mu.Lock()
			defer r.collector.mu.Unlock()
			for _, expect := range r.part.Expect {
				r.expect(*pod, expect)
			}
			return nil
		})
	}
	err := group.Wait()
	r.after = time.Now()
	if got := float64(r.count()) / r.after.Sub(r.before).Seconds(); r.ChurnFor > 0 && got < slowest*r.CreateRate {
		r.collector.warn(fmt.Sprintf("pods were created at %.0f a second instead of %.0f: the API took no more", got, r.CreateRate))
	}
	return err
}

// slowest is the part of the rate below which the creation of pods is said to be slower than it was to be.
const slowest = 0.95

// churnPause is how often pods that have their result are looked for.
const churnPause = 50 * time.Millisecond

// deleteMeasured deletes pods that have their result, until the context ends.
func (r *round) deleteMeasured(ctx context.Context) error {
	gone := make(map[pairKey]bool)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(churnPause):
		}
		for _, name := range r.measured(gone) {
			if err := r.delete(ctx, name); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// measured are the names of the pods that have got their result since the last call.
func (r *round) measured(before map[pairKey]bool) []string {
	r.collector.mu.Lock()
	defer r.collector.mu.Unlock()
	var names []string
	for key, target := range r.expected {
		if _, ok := r.collector.samples[key]; ok && !before[key] {
			before[key] = true
			names = append(names, target.Pod.Name)
		}
	}
	return names
}

func (r *round) delete(ctx context.Context, pod string) error {
	options := metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}
	if err := r.cluster.CoreV1().Pods(r.world.TargetNamespace).Delete(ctx, pod, options); err != nil {
		return fmt.Errorf("delete pod %s: %w", pod, err)
	}
	return nil
}

// deletePods removes what is left of the round's pods, before the next one.
func (r *round) deletePods(ctx context.Context) error {
	if err := deletePods(ctx, r.cluster, r.world.TargetNamespace, scenario.RoleLabel+"="+scenario.RoleTarget); err != nil {
		return fmt.Errorf("delete the round's pods: %w", err)
	}
	return nil
}
