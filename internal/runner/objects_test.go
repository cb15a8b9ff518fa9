// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import "testing"

// Who names one image means all pods: the targets are of the agents' image, and told to serve,
// unless they have one of their own, which serves by itself.
func TestImageOfTargets(t *testing.T) {
	for name, test := range map[string]struct {
		agents, targets string
		want            string
		serves          bool
	}{
		"default":         {agents: DefaultImage, want: DefaultImage, serves: true},
		"one image":       {agents: "registry.example/a", want: "registry.example/a", serves: true},
		"the same twice":  {agents: "a", targets: "a", want: "a", serves: true},
		"another":         {agents: DefaultImage, targets: "nginx", want: "nginx"},
		"the default one": {agents: "a", targets: DefaultImage, want: DefaultImage},
	} {
		t.Run(name, func(t *testing.T) {
			options := DefaultOptions()
			options.AgentImage = test.agents
			if test.targets != "" {
				options.TargetImage = test.targets
			}
			container := (&environment{options: options}).targetSpec().Containers[0]
			if container.Image != test.want || (len(container.Args) > 0) != test.serves {
				t.Errorf("targets are of %q with the arguments %q; want %q, told to serve: %v",
					container.Image, container.Args, test.want, test.serves)
			}
		})
	}
}
