// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Kind says who probes, and whom.
type Kind uint8

// The kinds.
const (
	// Standing: agents probe targets that are up before the trigger.
	Standing Kind = iota
	// Created: agents probe pods that the trigger creates.
	Created
	// Inside: new pods probe targets, from their own first instant.
	Inside
)

// Scenario is one thing to measure.
type Scenario struct {
	Name string
	// Summary is one sentence, Detail what else a reader of the result must know.
	Summary string
	Detail  string
	Kind    Kind
	// Connections are kept open by the agents, who ask on them again and again.
	Connections bool
	// Disrupts says that in the place of a change something happens that is to change nothing:
	// every pair must keep its state.
	Disrupts bool
	// Baseline says that the scenario can be run without its policies.
	Baseline bool
	// OwnNamespaces says why the namespaces must be the run's own; empty if others will do.
	OwnNamespaces string
	// Groups are the groups of target pods that are up before the trigger.
	Groups func(s setting.Settings) []Group
	// Setup are the objects that are in force before the first trigger, in layers: after each but
	// the last every pair is seen blocked, so that what a later one allows cannot be mistaken for
	// what was allowed before.
	Setup func(w Parameters) [][]runtime.Object
	// Parts are the changes, in order. Each begins in the state that the one before has left.
	Parts func(w Parameters) []Part
}

// Part is one trigger and what it brings about.
type Part struct {
	// Name is empty for the only part of a scenario.
	Name string
	// Change is the trigger: the objects are applied, or deleted.
	Change Change
	Expect []Expect
	// Opening is in force until open connections that must stay blocked have been made.
	Opening []runtime.Object
}

// Change is what a trigger writes. Objects are applied on the server's side, so that an object that
// exists is updated and one that does not is created.
type Change struct {
	Apply  []runtime.Object
	Delete []runtime.Object
}

// Group is a group of target pods: as many as there are targets, or a few.
type Group struct {
	Name string
	Few  bool
}

// few is how many pods a group of a few has at the most.
const few = 5

// Size is the number of the group's pods.
func (g Group) Size(targets int) int {
	if g.Few {
		return min(few, targets)
	}
	return targets
}

// layer is a setup of one layer.
func layer(objects ...runtime.Object) [][]runtime.Object { return [][]runtime.Object{objects} }

func onlyA(setting.Settings) []Group { return []Group{{Name: GroupA}} }

func noGroups(setting.Settings) []Group { return nil }

// Expect is what is to become of the pairs of a group of targets at one of their ports.
type Expect struct {
	Group string
	Port  int
	Want  measure.State
	// Forbidden pairs are blocked and stay so: each reply of theirs is a leak.
	Forbidden bool
	// Keep is the state that pairs must keep through a disruption, in the place of one that they
	// come to, and Open that they are connections which stay open.
	Keep measure.State
	Open bool
	// Name tells the pairs of a part apart in the results, empty if there are no others.
	Name string
}

// Check reports settings that the scenario cannot be run with, or would ignore.
func (s Scenario) Check(settings setting.Settings) error {
	var protocol, baseline error
	if s.Connections && settings.Protocol != setting.TCP {
		protocol = fmt.Errorf("scenario %s keeps connections open: expected protocol TCP, not %s",
			s.Name, settings.Protocol)
	}
	if settings.Baseline && !s.Baseline {
		baseline = fmt.Errorf("scenario %s ignores baseline: it measures its policies: "+
			"expected %s alone with it", s.Name, podCreation().Name)
	}
	return errors.Join(protocol, baseline, s.checkOwn(settings.Own),
		s.checkEvent(settings))
}

// checkEvent reports what is said of an event where there is none, and none or several where there
// is to be one.
func (s Scenario) checkEvent(settings setting.Settings) error {
	d := settings.Disruption
	events := d.Events()
	switch {
	case !s.Disrupts && (len(events) > 0 || d.PerNode):
		return fmt.Errorf("--event, --restart, --for and --per-node are about scenario %s: "+
			"expected it with them, not %s", DisruptionName, s.Name)
	case s.Disrupts && len(events) != 1:
		return fmt.Errorf("scenario %s watches one thing that happens: expected one of "+
			"--event 'COMMAND', --restart daemonset/NAME and --for DURATION", s.Name)
	case d.Restart != "" && !restartable(d.Restart):
		return fmt.Errorf("--restart %q: expected daemonset/NAME, for example daemonset/cilium",
			d.Restart)
	case d.PerNode && settings.Placement != setting.PlaceAny:
		return fmt.Errorf("--per-node and --placement %s exclude each other: expected one of them",
			settings.Placement)
	}
	return nil
}

func restartable(text string) bool {
	_, ok := setting.ParseRestart(text)
	return ok
}

// checkOwn reports what is said of a change of the user's own where there is none.
func (s Scenario) checkOwn(own setting.Change) error {
	switch {
	case s.Name == CustomName || own == (setting.Change{}):
		return nil
	case own.Policy != "":
		return fmt.Errorf("scenario %s and --policy exclude each other: expected one", s.Name)
	}
	return errors.New("--from, --to and --expect are about --policy: expected it with them, and " +
		"with --to-port, --from-namespace, --to-namespace, --same-namespace, --before, " +
		"--delete and --replace")
}

// FullName is the scenario's name in the results for a part of it.
func (s Scenario) FullName(part Part) string {
	if part.Name == "" {
		return s.Name
	}
	return s.Name + "/" + part.Name
}
