// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlan(t *testing.T) {
	plan := Plan{
		Iteration: 7, Step: StepTrigger, Scenario: "pod-label/in", IPv6: true, Ping: 3,
		Expect: []Expect{
			{Group: "a", Port: 8080, Want: "allowed"},
			{Group: "b", Port: 8080, Forbidden: true, Part: "other"},
		},
	}
	got, err := ParsePlan(plan.String())
	if err != nil {
		t.Fatal(err)
	}
	plan.Protocol = Version
	if diff := cmp.Diff(plan, got); diff != "" {
		t.Errorf("the plan comes back with a difference (-want +got):\n%s", diff)
	}
	if name := plan.Expect[1].Name("x"); name != "x/other" {
		t.Errorf("the name is %q; want x/other", name)
	}
}

func TestParsePlanMistakes(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"what is no plan", "{", "read the plan: unexpected end of JSON input"},
		{
			"a runner from before there were versions", `{"round":1,"step":"prove"}`,
			"read the plan: the runner speaks protocol version 0, expected version 2",
		},
		{
			"a runner that is newer", `{"protocol":3,"round":1,"step":"prove"}`,
			"read the plan: the runner speaks protocol version 3, expected version 2",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParsePlan(test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v; want %q", err, test.want)
			}
			var version VersionError
			if isVersion := strings.Contains(test.want, "version"); errors.As(err,
				&version) != isVersion {
				t.Errorf("the error %v is a VersionError: %t; want %t", err, !isVersion, isVersion)
			}
		})
	}
}

// Lines are numbered, begin alike, and say the version that they are of.
func TestLines(t *testing.T) {
	var output bytes.Buffer
	lines := NewLines(&output)
	for _, line := range []Line{
		{Hello: &Hello{Agent: 2, Mode: "connect"}},
		{Sample: []byte(`{"schema":1}`)},
		{Finished: &Finished{Iteration: 1, Samples: 1}},
	} {
		if err := lines.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	const want = `{"seq":1,"hello":{"protocol":2,"agent":2,"mode":"connect"}}
{"seq":2,"sample":{"schema":1}}
{"seq":3,"round":{"round":1,"samples":1}}
`
	if diff := cmp.Diff(want, output.String()); diff != "" {
		t.Errorf("the lines differ (-want +got):\n%s", diff)
	}
	for line := range strings.Lines(output.String()) {
		if !strings.HasPrefix(line, LinePrefix) {
			t.Errorf("the line %s does not begin with %s", line, LinePrefix)
		}
	}
}
