// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

const (
	// connectTime is how long connections may take to be made once others of their agent are there.
	connectTime = time.Second
	// blockTime is how long after all others an open connection may be seen blocked.
	blockTime = time.Second
)

// connect has connections made that policy is to forbid then, and forbids them.
func (it *iteration) connect(ctx context.Context) error {
	if len(it.part.Opening) == 0 {
		return nil
	}
	if err := it.env.publish(ctx, it.planAt(protocol.StepProve)); err != nil {
		return err
	}

	allowed := len(it.expected) - it.keeping(measure.KindBlocked) -
		it.keeping(measure.KindOpenBlocked)
	it.awaitChange(ctx, func() bool {
		pairs, _ := it.env.collector.proved(it.number)
		it.env.report("opening connections", pairs, allowed)
		return pairs >= allowed
	})
	if err := it.watch(ctx, "opening connections", connectTime); err != nil {
		return err
	}
	if err := it.env.cluster.Delete(ctx, it.part.Opening...); err != nil {
		return fmt.Errorf("forbid connections that are open: %w", err)
	}
	return nil
}

// keeping counts the pairs of a kind that must keep its state.
func (it *iteration) keeping(kind measure.Kind) int {
	count := 0
	for _, one := range it.kept {
		if one == kind {
			count++
		}
	}
	return count
}

// proved reports whether so many proved pairs are all that are to be waited for: open connections
// live on in many networks under policy that forbids them, so that these have a moment after the
// others and no more. The caller holds the collector's lock.
func (it *iteration) proved(pairs int) bool {
	missing := len(it.expected) - pairs
	switch {
	case missing <= 0:
		return true
	case missing > it.keeping(measure.KindOpenBlocked):
		return false
	case it.othersProved.IsZero():
		it.othersProved = time.Now()
		time.AfterFunc(blockTime, it.env.collector.wake)
	}
	return time.Since(it.othersProved) >= blockTime
}

// leaveOutLiving takes out open connections that policy has never blocked: they have not got the
// state that they would have to keep.
func (it *iteration) leaveOutLiving(samples []measure.Sample) []measure.Sample {
	of := it.keeping(measure.KindOpenBlocked)
	left := slices.DeleteFunc(samples, func(s measure.Sample) bool {
		return s.Kind == measure.KindOpenBlocked && s.Cause == measure.NeverBlocked
	})
	if living := len(it.expected) - len(left); living > 0 {
		it.env.collector.warn(fmt.Sprintf("%s: %d of %d open connections live on under policy "+
			"that forbids them: nothing is watched of these", it.name, living, of))
	}
	return left
}
