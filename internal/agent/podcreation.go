// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// podCreation measures pods that are created while it runs.
type podCreation struct {
	client
	existing int // pods that were there before
}

// runPodCreation returns when as many pods as were asked for have a result, or with the context's
// error.
func runPodCreation(ctx context.Context, env *environment) error {
	feed, stop := env.watch(ctx)
	defer stop()
	c := &podCreation{client: client{environment: env}}
	c.tracker = newTracker(c, env.prober)
	klog.Infof("Creating PodWatcher for namespace %q and labelSelector %q",
		env.config.TargetNamespace, env.config.TargetSelector)

	synced := feed.podsSynced
	for !c.full() || len(c.tracker.open) > 0 {
		var err error
		select {
		case <-ctx.Done():
			if err := c.tracker.drain(errRunEnded); err != nil {
				return err
			}
			return ctx.Err()
		case <-synced:
			klog.Infof("%d pods exist already and are not measured: only new pods are", c.existing)
			synced = nil
			env.ready()
			env.idle()
		case event := <-feed.pods:
			c.observe(event)
		case <-c.tracker.notices.ready:
			err = c.tracker.handle()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// observe takes in a pod's event and starts to probe a pod that got its address.
func (c *podCreation) observe(event measure.Event) {
	if event.Initial {
		c.existing++
	}
	for _, p := range c.tracker.observe(event) {
		latency := p.assigned.Sub(p.created)
		c.metrics.addressAssigned.Observe(seconds(latency))
		klog.Infof("Test client got pod %q in namespace %q with assigned IP %q, %s after pod "+
			"creation", p.pod.Name, p.pod.Namespace, p.address, latency)

		c.start(p)
		p.trigger(p.assigned)
	}
}

// targets implements program: only new pods are targets.
func (c *podCreation) targets(pod measure.Event) []*pair {
	if pod.Type != measure.EventAdded || pod.Initial || c.full() {
		return nil
	}
	p := c.expect(pod)
	c.tracker.expire(p, c.config.TargetTimeout)
	return []*pair{p}
}

// finish implements program: a pod's latency counts from the arrival of its address.
func (c *podCreation) finish(p *pair) error {
	sample := p.sample().WithStart(measure.Start{Source: measure.StartAddress, At: p.assigned}, 0)
	sample.Created = p.created
	if sample.Status == measure.Measured {
		if !p.seen.IsZero() {
			sample.Warnings = append(sample.Warnings, clockWarning("pod", p.created, p.seen)...)
		}
		reached := sample.Answered.Sub(p.assigned)
		c.metrics.podReached.Observe(seconds(reached))
		klog.Infof(
			"Pod %q in namespace %q with IP %q reached %s after pod IP was assigned "+
				"(resolution %s)",
			p.pod.Name,
			p.pod.Namespace,
			p.address,
			reached,
			sample.Latency().Resolution(),
		)
	}

	c.record(p, sample)
	return nil
}
