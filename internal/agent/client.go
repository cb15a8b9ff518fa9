// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"

	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// client is what the two drop-in clients share: one pair with each target, results that are logged,
// counted and kept.
type client struct {
	*environment
	tracker *tracker
}

// full reports whether as many targets are expected as may be.
func (c *client) full() bool { return c.results.Account().Expected >= c.config.MaxTargets }

// expect makes the pair with a new target, whose result is expected from now on.
func (c *client) expect(pod measure.Event) *pair {
	p := &pair{
		pod: pod.Object, created: pod.Created, scenario: c.scenario.Name, port: c.config.TargetPort,
		steps: c.scale.steps,
	}
	if pod.Type == measure.EventAdded && !pod.Initial {
		p.seen = pod.Arrived
	}
	p.observed.transition = measure.NewTransition(measure.StateAllowed, c.config.rules())
	p.observed.counters = c.counters

	c.results.expect()
	c.metrics.targets.WithLabelValues(c.scenario.Name).Inc()
	return p
}

// address implements program: a pod's primary address counts.
func (c *client) address(pod measure.Event) (netip.Addr, bool) {
	if len(pod.Addresses) == 0 {
		return netip.Addr{}, false
	}
	return pod.Addresses[0], true
}

// start begins to probe a pair that has its address.
func (c *client) start(p *pair) {
	to := netip.AddrPortFrom(p.address, uint16(p.port))
	klog.Infof("Sending requests \"%s %s\" to pod %q in namespace %q", c.config.Probe, to,
		p.pod.Name, p.pod.Namespace)
	c.tracker.start(p)
}

// record keeps a pair's result.
func (c *client) record(p *pair, sample measure.Sample) {
	sample = c.scale.sample(sample, p.steps)
	c.results.record(sample)
	c.metrics.Sample(sample)
	if sample.Status != measure.Measured {
		klog.Warningf("Pod %q in namespace %q is %s: %s", sample.Target.Pod.Name,
			sample.Target.Pod.Namespace, sample.Status, sample.Reason)
	}
}
