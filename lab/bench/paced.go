// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// pace is how many probes are made and how many a second begin.
type pace struct {
	probes int
	rate   float64
}

// measure makes probes of the turn's targets, each in a goroutine of its own, and measures all of
// it. Nothing is warmed up: such probes cost hundreds of times what the first memory pages do.
func (p pace) measure(
	ctx context.Context, turn Turn, probe func(context.Context, netip.AddrPort),
) (Reading, error) {
	targets := turn.State.targets(p.probes)
	return spend(func() (int64, error) {
		var all sync.WaitGroup
		defer all.Wait()
		start := time.Now()
		for i, to := range targets {
			due := start.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return 0, fmt.Errorf("probe %s: %w", to, ctx.Err())
			}
			all.Go(func() { probe(ctx, to) })
		}
		return int64(p.probes), nil
	})
}
