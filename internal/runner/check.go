// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// checks reports whether the pairs are looked at once more after the iteration: it is the last one,
// and nothing takes its pods away meanwhile. Connections that are open say nothing about a verdict.
func (it *iteration) checks() bool {
	e := it.env
	parts := e.scenario.Parts(e.parameters)
	return e.options.Check && e.last && it.part.Name == parts[len(parts)-1].Name &&
		!e.scenario.Connections && e.options.ChurnFor == 0
}

// check looks at every pair in the state that the iteration has left, and notes which of them is
// not as policy wants it to be: that this is the state before a change is to be proved, as before
// every trigger, and no change follows.
func (it *iteration) check(ctx context.Context) error {
	if !it.checks() {
		return nil
	}

	part := it.part
	part.Expect = slices.Clone(part.Expect)
	for i, expect := range part.Expect {
		part.Expect[i].Want = measure.StateAllowed // of pairs that stay blocked, too
		if expect.Want == measure.StateAllowed {
			part.Expect[i].Want = measure.StateBlocked
		}
		part.Expect[i].Forbidden = false
	}
	again := it.env.newIteration(part)
	again.looking = true
	for key, target := range it.expected {
		key.iteration = again.number
		again.expected[key], again.awaited[key] = target, true
		again.agents[key] = it.agents[pairKey{it.number, key.uid, key.port, key.scenario}]
	}

	if err := again.prove(ctx); err != nil {
		return err
	}
	if err := again.env.publish(ctx, again.planAt(protocol.StepFinish)); err != nil {
		return err
	}
	bounded, cancel := it.env.withSetupTimeout(ctx, "collect what was checked")
	defer cancel()
	err := it.env.await(bounded, func() bool { return it.env.collector.finished(again.number) })
	if err != nil && !errors.Is(err, errSetupTimeout) {
		return err
	}

	it.env.checked = again.findWrong()
	return nil
}

// findWrong takes the samples of pairs that were looked at.
func (it *iteration) findWrong() *measure.Check {
	it.env.collector.mu.Lock()
	defer it.env.collector.mu.Unlock()

	it.env.collector.takeFresh() // they are no results
	check := &measure.Check{}
	for _, key := range slices.SortedFunc(maps.Keys(it.expected), func(a, b pairKey) int {
		return cmp.Or(cmp.Compare(a.scenario, b.scenario),
			cmp.Compare(it.expected[a].Pod.Name, it.expected[b].Pod.Name))
	}) {
		sample, ok := it.env.collector.samples[key]
		delete(it.env.collector.samples, key)
		if !ok || sample.Status == measure.Unobserved || sample.Status == measure.Deleted {
			continue // nobody knows
		}
		check.Pairs++
		if sample.Status == measure.Censored {
			continue // it was seen as it is to be, and stayed so
		}
		target := it.expected[key]
		check.Wrong = append(check.Wrong, measure.WrongPair{
			Pod:     target.Pod.Namespace + "/" + target.Pod.Name,
			Address: target.Address.String(), Want: sample.Want.Opposite().String(),
		})
	}
	return check
}
