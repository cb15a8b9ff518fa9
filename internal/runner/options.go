// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netpol-latency/netpol-latency/internal/overlay"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// DefaultImage is the image of the project: the same program is an agent and a target.
const DefaultImage = "netpol-latency/netpol-latency:latest"

// Options say how scenarios are carried out.
type Options struct {
	setting.Settings
	// Label says in what the settings differ from the defaults, in the samples.
	Label string
	// RunID is part of the names of everything that is created, and Number that of the scenario in
	// its run.
	RunID  string
	Number int
	// AgentImage and TargetImage are container images. Without a target image, targets are of the
	// agents' image, which is told to serve; any other serves the ports by itself.
	AgentImage, TargetImage string
	// AgentNamespace and TargetNamespace are namespaces that are there already, empty for new ones
	// of the run's own. Where only the first is named everything is in it.
	AgentNamespace, TargetNamespace string
	// Check looks at every pair once more after the last iteration.
	Check bool
	// Keep leaves everything in place at the end.
	Keep bool
	// Overlay is laid over everything that is created.
	Overlay overlay.Overlay
	// Trigger is a user's own change, in place of a scenario's.
	Trigger *scenario.Trigger
}

// DefaultOptions are the options of a run that says nothing.
func DefaultOptions() Options {
	return Options{Settings: setting.All().Defaults(), AgentImage: DefaultImage}
}

// Validate reports everything in which the options are wrong, or do not fit the scenario.
func (o Options) Validate(s scenario.Scenario) error {
	var none error
	if s.Kind == scenario.Created && o.created() < 1 {
		none = fmt.Errorf("--churn %g for --churn-duration %s creates no pod: expected more of one",
			o.CreateRate, o.ChurnFor)
	}
	return errors.Join(o.Settings.Validate(), s.Check(o.Settings), o.validateGuest(s), none)
}

// ValidateRunID checks the run's ID, which is a part of names of namespaces.
func ValidateRunID(id string) error {
	const longest = 20
	if problems := validation.IsDNS1123Label(id); len(problems) > 0 || len(id) > longest {
		return fmt.Errorf("run ID %q: expected at most %d lower case letters, digits and dashes",
			id, longest)
	}
	return nil
}

// Mode is the agents' probe mode in a scenario.
func (o Options) Mode(s scenario.Scenario) string {
	if s.Connections {
		return setting.ProbeEstablished
	}
	return cmp.Or(o.Probe, o.UsualProbe())
}

// Probing are the arguments of the agents that say how to probe.
func (o Options) Probing(s scenario.Scenario) []string {
	all := []string{"--probe=" + o.Mode(s)}
	for _, field := range setting.All().ForAgents() {
		all = append(all, "--"+field.Name+"="+field.Text(o.Settings))
	}
	return all
}
