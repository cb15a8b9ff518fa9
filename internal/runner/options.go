// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// The placements of targets.
const (
	PlaceAny   = "any"
	PlaceSame  = "same-node"
	PlaceOther = "other-node"
)

// DefaultImage is the image of the project: the same program is an agent and a target.
const DefaultImage = "netpol-latency/netpol-latency:latest"

// Options say how scenarios are carried out.
type Options struct {
	scenario.Settings
	// RunID is part of the names of everything that is created, and Number that of the scenario in its run.
	RunID  string
	Number int
	// Targets is the number of target pods of a group, Agents that of the pods that probe them.
	Targets, Agents int
	// Repeat is how often each scenario is played.
	Repeat int
	// Timeout is how long a trigger may take to show on all pairs; Patience how long everything else may
	// take: pods to come up, the old state to be proved, agents to report.
	Timeout, Patience time.Duration
	// Placement is where targets are, relative to the agents.
	Placement string
	// AgentImage and TargetImage are container images. Without a target image, targets are of the agents' image,
	// which is told to serve; any other serves the ports by itself.
	AgentImage, TargetImage string
	// AgentArgs are further arguments of the agents: how to probe.
	AgentArgs []string
	// Probe is the agents' probe mode, empty for the one that suits the protocol.
	Probe string
	// Watch is how long a pod that starts probes what it must not reach.
	Watch time.Duration
	// CreateRate is how many pods a second are created by scenarios that create pods; ChurnFor, if it is not
	// zero, for how long, and then each is deleted when it has a result.
	CreateRate float64
	ChurnFor   time.Duration
	// BackgroundPolicies is a number of policies that are there besides, and BackgroundRate how often one of
	// them is changed, per second.
	BackgroundPolicies int
	BackgroundRate     float64
	// Clock is auto, or exchange to measure the difference of the clocks even where there can be none.
	Clock string
	// Keep leaves everything in place at the end.
	Keep bool
	// Trigger is a user's own change, in place of a scenario's.
	Trigger *scenario.Trigger
}

// DefaultOptions are the options of a run that says nothing.
func DefaultOptions() Options {
	return Options{
		Settings: scenario.DefaultSettings(), Targets: 20, Agents: 1, Repeat: 1, Timeout: time.Minute,
		Patience: 2 * time.Minute, Placement: PlaceAny, AgentImage: DefaultImage,
		Watch: time.Second, CreateRate: 100, Clock: clockAuto,
	}
}

// Setting says in what the options differ from the default way of running a scenario; empty if in nothing.
func (o Options) Setting() string {
	plain := DefaultOptions()
	var all []string
	for _, one := range []struct{ value, usual string }{
		{o.Direction, plain.Direction}, {o.Family, plain.Family}, {o.Protocol, plain.Protocol}, {o.Peer, plain.Peer},
		{"port by " + o.Port, "port by " + plain.Port}, {o.Placement, plain.Placement},
		{fmt.Sprintf("%d targets", o.Targets), fmt.Sprintf("%d targets", plain.Targets)},
		{fmt.Sprintf("%d agents", o.Agents), fmt.Sprintf("%d agents", plain.Agents)},
	} {
		if one.value != one.usual {
			all = append(all, one.value)
		}
	}
	if o.Baseline {
		all = append(all, "baseline")
	}
	return strings.Join(all, ", ")
}

// mostTargets is the largest number of targets: what one agent's memory and one list of pods can bear.
const mostTargets = 10_000

// Validate reports every mistake at once.
func (o Options) Validate() error {
	return errors.Join(
		o.Settings.Validate(), o.name(),
		within("targets", o.Targets, 1, mostTargets), within("agents", o.Agents, 1, 1000), within("repeat", o.Repeat, 1, 100_000),
		positive("timeout", o.Timeout), positive("patience", o.Patience),
		scenario.OneOf("placement", o.Placement, PlaceAny, PlaceSame, PlaceOther),
		scenario.OneOf("clock", o.Clock, clockAuto, clockExchange),
		o.load(),
	)
}

// Mode is the agents' probe mode in a scenario.
func (o Options) Mode(s scenario.Scenario) string {
	switch {
	case s.Connections:
		return "established"
	case o.Probe != "":
		return o.Probe
	case o.Protocol == string(corev1.ProtocolUDP):
		return "udp"
	}
	return "connect"
}

// name checks the run's ID, which is a part of names of namespaces.
func (o Options) name() error {
	const longest = 20
	if problems := validation.IsDNS1123Label(o.RunID); len(problems) > 0 || len(o.RunID) > longest {
		return fmt.Errorf("run ID %q: expected at most %d lower case letters, digits and dashes", o.RunID, longest)
	}
	return nil
}

func (o Options) load() error {
	if o.CreateRate <= 0 || o.BackgroundRate < 0 || o.BackgroundPolicies < 0 || o.ChurnFor < 0 {
		return errors.New("a rate, a number or a duration of the load is below zero: expected more")
	}
	if o.BackgroundRate > 0 && o.BackgroundPolicies == 0 {
		return errors.New("--background-qps changes background policies: expected --background-policies of 1 or more with it")
	}
	return nil
}

func within(what string, value, least, most int) error {
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("%d %s: expected %d to %d", value, what, least, most)
}

func positive(what string, value time.Duration) error {
	if value > 0 {
		return nil
	}
	return fmt.Errorf("%s %s: expected more than 0, for example 1m", what, value)
}
