// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"encoding/json"
	"fmt"
)

// Step is what a plan asks of the agents.
type Step string

// The steps of an iteration, in order.
const (
	// StepIdle: nothing is probed.
	StepIdle Step = "idle"
	// StepProve: the pairs are probed, so that the state before the trigger is known.
	StepProve Step = "prove"
	// StepTrigger: the trigger is about to be written.
	StepTrigger Step = "trigger"
	// StepFinish: whatever has no result is to end now.
	StepFinish Step = "finish"
	// StepExit: there is no further iteration.
	StepExit Step = "exit"
)

// PlanName is the config map that holds a plan, under the key of the same name.
const PlanName = "plan"

// GroupLabel is the label of target pods that says which expectation of a plan is about them.
const GroupLabel = "netpol-latency/group"

// AgentLabel is the label of target pods with the number of the agent that probes them: each agent
// watches its own share, so that the API server sends every pod to one of them.
const AgentLabel = "netpol-latency/agent"

// Plan is what a runner wants its agents to do. It reaches them through the API server, so that it
// does not depend on the network that is measured. The newest plan counts.
type Plan struct {
	// Protocol is the runner's version of the protocol.
	Protocol int `json:"protocol"`
	// Iteration numbers the changes that are measured. Pairs and results belong to one.
	Iteration int  `json:"round"`
	Step      Step `json:"step"`
	// Scenario names what the iteration measures, in the samples.
	Scenario string `json:"scenario,omitempty"`
	// Expect says what is to become of which pairs.
	Expect []Expect `json:"expect,omitempty"`
	// NewPods are pairs of pods that come after the trigger; else pods that are there before it.
	NewPods bool `json:"newPods,omitempty"`
	// IPv6 chooses the targets' addresses.
	IPv6 bool `json:"ipv6,omitempty"`
	// Changes are the objects that the trigger will write, where agents may read them to find out
	// when the API has accepted it.
	Changes []Object `json:"changes,omitempty"`
	// Share is among how many agents the budget of a node's connection tracking table is shared: no
	// node has entries of more than so many agents' probes. From runners that say nothing it is 0.
	Share int `json:"share,omitempty"`
	// Left is how many entries the agents of earlier scenarios may have left in such a table.
	Left int `json:"left,omitempty"`
	// Egress says that policies are of the agents' egress: what they forbid is dropped on the node
	// of the agent that sends it.
	Egress bool `json:"egress,omitempty"`
	// Ping is answered with the time of its arrival, once the agent does what the plan says.
	Ping int `json:"ping,omitempty"`
}

// Object is where the API serves an object. The namespace of one of the cluster is empty.
type Object struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Expect is what is to become of the pairs of one group of targets.
type Expect struct {
	Group string `json:"group"`
	Port  int    `json:"port"`
	// Want is allowed or blocked: the state that the trigger brings about. Forbidden pairs are
	// blocked and stay so: every reply of theirs is a leak.
	Want      string `json:"want"`
	Forbidden bool   `json:"forbidden,omitempty"`
	// Keep is the state that the pairs must keep, allowed or blocked, while something happens that
	// must not change it: they are watched for that from the trigger on. Open is that they are
	// connections which stay open.
	Keep string `json:"keep,omitempty"`
	Open bool   `json:"open,omitempty"`
	// Part is appended to the scenario's name in the samples of this group.
	Part string `json:"part,omitempty"`
}

// Name is the scenario's name in the samples of these pairs.
func (e Expect) Name(scenario string) string {
	if e.Part == "" {
		return scenario
	}
	return scenario + "/" + e.Part
}

// ParsePlan reads a plan. One of another version of the protocol is a [VersionError].
func ParsePlan(text string) (Plan, error) {
	var plan Plan
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return Plan{}, fmt.Errorf("read the plan: %w", err)
	}
	if err := CheckVersion("the runner", plan.Protocol); err != nil {
		return Plan{}, fmt.Errorf("read the plan: %w", err)
	}
	return plan, nil
}

// String is the plan as ParsePlan reads it.
func (p Plan) String() string {
	p.Protocol = Version
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // nothing in it can fail to be encoded
	}
	return string(text)
}
