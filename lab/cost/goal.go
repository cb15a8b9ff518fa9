// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"fmt"
	"io"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// Cost is what a way to probe costs, when probes are dropped and when they are answered.
type Cost struct {
	Subject
	Dropped, Answered Work
	// Missing says why it was left out.
	Missing error
}

// Goal is a statement about costs, and whether it holds.
type Goal struct {
	Text  string
	Holds bool
}

// ofTheRuntime is how many allocations for each probe the runtime makes beside them.
const ofTheRuntime = 0.02

// Goals are what the engine is to reach. The memory is that of ten thousand pairs, by mode.
func Goals(costs []Cost, memory map[probe.Mode]int64) []Goal {
	by := make(map[string]Cost)
	for _, cost := range costs {
		by[cost.Name] = cost
	}
	curl, connect, syn := by[nameCurl], by[string(probe.Connect)], by[string(probe.SYN)]
	floor := by[nameFloor]
	all := []Goal{
		ratio("connect, dropped", curl.Dropped, connect.Dropped, 200),
		ratio("connect, answered", curl.Answered, connect.Answered, 200),
		ratio("syn, dropped", curl.Dropped, syn.Dropped, 4000),
	}
	over := float64(syn.Dropped.Each()) / float64(max(floor.Dropped.Each(), 1))
	all = append(all, Goal{fmt.Sprintf("syn, dropped: %.2f times the floor, at most 1.8", over), over <= 1.8})
	for _, cost := range costs {
		if cost.Yardstick && cost.Missing == nil {
			all = append(all, Goal{
				fmt.Sprintf("syn, dropped: less than %s", cost.Name), syn.Dropped.Each() < cost.Dropped.Each(),
			})
		}
		if cost.Ours {
			each := float64(cost.Dropped.Mallocs+cost.Answered.Mallocs) / float64(cost.Dropped.Probes+cost.Answered.Probes)
			all = append(all, Goal{fmt.Sprintf("%s: %.3f allocations per probe, none", cost.Name, each), each < ofTheRuntime})
		}
	}
	for _, limit := range []struct {
		mode probe.Mode
		most int64
	}{{probe.SYN, 48}, {probe.Connect, 96}} {
		mebibytes := memory[limit.mode] >> 20
		all = append(all, Goal{
			fmt.Sprintf("%s: %d MiB resident with 10,000 pairs, at most %d", limit.mode, mebibytes, limit.most),
			mebibytes > 0 && mebibytes <= limit.most,
		})
	}
	return all
}

// ratio is the goal to take at most that part of what curl takes.
func ratio(what string, curl, ours Work, part int) Goal {
	times := float64(curl.Each()) / float64(max(ours.Each(), 1))
	return Goal{fmt.Sprintf("%s: 1/%.0f of curl, at most 1/%d", what, times, part), times >= float64(part)}
}

// Report writes the table and the goals, and returns how many goals do not hold.
func Report(w io.Writer, costs []Cost, goals []Goal) (missed int) {
	fmt.Fprintf(w, "%-12s %14s %14s %14s %14s\n", "CPU per probe", "dropped", "answered", "curl/dropped", "curl/answered")
	var curl Cost
	for _, cost := range costs {
		if cost.Name == nameCurl {
			curl = cost
		}
	}
	for _, cost := range costs {
		if cost.Missing != nil {
			fmt.Fprintf(w, "%-12s left out: %v\n", cost.Name, cost.Missing)
			continue
		}
		fmt.Fprintf(w, "%-13s %14s %14s %14s %14s\n", cost.Name, micro(cost.Dropped), micro(cost.Answered),
			times(curl.Dropped, cost.Dropped), times(curl.Answered, cost.Answered))
	}
	for _, goal := range goals {
		state := "holds "
		if !goal.Holds {
			state = "MISSED"
			missed++
		}
		fmt.Fprintf(w, "%s  %s\n", state, goal.Text)
	}
	return missed
}

func micro(w Work) string {
	if w.Probes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f us", float64(w.Each())/float64(time.Microsecond))
}

func times(curl, other Work) string {
	if other.Probes == 0 || curl.Probes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(curl.Each())/float64(max(other.Each(), 1)))
}
