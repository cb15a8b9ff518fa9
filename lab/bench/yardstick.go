// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"slices"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// The yardsticks that goals are about.
const (
	curlName       = "sh -c curl"
	floorName      = "floor"
	pacedFloorName = "paced floor"
	// The routed floor's frames go as far as a dropped probe: to the filter. What is left above it
	// is a mode's own.
	routedFloorName = "routed floor"
	// ingressSYNName is the mode syn whose probes end where the floor's frames do.
	ingressSYNName = "syn at ingress"
)

// yardstick is a way of probing whose cost is measured.
type yardstick struct {
	name string
	// run makes a turn, in the child.
	run func(context.Context, Turn) (Reading, error)
	// optional is a yardstick that may be left out, since it is a program that may not be
	// installed.
	optional bool
	// dropped is a yardstick whose packets are always dropped; with ingress the router drops them
	// as they come in.
	dropped, ingress bool
}

// yardsticks lists every yardstick, those next to each other that are compared most closely.
func yardsticks() []yardstick {
	all := []yardstick{{name: curlName, run: curl}}
	for _, mode := range []probe.Mode{probe.Connect, probe.HTTP, probe.UDP, probe.SYN} {
		all = append(all, yardstick{name: string(mode), run: engine(mode)})
	}

	all = append(all,
		yardstick{name: ingressSYNName, run: engine(probe.SYN), dropped: true, ingress: true},
		yardstick{name: floorName, run: floor(0), dropped: true, ingress: true},
		yardstick{name: pacedFloorName, run: floor(probe.SYN.DefaultMaxRate(probe.MinProcs)),
			dropped: true, ingress: true},
		yardstick{name: routedFloorName, run: floor(0), dropped: true},
		yardstick{name: "Go net/http", run: netHTTP},
		yardstick{name: "Go net.Dialer", run: dialer},
	)
	for _, p := range programs() {
		all = append(all, yardstick{name: p.name, run: p.run, optional: true})
	}

	return all
}

// choose finds the yardsticks of those names, all without a name.
func choose(names []string) ([]yardstick, error) {
	all := yardsticks()
	if len(names) == 0 {
		return all, nil
	}

	var chosen []yardstick
	for _, name := range names {
		i := slices.IndexFunc(all, func(y yardstick) bool { return y.name == name })
		if i < 0 {
			return nil, fmt.Errorf("use yardstick %q: there is none of that name", name)
		}
		chosen = append(chosen, all[i])
	}

	return chosen, nil
}

// states are the states that the yardstick can be measured in.
func (y yardstick) states() []State {
	if y.dropped {
		return []State{Dropped}
	}
	return []State{Dropped, Answered}
}

// isFloor reports whether the yardstick's probes ask nothing of anybody.
func isFloor(name string) bool {
	return name == floorName || name == pacedFloorName || name == routedFloorName
}

// ours reports whether the yardstick is a mode of the probing engine.
func ours(name string) bool {
	return name == ingressSYNName || slices.Contains(probe.Modes(), probe.Mode(name))
}
