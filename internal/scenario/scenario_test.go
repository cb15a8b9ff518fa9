// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// allParameters are all the ways in which policies can be written.
func allParameters() []Parameters {
	var all []Parameters
	for _, direction := range []string{setting.Egress, setting.Ingress} {
		for _, peer := range []string{setting.PeerPod, setting.PeerNamespace, setting.PeerBlock,
			setting.PeerBlockExcept} {
			for _, port := range []string{setting.PortNumber, setting.PortByName,
				setting.PortRange} {
				w := Parameters{
					Settings:       setting.All().Defaults(),
					AgentNamespace: "agents", TargetNamespace: "targets", From: RoleAgent,
					AgentPods: []string{"agent-0"},
					APIServers: []netip.AddrPort{netip.MustParseAddrPort("172.18.0.1:6443"),
						netip.MustParseAddrPort("[fd00::1]:6443")},
					Addresses: map[string][]netip.Addr{"": {netip.MustParseAddr("10.0.0.9")},
						GroupA: {netip.MustParseAddr("10.0.0.1")}},
				}
				w.Direction, w.Peer, w.Port = direction, peer, port
				all = append(all, w)
			}
		}
	}
	return all
}

// policies are all policies that a scenario writes.
func policies(w Parameters, s Scenario) []*networkingv1.NetworkPolicy {
	objects := slices.Concat(s.Setup(w)...)
	for _, part := range s.Parts(w) {
		objects = append(objects, part.Change.Apply...)
	}
	var all []*networkingv1.NetworkPolicy
	for _, object := range objects {
		if policy, ok := object.(*networkingv1.NetworkPolicy); ok {
			all = append(all, policy)
		}
	}
	return all
}

// TestPolicies looks at every policy of every scenario: it is on the side that was asked for, names
// its peers, since no peer would be every peer, and leaves the agents their way to the API server.
func TestPolicies(t *testing.T) {
	for _, w := range allParameters() {
		for _, s := range All() {
			for _, policy := range policies(w, s) {
				checkPolicy(t, w, s.Name, policy)
			}
		}
	}
}

func checkPolicy(t *testing.T, w Parameters, name string, policy *networkingv1.NetworkPolicy) {
	t.Helper()
	if len(policy.Spec.PolicyTypes) != 1 || !strings.EqualFold(string(policy.Spec.PolicyTypes[0]),
		w.Direction) {
		t.Errorf("%s, %s: policy %s is of %v; want %s", name, w.Peer, policy.Name,
			policy.Spec.PolicyTypes, w.Direction)
	}
	for _, rule := range policy.Spec.Egress {
		if len(rule.To) == 0 || len(rule.Ports) == 0 {
			t.Errorf("%s, %s: policy %s has a rule without peers or ports, which allows all", name,
				w.Peer, policy.Name)
		}
	}
	for _, rule := range policy.Spec.Ingress {
		if len(rule.From) == 0 || len(rule.Ports) == 0 {
			t.Errorf("%s, %s: policy %s has a rule without peers or ports, which allows all", name,
				w.Peer, policy.Name)
		}
	}
	if policy.Name == "isolate" && w.Direction == setting.Egress &&
		len(policy.Spec.Egress) != len(w.APIServers) {
		t.Errorf("%s: isolation leaves %d ways to %d API servers", name, len(policy.Spec.Egress),
			len(w.APIServers))
	}
}

// TestSkip leaves out the part that can be, which is one of the scenario's, and nothing else.
func TestSkip(t *testing.T) {
	s, err := Find("policy-update")
	if err != nil {
		t.Fatal(err)
	}
	names := func(skip string) []string {
		var all []string
		for _, part := range s.Parts(Parameters{Settings: setting.Settings{Skip: skip}}) {
			all = append(all, s.FullName(part))
		}
		return all
	}
	whole, rest := names(""), names(setting.SkipPeer)
	if !slices.Equal(append(rest, setting.SkipPeer), whole) {
		t.Errorf("the parts are %q, and %q without %s", whole, rest, setting.SkipPeer)
	}
}

// TestCatalog checks that everything in it explains itself, and can be found.
func TestCatalog(t *testing.T) {
	for _, s := range All() {
		if s.Summary == "" || s.Detail == "" || s.Setup == nil || s.Parts == nil ||
			s.Groups == nil {
			t.Errorf("scenario %s is not complete", s.Name)
		}
		if found, err := Find(s.Name); err != nil || found.Name != s.Name {
			t.Errorf("scenario %s is not found: %v", s.Name, err)
		}
		for _, line := range strings.Split(s.Summary+"\n"+s.Detail, "\n") {
			if len(line) > 110 {
				t.Errorf("scenario %s: a line of %d characters", s.Name, len(line))
			}
		}
	}
	if _, err := Find("policy-magic"); err == nil || !strings.Contains(err.Error(), "policy-deny") {
		t.Errorf("the error for an unknown scenario is %v; want one that lists the known", err)
	}
	for _, name := range Defaults() {
		if _, err := Find(name); err != nil {
			t.Error(err)
		}
	}
}

// TestCheck finds what a scenario cannot be run with, or would ignore.
func TestCheck(t *testing.T) {
	tests := []struct {
		name, scenario string
		change         func(*setting.Settings)
		want           string
	}{
		{"the defaults", "established", func(*setting.Settings) {}, ""},
		{"a connection of datagrams", "established", func(s *setting.Settings) {
			s.Protocol = setting.UDP
		}, "expected protocol TCP"},
		{"new datagrams", "policy-deny", func(s *setting.Settings) {
			s.Protocol = setting.UDP
		}, ""},
		{"a baseline", "pod-creation", func(s *setting.Settings) { s.Baseline = true }, ""},
		{"a baseline without a meaning", "policy-deny", func(s *setting.Settings) {
			s.Baseline = true
		}, "expected pod-creation alone"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found, err := Find(test.scenario)
			if err != nil {
				t.Fatal(err)
			}
			settings := setting.All().Defaults()
			test.change(&settings)

			err = found.Check(settings)
			if (err == nil) != (test.want == "") || err != nil &&
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("Check() = %v; want %q", err, test.want)
			}
		})
	}
}

// TestNamesPodsByAddress tells policies with blocks of pods from isolation, which has the API
// server's addresses, by what they say, whatever they are called.
func TestNamesPodsByAddress(t *testing.T) {
	w := Parameters{
		APIServers: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:6443")},
		Addresses:  map[string][]netip.Addr{GroupA: {netip.MustParseAddr("10.0.0.9")}},
	}
	w.Direction, w.Peer = setting.Egress, setting.PeerBlock
	named := w.allow("isolate", GroupA, Port)
	for name, test := range map[string]struct {
		policy *networkingv1.NetworkPolicy
		want   bool
	}{
		"isolation":                         {w.isolation(), false},
		"selectors":                         {w.byPods().allow("allow", GroupA, Port), false},
		"blocks":                            {w.allow("allow", GroupA, Port), true},
		"blocks under isolation's own name": {named, true},
	} {
		if got := w.NamesPodsByAddress([]runtime.Object{test.policy}); got != test.want {
			t.Errorf("%s: it names pods by their addresses: %t; want %t", name, got, test.want)
		}
	}
}
