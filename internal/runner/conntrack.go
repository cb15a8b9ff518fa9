// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"math"
	"time"
)

// share is among how many agents a node's connection tracking table is shared: those that run on it
// and, as far as their targets do, the others. As long as it is not known where targets are, all of
// them may be on one node.
func (e *environment) share() int {
	agents := e.collector.byNode()
	targets, count := make(map[string]int), 0
	for _, pods := range e.pods {
		for _, pod := range pods {
			targets[pod.Spec.NodeName]++
			count++
		}
	}
	if count == 0 {
		return e.options.Agents
	}

	most := 1.
	for _, here := range agents {
		most = max(most, float64(here))
	}
	for node, on := range targets {
		here := agents[node]
		part := float64(on) / float64(count)
		most = max(most, float64(here)+part*float64(e.options.Agents-here))
	}
	return int(math.Ceil(most))
}

// leftover is what the agents of a scenario may have left in the connection tracking table of a
// node: the next scenario's may have so much less of it until it is gone.
type leftover struct {
	entries int
	until   time.Time
}

// leftover is what this scenario may have left.
func (e *environment) leftover() leftover {
	if e.collector == nil {
		return leftover{} // nothing was built
	}
	left := e.collector.left()
	left.entries = left.entries * e.share() / max(1, e.options.Agents)
	return left
}

// leftAt is how much is left at an instant.
func leftAt(at time.Time, of []leftover) int {
	left := 0
	for _, l := range of {
		if at.Before(l.until) {
			left += l.entries
		}
	}
	return left
}

// left is what the agents say that they may have left in all tables, until the last of it is gone.
func (c *collector) left() leftover {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all leftover
	for _, agent := range c.agents {
		all.entries += agent.left.entries
		if agent.left.until.After(all.until) {
			all.until = agent.left.until
		}
	}
	return all
}
