// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// The goals. Processor times are compared with those of the same round, never with a time of their
// own.
const (
	connectPart = 200  // connect costs at most this part of curl
	synPart     = 4000 // and syn, dropped
	// syn, dropped where the floor's frames are, costs at most this many times the floor
	synFloors     = 1.8
	synMemory     = 48 << 20
	connectMemory = 96 << 20
	noAllocations = 0.01 // a probe; the runtime makes a few of its own
	mebibyte      = 1 << 20
)

// Goal is something that a run is to show.
type Goal struct {
	Text  string // with what was measured
	Holds bool
}

// String is the goal as a line.
func (g Goal) String() string {
	if g.Holds {
		return "holds         " + g.Text
	}
	return "DOES NOT HOLD " + g.Text
}

// goals evaluates the results. A goal that could not be measured does not hold.
func (r *Results) goals() []Goal {
	connect, syn := string(probe.Connect), string(probe.SYN)
	return []Goal{
		r.partOfCurl(connect, connectPart, Dropped), r.partOfCurl(connect, connectPart, Answered),
		r.partOfCurl(syn, synPart, Dropped),
		r.cheapest(syn), r.nearFloor(),
		r.allocatesNothing(),
		r.memoryWithin(syn, synMemory), r.memoryWithin(connect, connectMemory),
	}
}

func (r *Results) partOfCurl(name string, limit float64, state State) Goal {
	ratio, ok := r.ratio(curlName, name, state)
	return Goal{
		fmt.Sprintf("%s, %s, costs at most %s of curl: %s", name, state, part(limit),
			shown(part(ratio), ok)),
		ok && ratio >= limit,
	}
}

// cheapest compares a mode with everything that somebody else made.
func (r *Results) cheapest(name string) Goal {
	nearest, least := "", 0.0
	for _, other := range r.names {
		if ours(other) || isFloor(other) {
			continue
		}
		if ratio, ok := r.ratio(other, name, Dropped); ok && (nearest == "" || ratio < least) {
			nearest, least = other, ratio
		}
	}

	next := fmt.Sprintf("next %s, %.2f times", nearest, least)
	return Goal{
		fmt.Sprintf("%s, dropped, costs less than every yardstick: %s", name,
			shown(next, nearest != "")), least > 1,
	}
}

// nearFloor compares probes with frames that are there anyway. Both are to go equally far: what the
// router does with a packet that it does not drop at once costs as much as the packet, and is no
// part of the probe.
func (r *Results) nearFloor() Goal {
	ratio, ok := r.ratio(ingressSYNName, floorName, Dropped)
	paced, isPaced := r.ratio(ingressSYNName, pacedFloorName, Dropped)
	routed, isRouted := r.ratio(string(probe.SYN), routedFloorName, Dropped)
	return Goal{
		fmt.Sprintf("%s costs at most %.1f times the floor: %s (paced %s, routed %s)",
			ingressSYNName, synFloors,
			shown(fmt.Sprintf("%.2f", ratio), ok), times(paced, isPaced), times(routed, isRouted)),
		ok && ratio <= synFloors,
	}
}

func (r *Results) allocatesNothing() Goal {
	var all []string
	holds := true
	for _, name := range r.names {
		if ours(name) {
			each := r.allocations(name)
			holds = holds && each < noAllocations
			all = append(all, fmt.Sprintf("%s %.4f", name, each))
		}
	}

	return Goal{
		"no allocation by a probe: " + shown(strings.Join(all, ", "), all != nil), all != nil &&
			holds,
	}
}

func (r *Results) memoryWithin(name string, limit int64) Goal {
	used, ok := r.memory[name]
	return Goal{
		fmt.Sprintf("%s probes %d pairs in at most %d MiB: %s", name, memoryPairs, limit/mebibyte,
			shown(fmt.Sprintf("%.1f MiB", float64(used)/mebibyte), ok)),
		ok && used <= limit,
	}
}

// times is a ratio that no goal is about.
func times(ratio float64, measured bool) string {
	if !measured {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

// shown is what was measured, if it was.
func shown(measured string, ok bool) string {
	if !ok {
		return "not measured"
	}
	return measured
}
