// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// field is a setting of a run: how its text is read.
type field struct {
	key string
	// want says what the value is to be.
	want string
	// set takes over the text, and reports whether it is one that is wanted.
	set func(run *Run, text string) bool
}

// settings are all fields but the scenario: those which can have a default.
func settings() []field {
	return []field{
		choice("direction", func(r *Run) *string { return &r.Direction }, "egress", "ingress"),
		choice("family", func(r *Run) *string { return &r.Family }, "IPv4", "IPv6"),
		choice("peer", func(r *Run) *string { return &r.Peer },
			"podSelector", "namespaceSelector", "ipBlock", "ipBlockExcept"),
		choice("port", func(r *Run) *string { return &r.Port }, "number", "name", "range"),
		choice("protocol", func(r *Run) *string { return &r.Protocol }, "TCP", "UDP"),
		number("targets", func(r *Run) *int { return &r.Targets }),
		number("agents", func(r *Run) *int { return &r.Agents }),
		number("repeat", func(r *Run) *int { return &r.Repeat }),
		timeout(),
		choice("placement", func(r *Run) *string { return &r.Placement }, "any", "same-node", "other-node"),
		baseline(),
	}
}

// scenario is the one field that each run must have.
func scenario(known []string) field {
	return choice("scenario", func(r *Run) *string { return &r.Scenario }, known...)
}

// choice is one of a few words. A wrong one is kept, so that what refers to it is not wrong too.
func choice(key string, of func(*Run) *string, known ...string) field {
	return field{key, "one of " + strings.Join(known, ", "), func(run *Run, text string) bool {
		*of(run) = text
		return slices.Contains(known, text)
	}}
}

// number is a number of something, of which there is at least one: zero would look as if nothing had been said.
func number(key string, of func(*Run) *int) field {
	return field{key, "a whole number of 1 or more, for example 20", func(run *Run, text string) bool {
		n, err := strconv.Atoi(text)
		*of(run) = n
		return err == nil && n > 0
	}}
}

func timeout() field {
	return field{"timeout", "a duration with a unit, for example 1m30s", func(run *Run, text string) bool {
		d, err := time.ParseDuration(text)
		run.Timeout = d
		return err == nil && d > 0
	}}
}

func baseline() field {
	return field{"baseline", "true or false", func(run *Run, text string) bool {
		run.Baseline = text == "true"
		return text == "true" || text == "false"
	}}
}

// read takes the value of the field over into the run. A value is its text, in quotes or not.
func (f field) read(run *Run, value *yaml.Node) error {
	value = resolved(value)
	switch {
	case value.Kind != yaml.ScalarNode:
		return fmt.Errorf("%s is %s: expected %s", f.key, kindName(value.Kind), f.want)
	case !f.set(run, value.Value):
		return fmt.Errorf("%s %q: expected %s", f.key, value.Value, f.want)
	}
	return nil
}

// keys are the names of the fields.
func keys(fields []field) []string {
	var all []string
	for _, one := range fields {
		all = append(all, one.key)
	}
	return all
}
