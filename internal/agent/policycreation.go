// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// notificationGrace is how long the notification of the policy may take: a fast cluster enforces a
// policy before the policy's own notification arrives here.
const notificationGrace = 2 * time.Second

// deniedTimeout is how long targets may take to be denied. An engine that learns of a new client
// from the API lets it through for a while.
const deniedTimeout = 30 * time.Second

// policyCreation measures the targets that exist before the policy. What counts is the creation of
// the policy: whether it could be reached before does not matter, if it was denied by then.
type policyCreation struct {
	client
	// trigger is the newest creation of the allow policy, nil until it exists.
	trigger *measure.Event
	// startable are pairs that wait until all pods are listed: only then is anything sent.
	startable []*pair
	// listed says that all pods, and known that the policy, if there is one, have been delivered.
	listed, known bool
	// announced says that the policy may come, short that expected targets did not come in time.
	announced, short bool
	late             <-chan time.Time
	// denied ends when targets have had long enough to be denied, overdue says that it has.
	denied  <-chan time.Time
	overdue bool
	// searching ticks while the rate of the probes is searched for, in which the policy must not
	// come.
	searching <-chan time.Time
}

// runPolicyCreation returns when each target has a result, or with the context's error.
func runPolicyCreation(ctx context.Context, env *environment) error {
	feed, stop := env.watch(ctx)
	defer stop()
	c := &policyCreation{client: client{environment: env}}
	c.tracker = newTracker(c, env.prober)

	podsSynced, policySynced := feed.podsSynced, feed.policySynced
	for !c.done() {
		c.announce()
		var err error
		select {
		case <-ctx.Done():
			if err := c.tracker.drain(errRunEnded); err != nil {
				return err
			}
			return ctx.Err()
		case <-podsSynced:
			podsSynced = nil
			c.list()
		case <-policySynced:
			c.known, policySynced = true, nil
			c.awaitPolicy()
		case event := <-feed.pods:
			c.observePod(event)
		case event := <-feed.policies:
			c.observePolicy(event)
		case <-c.tracker.notices.ready:
			err = c.tracker.handle()
		case <-c.late:
			c.short = true
		case <-c.searching: // announce looks again
		case <-c.denied:
			c.overdue = true
			c.warnReachable()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// done reports whether everything that was expected has a result. Until the policy exists, targets
// may still come; but a run whose targets have all ended has nothing left to wait for.
func (c *policyCreation) done() bool {
	came := c.results.Account().Expected
	if !c.listed || !c.known || len(c.tracker.open) > 0 ||
		came < c.config.ExpectedTargets && !c.short {
		return false
	}
	return c.trigger != nil || came > 0
}

// announce says once that the policy may come: when what exists has been delivered, and each target
// that is expected is denied or has its result, or has had long enough for that.
func (c *policyCreation) announce() {
	expected := c.config.ExpectedTargets
	came := c.results.Account().Expected
	if c.announced || !c.listed || !c.known || came < expected {
		return
	}

	if c.denied == nil {
		c.denied = time.After(deniedTimeout)
	}

	if expected > 0 && came-len(c.reachable()) < expected && !c.overdue {
		return
	}

	if len(c.tracker.open) > 0 && !c.prober.Pace().Found {
		c.searching = time.After(searchTick)
		return
	}

	c.announced, c.searching = true, nil
	c.ready()
}

// searchTick is how often the client looks whether the rate of its probes is found.
const searchTick = 20 * time.Millisecond

// reachable are the pairs without a result that are not denied, as far as is known.
func (c *policyCreation) reachable() (all []*pair) {
	for p := range c.tracker.open {
		if !p.proved {
			all = append(all, p)
		}
	}
	return all
}

// warnReachable names the targets that are not denied, unless the policy is there and allows them.
func (c *policyCreation) warnReachable() {
	if c.trigger != nil {
		return
	}
	for _, p := range c.reachable() {
		klog.Warningf("Pod %q in namespace %q with IP %q was not seen denied for %s: it is "+
			"measured only if it is denied when the policy is created",
			p.pod.Name, p.pod.Namespace, p.address, deniedTimeout)
	}
}

// awaitPolicy says that the policy is waited for, if it is not there.
func (c *policyCreation) awaitPolicy() {
	if c.trigger == nil {
		klog.Infof("Network policy %q does not exist yet in namespace %q; waiting for its creation",
			c.config.AllowPolicyName, c.config.ClientNamespace)
	}
}

// targets implements program. A pod that came after the policy could not be denied before it; but
// two watches are in no order, so that older pods, and those that are expected, may be delivered
// after the policy.
func (c *policyCreation) targets(pod measure.Event) []*pair {
	eligible := pod.Initial || c.trigger == nil || pod.Created.Before(c.trigger.Created) ||
		c.results.Account().Expected < c.config.ExpectedTargets
	if !eligible || c.full() {
		return nil
	}

	p := c.expect(pod)
	if c.trigger != nil {
		c.tracker.expire(p, c.config.TargetTimeout)
	}
	return []*pair{p}
}

// observePod takes in a pod's event.
func (c *policyCreation) observePod(event measure.Event) {
	c.startable = append(c.startable, c.tracker.observe(event)...)
	if c.listed {
		c.startAll()
	}
}

// list takes in that all pods that exist have been delivered.
func (c *policyCreation) list() {
	c.listed = true
	klog.Infof("%d pods listed", c.results.Account().Expected)
	c.startAll()
}

// startAll begins to probe the pairs that wait for it and have not ended.
func (c *policyCreation) startAll() {
	for _, p := range c.startable {
		if p.cause != nil {
			continue
		}
		c.start(p)
		if c.trigger != nil {
			p.trigger(c.trigger.Arrived)
		}
	}
	c.startable = nil
}

// observePolicy takes in an event of the allow policy. Its creation is the trigger. If it is
// deleted and created again, the new creation counts for the targets that have no result yet.
func (c *policyCreation) observePolicy(event measure.Event) {
	switch event.Type {
	case measure.EventAdded:
		c.trigger = &event
		if c.config.TargetTimeout > 0 {
			c.late = time.After(c.config.TargetTimeout)
		}
		if event.Initial {
			klog.Warningf(
				"Network policy %q existed before this client: a target counts only if it is "+
					"still denied now, and from the policy's creationTimestamp",
				event.Object.Name,
			)
		}
		for p := range c.tracker.open {
			c.tracker.expire(p, c.config.TargetTimeout)
		}
		c.tracker.trigger(event.Arrived)
	case measure.EventDeleted:
		c.trigger = nil
		for p := range c.tracker.open {
			p.untrigger()
		}
		klog.Warningf(
			"Network policy %q was deleted; %d targets without a result wait for it to be "+
				"created again",
			event.Object.Name,
			len(c.tracker.open),
		)
	}
}

// finish implements program.
func (c *policyCreation) finish(p *pair) error {
	c.record(p, c.sampleOf(p))
	return nil
}

// sampleOf is the pair's sample: its latency counts from the creation of the policy.
func (c *policyCreation) sampleOf(p *pair) measure.Sample {
	sample := p.sample()
	if c.trigger == nil {
		if sample.Status == measure.Measured {
			return sample.Invalidate(measure.ReachedWithoutPolicy)
		}
		return sample
	}

	if sample.Status == measure.Measured && !sample.Bracket.Bounded() {
		sample = sample.Invalidate(measure.NeverDenied)
	}
	sample = sample.WithStart(measure.StartOf(*c.trigger), notificationGrace)
	if sample.Cause == measure.ChangedEarly {
		sample = sample.Invalidate(measure.ReachedWithoutPolicy) // the words of this trigger
	}
	sample.Created = c.trigger.Created
	if sample.Status != measure.Measured {
		return sample
	}

	sample.Warnings = append(sample.Warnings, c.warnings(sample)...)
	reached := sample.Answered.Sub(c.trigger.Created)
	c.metrics.policyEnforced.Observe(seconds(reached))
	klog.Infof("Pod %q in namespace %q with IP %q reached %s after policy creation "+
		"(%s after %s, resolution %s)", p.pod.Name, p.pod.Namespace, p.address, reached,
		sample.Latency().Estimate(), sample.Start.Source, sample.Latency().Resolution())
	return sample
}

// warnings qualify a measured latency.
func (c *policyCreation) warnings(sample measure.Sample) []string {
	var all []string
	if sample.Latency().Estimate() < 0 {
		all = append(all, "enforced before the notification of the policy arrived")
	}
	if sample.Baseline == measure.Refused {
		all = append(all, "denied by a reset, which a closed port sends too")
	}
	if !c.trigger.TriggeredAt.IsZero() && sample.Start.Source.Accepted() {
		all = append(all, "the policy's "+measure.TriggeredAtAnnotation+" does not count: the "+
			"policy did not exist yet then, or had come before")
	}
	if !c.trigger.Initial {
		all = append(all, clockWarning("policy", c.trigger.Created, c.trigger.Arrived)...)
	}

	return all
}
