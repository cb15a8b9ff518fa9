// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// notificationGrace is how long the news of the policy may take. A target that becomes reachable
// before the policy is known waits that long for it: a fast cluster enforces a policy before the
// policy's own notification arrives here.
const notificationGrace = 2 * time.Second

// policyCreation measures the targets that exist before the policy.
type policyCreation struct {
	client
	// trigger is the newest creation of the allow policy, nil until it exists.
	trigger *measure.Event
	// early are pairs that were reached while there was no policy, oldest first.
	early []*pair
	// listed says that all pods, and known that the policy, if there is one, have been delivered.
	listed, known bool
	// announced says that the policy may come, short that expected targets did not come in time.
	announced, short bool
	late             <-chan time.Time
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
			if err := c.drain(); err != nil {
				return err
			}
			return ctx.Err()
		case <-podsSynced:
			c.listed, podsSynced = true, nil
			klog.Infof("%d pods listed", env.results.Account().Expected)
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
		case <-c.grace():
			c.recordEarly(c.early[:1])
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
	if !c.listed || !c.known || c.unfinished() > 0 || came < c.config.ExpectedTargets && !c.short {
		return false
	}
	return c.trigger != nil || came > 0
}

// unfinished is the number of the pairs that have no result.
func (c *policyCreation) unfinished() int { return len(c.tracker.open) + len(c.early) }

// announce says once that the policy may come: when what exists has been delivered, and each target
// that is expected has been seen denied or has its result.
func (c *policyCreation) announce() {
	expected := c.config.ExpectedTargets
	came := c.results.Account().Expected
	if c.announced || !c.listed || !c.known || came < expected ||
		expected > 0 && c.finishedOrDenied() < expected {
		return
	}
	c.announced = true
	c.ready()
}

// finishedOrDenied counts the targets for which the policy may come.
func (c *policyCreation) finishedOrDenied() int {
	count := c.results.Account().Expected - c.unfinished()
	for p := range c.tracker.open {
		if p.proved {
			count++
		}
	}
	for _, p := range c.early {
		if p.proved {
			count++
		}
	}
	return count
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
	for _, p := range c.tracker.observe(event) {
		c.start(p)
		if c.trigger != nil {
			p.trigger(c.trigger.Arrived)
		}
	}
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
		c.recordEarly(c.early)
	case measure.EventDeleted:
		c.trigger = nil
		klog.Warningf(
			"Network policy %q was deleted; %d targets without a result wait for it to be "+
				"created again",
			event.Object.Name,
			c.unfinished(),
		)
	}
}

// grace fires when the oldest early pair has waited long enough for the news of the policy.
func (c *policyCreation) grace() <-chan time.Time {
	if len(c.early) == 0 {
		return nil
	}
	due := c.early[0].observed.transition.Change().Bracket.Upper.Add(notificationGrace)
	return time.After(time.Until(due))
}

// recordEarly records the oldest of the pairs that were reached before the policy was known: the
// policy has come now, or too late for them.
func (c *policyCreation) recordEarly(oldest []*pair) {
	c.early = c.early[len(oldest):]
	for _, p := range oldest {
		c.record(c.sampleOf(p))
	}
}

// finish implements program. A pair that was reached waits for the news of the policy.
func (c *policyCreation) finish(p *pair) error {
	if p.observed.transition.Changed() && c.trigger == nil {
		c.early = append(c.early, p)
		return nil
	}
	c.record(c.sampleOf(p))
	return nil
}

// drain ends every pair, also those that wait for the policy.
func (c *policyCreation) drain() error {
	err := c.tracker.drain(errRunEnded)
	c.recordEarly(c.early)
	return err
}

// sampleOf is the pair's sample: its latency counts from the creation of the policy.
func (c *policyCreation) sampleOf(p *pair) measure.Sample {
	sample := p.sample()
	if c.trigger != nil {
		sample = sample.WithStart(measure.StartOf(*c.trigger), notificationGrace)
		sample.Created = c.trigger.Created
	}
	switch {
	case sample.Status != measure.Measured:
		return sample
	case c.trigger == nil:
		return sample.Invalidate(measure.ReachedWithoutPolicy)
	case !sample.Bracket.Bounded():
		return sample.Invalidate(measure.NeverDenied)
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
	if !c.trigger.Initial {
		all = append(all, clockWarning("policy", c.trigger.Created, c.trigger.Arrived)...)
	}
	return all
}
