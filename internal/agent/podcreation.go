// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// runPodCreation measures pods that are created while it runs. It returns when as many as were asked
// for have a result, or with the context's error.
func runPodCreation(ctx context.Context, env *environment) error {
	feed, stop := env.watch(ctx)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := newRoster(env)
	r.judge = r.judgePod
	existing := 0
	klog.Infof("Watching for new pods in namespace %q with labels %q",
		env.config.TargetNamespace, env.config.TargetSelector)
	for synced := feed.podsSynced; !r.full() || len(r.open) > 0; {
		select {
		case <-ctx.Done():
			r.settle()
			return ctx.Err()
		case <-synced:
			klog.Infof("%d pods exist already and are not measured: only new pods are", existing)
			synced = nil
			env.ready()
		case event := <-feed.pods:
			if event.Initial {
				existing++
			}
			fresh := event.Type == measure.EventAdded && !event.Initial
			r.observePod(ctx, event, fresh)
		case <-r.finished.full:
			r.returned()
		case uid := <-r.expired:
			r.end(uid, errDeadline)
		}
	}
	return nil
}

// observePod takes in a pod's event and starts to probe a pod that got its address.
func (r *roster) observePod(ctx context.Context, event measure.Event, fresh bool) {
	_, known := r.open[event.Object.UID]
	assigned := r.observe(event, fresh)
	if p, open := r.open[event.Object.UID]; open && !known {
		r.expire(ctx, p)
	}
	if assigned == nil {
		return
	}
	latency := assigned.assigned.Sub(assigned.created)
	r.env.metrics.addressAssigned.Observe(seconds(latency))
	klog.Infof("Test client got pod %q in namespace %q with assigned IP %q, %s after pod creation",
		assigned.pod.Name, assigned.pod.Namespace, assigned.address, latency)
	r.probe(assigned)
	assigned.probing.Trigger(assigned.assigned)
}

// judgePod turns a pair that has ended into its sample: its latency counts from the arrival of the
// pod's address.
func (r *roster) judgePod(p *pair) {
	sample := p.sample(r.env.config.TargetPort).
		WithStart(measure.Start{Source: measure.StartAddress, At: p.assigned}, 0)
	sample.Created = p.created
	if sample.Status == measure.Measured {
		if !p.seen.IsZero() {
			sample.Warnings = append(sample.Warnings, clockWarning("pod", p.created, p.seen)...)
		}
		reached := sample.Answered.Sub(p.assigned)
		r.env.metrics.podReached.Observe(seconds(reached))
		klog.Infof("Pod %q in namespace %q with IP %q reached %s after pod IP was assigned (resolution %s)",
			p.pod.Name, p.pod.Namespace, p.address, reached, sample.Latency().Resolution())
	}
	r.enter(sample)
}
