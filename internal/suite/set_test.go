// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func TestSet(t *testing.T) {
	tests := []struct {
		name        string
		assignments []string
		change      func(s *Suite)
	}{
		{"nothing", nil, func(*Suite) {}},
		{"all runs", []string{"targets=50"}, func(s *Suite) {
			s.Runs[0].Settings.Targets, s.Runs[1].Settings.Targets = 50, 50
		}},
		{"one run", []string{"runs[1].timeout=5s"}, func(s *Suite) {
			s.Runs[1].Settings.Timeout = 5 * time.Second
		}},
		{"the runs of a scenario", []string{"policy-creation.baseline=false"}, func(s *Suite) {
			s.Runs[0].Settings.Baseline = false
		}},
		{"the last one wins", []string{"runs[0].agents=7", "agents=8", "policy-update.agents=9"},
			func(s *Suite) {
				s.Runs[0].Settings.Agents, s.Runs[1].Settings.Agents = 8, 9
			}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, want := full(), full()
			test.change(&want)
			if err := Set(&got, setting.All(), test.assignments); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, whole); diff != "" {
				t.Errorf("suite (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSetMistakes makes one assignment of each kind that is wrong after one that is right: all the
// wrong ones are reported, and none is carried out.
func TestSetMistakes(t *testing.T) {
	wrong := map[string]string{
		"targets":            "expected KEY=VALUE",
		"targets=":           `targets "": expected a whole number`,
		"targets=many":       `targets "many": expected a whole number`,
		"family=IPv5":        `family "IPv5": expected one of IPv4, IPv6`,
		"target=5":           `unknown key "target": expected one of direction, family`,
		"scenario=x":         `unknown key "scenario"`,
		"=5":                 `unknown key ""`,
		"runs[2].targets=5":  "there is no runs[2]: expected runs[0] to runs[1]",
		"runs[-1].targets=5": "there is no runs[-1]",
		"runs[].targets=5":   "there is no runs[]",
		"policy-creaton.targets=5": `no run is of scenario ` +
			`"policy-creaton": expected one of ` +
			`policy-creation, policy-update, or runs[0] for the first run; did you mean ` +
			`policy-creation?`,
		"runs.targets=5":      `no run is of scenario "runs": expected one of policy-creation, policy-update, or runs[0]`,
		"policy-deny.agents=": `no run is of scenario "policy-deny"`,
		".targets=5":          `no run is of scenario ""`,
	}
	assignments := []string{"targets=50"}
	for text := range wrong {
		assignments = append(assignments, text)
	}
	suite := full()
	err := Set(&suite, setting.All(), assignments)
	if err == nil {
		t.Fatal("Set() = nil")
	}
	if diff := cmp.Diff(full(), suite, whole); diff != "" {
		t.Errorf("suite (-before +after):\n%s", diff)
	}
	for text, want := range wrong {
		if want = `assignment "` + text + `": ` + want; !strings.Contains(err.Error(), want) {
			t.Errorf("Set() does not say %s, but\n%v", want, err)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != len(wrong) {
		t.Errorf("Set() says %d lines; want %d:\n%v", got, len(wrong), err)
	}
}
