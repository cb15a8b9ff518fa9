// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// iteration is one trigger and the pairs that it is about.
type iteration struct {
	env      *environment
	part     scenario.Part
	name     string
	number   int
	expected map[pairKey]measure.Target
	awaited  map[pairKey]bool // those of the expected pairs that are to change
	agents   map[pairKey]int  // who probes each
	// kept are the kinds of those that must keep their state through a disruption.
	kept map[pairKey]measure.Kind
	// othersProved is when all but open connections that may live on were proved.
	othersProved time.Time
	// had are the awaited pairs that have a sample, and early the samples of pairs that were not
	// awaited when they came.
	had, early map[pairKey]bool
	before     time.Time
	after      time.Time
	deaf       map[int]string // the agents that were not heard when the trigger was written
	// looking says that it has no trigger: its pairs are looked at as they are.
	looking bool
	// probing are the UIDs of the agents' pods at the trigger, by number, nil before: one that
	// comes in the place of another has not seen the old state. It may tell of targets that came
	// after it, of which came says when they did.
	probing map[int]string
	came    map[pairKey]time.Time
}

func (e *environment) newIteration(part scenario.Part) *iteration {
	e.iterations++
	return &iteration{
		env: e, part: part, name: e.scenario.FullName(part), number: e.iterations,
		expected: make(map[pairKey]measure.Target), awaited: make(map[pairKey]bool),
		agents: make(map[pairKey]int), kept: make(map[pairKey]measure.Kind),
		had: make(map[pairKey]bool), early: make(map[pairKey]bool),
		came: make(map[pairKey]time.Time),
	}
}

// runStanding runs a part of the scenario whose targets are up, and returns a sample of every pair.
func (e *environment) runStanding(
	ctx context.Context, part scenario.Part,
) ([]measure.Sample, error) {
	it := e.newIteration(part)
	it.expectAll()
	if err := it.connect(ctx); err != nil {
		return nil, err
	}
	if err := it.prove(ctx); err != nil {
		return nil, err
	}

	if err := it.announce(ctx); err != nil {
		return nil, err
	}
	if it.env.scenario.Disrupts {
		return it.runDisruption(ctx)
	}
	if err := it.trigger(ctx); err != nil {
		return nil, err
	}

	samples, err := it.collect(ctx)
	if err != nil {
		return nil, err
	}
	return samples, it.check(ctx)
}

// expectAll adds the pairs of all targets that are up. Those of an agent that is not heard are left
// out, which was said when it was lost.
func (it *iteration) expectAll() {
	lost := it.env.lostAgents()
	for _, expect := range it.part.Expect {
		for _, pod := range it.env.pods[expect.Group] {
			if _, unheard := lost[agentOf(pod)]; !unheard {
				it.expect(pod, expect)
			}
		}
	}
}

// agentOf is the number of the agent that probes a target.
func agentOf(target corev1.Pod) int {
	number, err := strconv.Atoi(target.Labels[protocol.AgentLabel])
	if err != nil {
		return -1 // nobody does
	}
	return number
}

// expect adds a pair.
func (it *iteration) expect(pod corev1.Pod, expect scenario.Expect) {
	address, _ := it.env.address(pod)
	target := measure.Target{
		Pod:     measure.Object{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		Address: netip.AddrPortFrom(address, uint16(expect.Port)),
	}

	key := it.keyOf(pod, expect)
	it.expected[key], it.agents[key] = target, agentOf(pod)
	switch {
	case expect.Keep != measure.StateUnknown:
		it.kept[key] = measure.KindThatKeeps(expect.Keep, expect.Open)
	case !expect.Forbidden:
		it.awaited[key] = true
		if it.early[key] {
			it.had[key] = true
		}
	}
}

// keyOf names a pair of the iteration.
func (it *iteration) keyOf(pod corev1.Pod, expect scenario.Expect) pairKey {
	return pairKey{
		it.number, string(pod.UID), uint16(expect.Port), expectation(expect).Name(it.name),
	}
}

// expectation is what is expected as the agents get it.
func expectation(expect scenario.Expect) protocol.Expect {
	one := protocol.Expect{
		Group: expect.Group, Port: expect.Port, Want: expect.Want.String(),
		Forbidden: expect.Forbidden, Part: expect.Name, Open: expect.Open,
	}
	if expect.Keep != measure.StateUnknown {
		one.Keep, one.Want = expect.Keep.String(), expect.Keep.Opposite().String()
	}
	return one
}

func (it *iteration) planAt(step protocol.Step) protocol.Plan {
	plan := protocol.Plan{
		Iteration: it.number, Step: step, Scenario: it.name,
		IPv6:    it.env.options.Family == setting.IPv6,
		NewPods: it.env.scenario.Kind == scenario.Created && !it.looking,
		Ping:    it.env.plan.Ping,
	}
	for _, expect := range it.part.Expect {
		plan.Expect = append(plan.Expect, expectation(expect))
	}
	return plan
}

// prove has the agents see the old state of every pair. Pairs that do not show it in time are
// invalid, which the agents know themselves.
func (it *iteration) prove(ctx context.Context) error {
	if err := it.env.publish(ctx, it.planAt(protocol.StepProve)); err != nil {
		return err
	}

	// When the time is over the trigger is applied all the same: the samples say which pairs are
	// not proved. Where policies of others may be why, no later iteration would do better.
	doing := "proving the old state"
	if it.looking {
		doing = "checking"
	}
	inTime := it.awaitChange(ctx, func() bool {
		pairs, agents := it.env.collector.proved(it.number)
		it.env.report(doing, pairs, len(it.expected))
		return agents+len(it.env.collector.lost()) >= it.env.options.Agents &&
			it.proved(pairs+it.unheard(maps.Keys(it.expected)))
	})
	disturbed := it.env.disturbed()
	if err := it.env.collector.failure(); err != nil {
		return errors.Join(err, disturbed)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !inTime && disturbed != nil {
		return fmt.Errorf("prove the old state within %s: %w", it.env.options.Timeout, disturbed)
	}
	return nil
}

// disturbed says which policies may be why the run's own have not the effect that they should have,
// nil if there are no others.
func (e *environment) disturbed() error {
	if len(e.others) == 0 {
		return nil
	}
	return fmt.Errorf("policies that are not of this run are in force in its namespaces: expected "+
		"none of %s, which somebody else creates there", strings.Join(e.others, ", "))
}

// awaitChange waits until a condition holds or the time for a change is over, and reports which.
// Time in which the API server was away does not count: what agents have seen meanwhile was not
// heard.
func (it *iteration) awaitChange(ctx context.Context, condition func() bool) (inTime bool) {
	for end := time.Now().Add(it.env.options.Timeout); ; {
		bounded, cancel := context.WithDeadline(ctx, end)
		err := it.env.await(bounded, condition)
		cancel()

		later := it.env.cluster.LastOutage().Add(it.env.options.Timeout)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || !later.After(end) {
			return err == nil
		}
		end = later
	}
}

// unheard counts pairs that have no sample and whose agents are not heard. The caller holds the
// collector's lock.
func (it *iteration) unheard(pairs iter.Seq[pairKey]) int {
	lost, living := it.env.collector.lost(), it.env.collector.living()
	if len(lost) == 0 && (it.probing == nil || maps.Equal(it.probing, living)) {
		return 0
	}
	count := 0
	for key := range pairs {
		_, unheard := lost[it.agents[key]]
		gone := it.probing != nil && !it.mayTell(key, living[it.agents[key]])
		if (unheard || gone) && !it.had[key] {
			count++
		}
	}
	return count
}

// afterHello is how long after its first line an agent knows the targets that were there before it
// from those that come.
const afterHello = 5 * time.Second

// mayTell reports whether the agent in a pod has seen of a pair what its sample is about. The
// caller holds the collector's lock.
func (it *iteration) mayTell(key pairKey, pod string) bool {
	if pod != "" && it.probing[it.agents[key]] == pod {
		return true
	}
	came, later := it.came[key]
	began, known := it.env.collector.began[pod]
	return later && known && came.Sub(began) >= afterHello
}

// announce tells the agents of the trigger beforehand, so that they probe at the pace of a trigger
// and read what it changes from its first instant on, and waits until all of them do. To say what
// it changes takes finding out how the API serves that, so that the write, which is timed, sends
// one request.
func (it *iteration) announce(ctx context.Context) error {
	if err := it.renew(ctx); err != nil {
		return err
	}
	plan := it.planAt(protocol.StepTrigger)
	changes, err := it.env.changes(it.part.Change)
	if err != nil {
		return err
	}
	plan.Changes = changes
	if err := it.env.publish(ctx, plan); err != nil {
		return err
	}

	// Each answers, or is given up.
	ping := it.env.plan.Ping
	return it.env.await(ctx, func() bool { return it.env.collector.answered(ping) })
}

// renew has the trigger be about the agents that there are: some may have been replaced while the
// old state was proved.
func (it *iteration) renew(ctx context.Context) error {
	if maps.Equal(it.env.found, it.env.livingAgents()) {
		return nil
	}
	if err := it.env.findAgents(ctx); err != nil {
		return err
	}
	for _, part := range it.env.scenario.Parts(it.env.parameters) {
		if part.Name == it.part.Name {
			it.part.Change = part.Change
		}
	}
	return it.env.allowReads(ctx)
}

// errTriggerFailed is why an iteration is repeated: nobody knows when its trigger was accepted, if
// it was.
var errTriggerFailed = errors.New("the API server was away")

// trigger makes the change, and notes when.
func (it *iteration) trigger(ctx context.Context) error {
	ctx = kube.Once(ctx)
	it.deaf, it.probing = it.env.lostAgents(), it.env.livingAgents()

	it.before = time.Now()
	err := it.change(ctx)
	if err != nil && !kube.Transient(err) && it.leaveOutGone(ctx) {
		err = it.change(ctx) // what has been changed before stays as it is
	}
	it.after = time.Now()

	switch {
	case kube.Transient(err) && ctx.Err() == nil:
		return fmt.Errorf("apply the trigger of %s: %w: %w", it.name, errTriggerFailed, err)
	case err != nil:
		return fmt.Errorf("apply the trigger of %s: %w", it.name, err)
	}
	return nil
}

// change writes what the trigger is.
func (it *iteration) change(ctx context.Context) error {
	if err := it.env.cluster.Change(ctx, it.part.Change.Apply...); err != nil {
		return err
	}
	return it.env.cluster.Delete(ctx, it.part.Change.Delete...)
}

// leaveOutGone takes agents' pods that are gone out of what the trigger changes, and reports
// whether there are any. Their pairs have no result in any case.
func (it *iteration) leaveOutGone(ctx context.Context) bool {
	home, apply := it.env.parameters.AgentNamespace, it.part.Change.Apply
	agentPod := func(object runtime.Object) (name string, is bool) {
		pod, err := meta.Accessor(object)
		if err != nil || object.GetObjectKind().GroupVersionKind().Kind != "Pod" {
			return "", false
		}
		return pod.GetName(), pod.GetNamespace() == home
	}
	if !slices.ContainsFunc(apply, func(object runtime.Object) bool {
		_, is := agentPod(object)
		return is
	}) {
		return false
	}

	pods, err := it.env.list(ctx, home, it.env.selector(scenario.RoleAgent))
	if err != nil {
		return false
	}
	there := make(map[string]bool)
	for _, pod := range livingPods(pods) {
		there[pod.Name] = true
	}
	it.part.Change.Apply = slices.DeleteFunc(slices.Clone(apply), func(object runtime.Object) bool {
		name, is := agentPod(object)
		return is && !there[name]
	})
	return len(it.part.Change.Apply) < len(apply)
}

// lastWords is how long agents whose results are all in may take to say so.
const lastWords = 2 * time.Second

// collect waits for the results of the pairs that are to change, ends the iteration and accounts
// for all.
func (it *iteration) collect(ctx context.Context) ([]measure.Sample, error) {
	// When the time is over the iteration ends all the same: what has no result is not observed.
	it.awaitChange(ctx, func() bool {
		have, doing := it.have(), "measuring"
		if presumed := it.env.collector.presumed(it.number); presumed > 0 &&
			have+presumed >= len(it.awaited) {
			// What is seen blocked is proved only once no reply can come any more.
			doing = "confirming"
		}
		it.env.report(doing, have, len(it.awaited))
		return have+it.unheard(maps.Keys(it.awaited)) >= len(it.awaited)
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := it.env.collector.failure(); err != nil {
		return nil, err
	}
	if err := it.env.publish(ctx, it.planAt(protocol.StepFinish)); err != nil {
		return nil, err
	}

	bounded, cancelSetup := it.env.withSetupTimeout(ctx, "collect the results")
	defer cancelSetup()
	if len(it.had)+len(it.early) >= len(it.expected) {
		// Nothing is missing, and the change may have cut the agents off from the API server: they
		// would not learn that the iteration is over.
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(bounded, lastWords, errSetupTimeout)
		defer cancel()
	}

	err := it.env.await(bounded, func() bool {
		return it.env.collector.finished(it.number)
	})
	if err != nil && !errors.Is(err, errSetupTimeout) {
		return nil, err
	}

	samples := it.leaveOutLiving(it.account())
	it.doubtBlocks(samples)
	return samples, nil
}

// doubtBlocks says why nothing may have become allowed where policies name pods by their addresses:
// to some plugins a pod is in no block, as to Cilium (docs.cilium.io, "IP/CIDR based").
func (it *iteration) doubtBlocks(samples []measure.Sample) {
	opening := slices.DeleteFunc(slices.Clone(samples), func(sample measure.Sample) bool {
		return sample.Kind.Stays() || sample.Want != measure.StateAllowed
	})
	inTime := slices.ContainsFunc(opening, func(sample measure.Sample) bool {
		return sample.Status != measure.Censored
	})
	if len(opening) == 0 || inTime {
		return
	}
	setup := slices.Concat(it.env.scenario.Setup(it.env.parameters)...)
	if !it.env.parameters.NamesPodsByAddress(append(setup, it.part.Change.Apply...)) {
		return
	}

	way := "measure it with peers that are selectors"
	if it.name == setting.SkipPeer {
		way = "--skip " + setting.SkipPeer + " leaves it out"
	}
	it.env.collector.warn(fmt.Sprintf("%s: no pair was allowed in time by the addresses of pods: "+
		"the address blocks of some network plugins, Cilium's among them, hold no pods: %s",
		it.name, way))
}

// have counts the awaited pairs that have a sample, from what has come since it was last asked. The
// caller holds the collector's lock.
func (it *iteration) have() int {
	for _, key := range it.env.collector.takeFresh() {
		if it.awaited[key] {
			it.had[key] = true
		} else {
			it.early[key] = true
		}
	}
	return len(it.had)
}

// account takes a sample for every expected pair: its own, or one that says that there is none.
func (it *iteration) account() []measure.Sample {
	it.env.collector.mu.Lock()
	defer it.env.collector.mu.Unlock()

	var all []measure.Sample
	for key, target := range it.expected {
		sample, ok := it.env.collector.samples[key]
		_, deaf := it.deaf[it.agents[key]]
		other := it.probing != nil && ok && !it.mayTell(key, sample.Client.UID)
		if !ok || other || deaf && sample.Status == measure.Invalid {
			all = append(all, it.missing(key, target, it.kindOf(key)))
			continue
		}
		delete(it.env.collector.samples, key)
		sample.Kind = it.kindOf(key)
		if sample.Target.Pod.Name == "" {
			sample.Target.Pod = target.Pod
		}
		all = append(all, it.started(sample))
	}

	return all
}

// kindOf is the kind of an expected pair. An agent only knows which of its pairs must stay blocked.
func (it *iteration) kindOf(key pairKey) measure.Kind {
	kept, is := it.kept[key]
	switch {
	case is:
		return kept
	case !it.awaited[key]:
		return measure.KindBlocked
	case it.env.scenario.Connections:
		return measure.KindOpen
	}
	return measure.KindNew
}

// missing is the sample of a pair whose agent has not reported.
func (it *iteration) missing(key pairKey, target measure.Target, kind measure.Kind) measure.Sample {
	return measure.Sample{
		Scenario: key.scenario, Target: target, Kind: kind, Status: measure.Unobserved,
		Iteration: key.iteration, Ended: time.Now(),
		Reason: measure.NotReported,
	}
}

// started gives a sample its start, on its agent's clock: what the agent has read of the trigger
// and what the runner knows of its own write both contain it. The start of a pod that came is the
// agent's alone. The caller holds the collector's lock.
func (it *iteration) started(sample measure.Sample) measure.Sample {
	own, known := it.env.collector.clockOf(sample.Agent).start(it.before, it.after)
	switch {
	case sample.Start.Source == "" && known:
		return sample.WithStart(own, 0)
	case sample.Start.Source == "":
		return sample.Invalidate(measure.ClockUnknown)
	case !sample.Start.Source.Accepted() || !known:
		return sample
	}

	both, agree := sample.Start.Narrow(own)
	if !agree {
		text := fmt.Sprintf("the clocks of agent %d and of this machine disagree about a trigger: "+
			"the agent's own counts", sample.Agent)
		it.env.collector.warnings[text] = true
		return sample
	}
	return sample.WithStart(both, 0)
}

// jitter waits for a random part of a second: repeated triggers must not all fall on the same phase
// of what happens once a second.
func jitter(ctx context.Context) error {
	select {
	case <-time.After(rand.N(time.Second)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
