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

// policyRun is the state of a policy creation run.
type policyRun struct {
	*roster
	ctx context.Context
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

// runPolicyCreation measures the targets that exist before the policy. It returns when each has a
// result, or with the context's error.
func runPolicyCreation(ctx context.Context, env *environment) error {
	feed, stop := env.watch(ctx)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := &policyRun{roster: newRoster(env), ctx: ctx}
	run.roster.judge = run.judge
	podsSynced, policySynced := feed.podsSynced, feed.policySynced
	for !run.done() {
		run.announce()
		select {
		case <-ctx.Done():
			run.settle()
			return ctx.Err()
		case <-podsSynced:
			run.listed, podsSynced = true, nil
			klog.Infof("%d pods listed", env.ledger.Account().Expected)
		case <-policySynced:
			run.known, policySynced = true, nil
			run.awaitPolicy()
		case event := <-feed.pods:
			run.observePod(event)
		case event := <-feed.policies:
			run.observePolicy(event)
		case <-run.finished.full:
			run.returned()
		case <-run.proved.full:
			run.deny()
		case <-run.late:
			run.short = true
		case <-run.grace():
			run.judgeEarly()
		case uid := <-run.expired:
			run.end(uid, errDeadline)
		}
	}
	return nil
}

// done reports whether everything that was expected has a result. Until the policy exists, targets
// may still come; but a run whose targets have all ended has nothing left to wait for.
func (run *policyRun) done() bool {
	came := run.env.ledger.Account().Expected
	if !run.listed || !run.known || len(run.open) > 0 || came < run.env.config.ExpectedTargets && !run.short {
		return false
	}
	return run.trigger != nil || came > 0
}

// announce says once that the policy may come: when what exists has been delivered, and each target that is expected
// has been seen denied or has its result.
func (run *policyRun) announce() {
	expected := run.env.config.ExpectedTargets
	came := run.env.ledger.Account().Expected
	if run.announced || !run.listed || !run.known || came < expected || expected > 0 && run.settledOrDenied() < expected {
		return
	}
	run.announced = true
	run.env.ready()
}

// deny takes in the pairs that have been seen denied.
func (run *policyRun) deny() {
	for _, p := range run.proved.take() {
		p.proved = true
	}
}

// settledOrDenied counts the targets for which the policy may come.
func (run *policyRun) settledOrDenied() int {
	count := run.env.ledger.Account().Expected - len(run.open)
	for _, p := range run.open {
		if p.proved {
			count++
		}
	}
	return count
}

// awaitPolicy says that the policy is waited for, if it is not there.
func (run *policyRun) awaitPolicy() {
	if run.trigger == nil {
		klog.Infof("Network policy %q does not exist yet in namespace %q; waiting for its creation",
			run.env.config.AllowPolicyName, run.env.config.ClientNamespace)
	}
}

// eligible reports whether a pod can be a target. One that came after the policy could not be denied before it; but
// two watches are in no order, so that older pods, and those that are expected, may be delivered after the policy.
func (run *policyRun) eligible(event measure.Event) bool {
	return event.Initial || run.trigger == nil || event.Created.Before(run.trigger.Created) ||
		run.env.ledger.Account().Expected < run.env.config.ExpectedTargets
}

// observePod takes in a pod's event.
func (run *policyRun) observePod(event measure.Event) {
	_, known := run.open[event.Object.UID]
	assigned := run.observe(event, run.eligible(event))
	if p, open := run.open[event.Object.UID]; open && !known && run.trigger != nil {
		run.expire(run.ctx, p)
	}
	if assigned == nil {
		return
	}
	run.probe(assigned)
	if run.trigger != nil {
		assigned.probing.Trigger(run.trigger.Arrived)
	}
}

// observePolicy takes in an event of the allow policy. Its creation is the trigger. If it is deleted
// and created again, the new creation counts for the targets that have no result yet.
func (run *policyRun) observePolicy(event measure.Event) {
	switch event.Type {
	case measure.EventAdded:
		run.trigger = &event
		if run.env.config.TargetTimeout > 0 {
			run.late = time.After(run.env.config.TargetTimeout)
		}
		if event.Initial {
			klog.Warningf("Network policy %q existed before this client: a target counts only if it is "+
				"still denied now, and from the policy's creationTimestamp", event.Object.Name)
		}
		for _, p := range run.open {
			run.expire(run.ctx, p)
			if p.probing != nil {
				p.probing.Trigger(event.Arrived)
			}
		}
		run.judgeEarly()
	case measure.EventDeleted:
		run.trigger = nil
		klog.Warningf("Network policy %q was deleted; %d targets without a result wait for it to be "+
			"created again", event.Object.Name, len(run.open))
	}
}

// grace fires when the oldest early pair has waited long enough for the news of the policy.
func (run *policyRun) grace() <-chan time.Time {
	if len(run.early) == 0 {
		return nil
	}
	due := run.early[0].follow.transition.Change().Bracket.Upper.Add(notificationGrace)
	return time.After(time.Until(due))
}

// judgeEarly judges the pairs that were reached before the policy was known: all of them now that
// it is, else the oldest, for which it came too late.
func (run *policyRun) judgeEarly() {
	waiting := run.early
	if run.trigger == nil {
		waiting = waiting[:1]
	}
	run.early = run.early[len(waiting):]
	for _, p := range waiting {
		run.enter(run.sampleOf(p))
	}
}

// judge turns a pair that has ended into its sample, or lets it wait for the news of the policy.
func (run *policyRun) judge(p *pair) {
	if p.follow.transition.Changed() && run.trigger == nil && run.ctx.Err() == nil {
		run.early = append(run.early, p)
		return
	}
	run.enter(run.sampleOf(p))
}

// sampleOf is the pair's sample: its latency counts from the creation of the policy.
func (run *policyRun) sampleOf(p *pair) measure.Sample {
	sample := p.sample(run.env.config.TargetPort)
	if run.trigger != nil {
		sample = sample.WithStart(measure.StartOf(*run.trigger), notificationGrace)
		sample.Created = run.trigger.Created
	}
	switch {
	case sample.Status != measure.Measured:
		return sample
	case run.trigger == nil:
		return sample.Invalidate(measure.ReachedWithoutPolicy)
	case !sample.Bracket.Bounded():
		return sample.Invalidate(measure.NeverDenied)
	}
	sample.Warnings = append(sample.Warnings, run.warnings(sample)...)
	reached := sample.Answered.Sub(run.trigger.Created)
	run.env.metrics.policyEnforced.Observe(seconds(reached))
	klog.Infof("Pod %q in namespace %q with IP %q reached %s after policy creation "+
		"(%s after %s, resolution %s)", p.pod.Name, p.pod.Namespace, p.address, reached,
		sample.Latency().Estimate(), sample.Start.Source, sample.Latency().Resolution())
	return sample
}

// warnings qualify a measured latency.
func (run *policyRun) warnings(sample measure.Sample) []string {
	var all []string
	if sample.Latency().Estimate() < 0 {
		all = append(all, "enforced before the notification of the policy arrived")
	}
	if sample.Baseline == measure.Refused {
		all = append(all, "denied by a reset, which a closed port sends too")
	}
	if !run.trigger.Initial {
		all = append(all, clockWarning("policy", run.trigger.Created, run.trigger.Arrived)...)
	}
	return all
}
