// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// round is one trigger and the pairs that it is about.
type round struct {
	*stage
	part     scenario.Part
	name     string
	number   int
	expected map[pairKey]measure.Target
	awaited  map[pairKey]bool // those of the expected pairs that are to change
	before   time.Time
	after    time.Time
}

func (s *stage) newRound(part scenario.Part) *round {
	s.round++
	return &round{
		stage: s, part: part, name: s.scenario.FullName(part), number: s.round,
		expected: make(map[pairKey]measure.Target), awaited: make(map[pairKey]bool),
	}
}

// play plays a part of the scenario, and returns a sample of every pair.
func (s *stage) play(ctx context.Context, part scenario.Part) ([]measure.Sample, error) {
	r := s.newRound(part)
	r.expectAll()
	if err := r.cluster.Prepare(append(part.Change.Apply, part.Change.Delete...)...); err != nil {
		return nil, err
	}
	if err := r.prove(ctx); err != nil {
		return nil, err
	}
	// Agents learn of the trigger beforehand, so that they probe at the pace of a trigger from its first instant on.
	if err := r.publish(ctx, r.planAt(protocol.StepTrigger)); err != nil {
		return nil, err
	}
	if err := r.trigger(ctx); err != nil {
		return nil, err
	}
	return r.collect(ctx)
}

// expectAll adds the pairs of all targets that are up.
func (r *round) expectAll() {
	for _, expect := range r.part.Expect {
		for _, pod := range r.pods[expect.Group] {
			r.expect(pod, expect)
		}
	}
}

// expect adds a pair.
func (r *round) expect(pod corev1.Pod, expect scenario.Expect) {
	address, _ := r.address(pod)
	target := measure.Target{
		Pod:     measure.Object{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		Address: netip.AddrPortFrom(address, uint16(expect.Port)),
	}
	key := pairKey{r.number, target.Pod.UID, uint16(expect.Port), wire(expect).Name(r.name)}
	r.expected[key] = target
	if !expect.Forbidden {
		r.awaited[key] = true
	}
}

// wire is an expectation as the agents get it.
func wire(expect scenario.Expect) protocol.Expect {
	return protocol.Expect{
		Group: expect.Group, Port: expect.Port, Want: expect.Want.String(), Forbidden: expect.Forbidden, Part: expect.Name,
	}
}

func (r *round) planAt(step protocol.Step) protocol.Plan {
	plan := protocol.Plan{
		Iteration: r.number, Step: step, Scenario: r.name,
		IPv6: r.Family == setting.IPv6, NewPods: r.scenario.Kind == scenario.Created, Ping: r.plan.Ping,
	}
	for _, expect := range r.part.Expect {
		plan.Expect = append(plan.Expect, wire(expect))
	}
	return plan
}

// prove has the agents see the old state of every pair. Pairs that do not show it in time are invalid, which
// the agents know themselves.
func (r *round) prove(ctx context.Context) error {
	if err := r.publish(ctx, r.planAt(protocol.StepProve)); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	// When the time is over the trigger is pulled all the same: the samples say which pairs are not proved.
	_ = r.collector.await(bounded, func() bool {
		pairs, agents := r.collector.proved(r.number)
		r.tell("proving the old state", pairs, len(r.expected))
		return agents >= r.Agents && pairs >= len(r.expected)
	})
	return context.Cause(ctx)
}

// trigger makes the change, and notes when.
func (r *round) trigger(ctx context.Context) error {
	r.before = time.Now()
	err := r.cluster.Change(ctx, r.part.Change.Apply...)
	if err == nil {
		err = r.cluster.Delete(ctx, r.part.Change.Delete...)
	}
	r.after = time.Now()
	if err != nil {
		return fmt.Errorf("pull the trigger of %s: %w", r.name, err)
	}
	return nil
}

// collect waits for the results of the pairs that are to change, ends the round and accounts for all.
func (r *round) collect(ctx context.Context) ([]measure.Sample, error) {
	bounded, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	// When the time is over the round ends all the same: what has no result is censored.
	_ = r.collector.await(bounded, func() bool {
		have, doing := r.have(), "measuring"
		if presumed := r.collector.presumed(r.number); presumed > 0 && have+presumed >= len(r.awaited) {
			doing = "confirming" // what is seen blocked is proved only once no reply can come any more
		}
		r.tell(doing, have, len(r.awaited))
		return have == len(r.awaited)
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := r.publish(ctx, r.planAt(protocol.StepFinish)); err != nil {
		return nil, err
	}
	patient, cancelPatience := r.patience(ctx, "collect the results")
	defer cancelPatience()
	err := r.collector.await(patient, func() bool { return r.collector.concluded(r.number) })
	if err != nil && !errors.Is(err, errPatience) {
		return nil, err
	}
	return r.account(), nil
}

// have counts the awaited pairs that have a sample. The caller holds the collector's lock.
func (r *round) have() int {
	have := 0
	for key := range r.awaited {
		if _, ok := r.collector.samples[key]; ok {
			have++
		}
	}
	return have
}

// account takes a sample for every expected pair: its own, or one that says that there is none.
func (r *round) account() []measure.Sample {
	r.collector.mu.Lock()
	defer r.collector.mu.Unlock()
	var all []measure.Sample
	for key, target := range r.expected {
		sample, ok := r.collector.samples[key]
		if !ok {
			sample = r.missing(key, target, r.kindOf(key))
		}
		delete(r.collector.samples, key)
		if sample.Target.Pod.Name == "" {
			sample.Target.Pod = target.Pod
		}
		all = append(all, r.started(sample))
	}
	return all
}

// kindOf is the kind of an expected pair.
func (r *round) kindOf(key pairKey) measure.Kind {
	switch {
	case !r.awaited[key]:
		return measure.KindBlocked
	case r.scenario.Connections:
		return measure.KindOpen
	}
	return measure.KindNew
}

// missing is the sample of a pair whose agent has not reported.
func (r *round) missing(key pairKey, target measure.Target, kind measure.Kind) measure.Sample {
	return measure.Sample{
		Scenario: key.scenario, Target: target, Kind: kind, Status: measure.Censored,
		Round: key.round, Ended: time.Now(),
		Reason: "its agent did not report: it ended, or its log was lost",
	}
}

// started gives a sample its start, on its agent's clock, unless the agent knew it.
func (r *round) started(sample measure.Sample) measure.Sample {
	if sample.Start.Source != "" {
		return sample
	}
	start, known := r.collector.clockOf(sample.Agent).start(r.before, r.after)
	if !known {
		return sample.Invalidate(measure.ClockUnknown)
	}
	return sample.WithStart(start, 0)
}

// apart waits for a random part of a second: repeated triggers must not all fall on the same phase of what
// happens once a second.
func apart(ctx context.Context) error {
	select {
	case <-time.After(rand.N(time.Second)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
