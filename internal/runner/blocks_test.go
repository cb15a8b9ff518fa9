// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// TestDoubtBlocks has parts end in which nothing opened in time: why that may be is said where
// their policies name pods by addresses, and what to do about it.
func TestDoubtBlocks(t *testing.T) {
	opened := func(status measure.Status) measure.Sample {
		return measure.Sample{Want: measure.StateAllowed, Status: status}
	}
	closed := measure.Sample{Want: measure.StateBlocked, Status: measure.Measured}
	never := measure.Sample{Kind: measure.KindBlocked, Status: measure.Measured}
	tests := []struct {
		name, scenario, part, peer string
		samples                    []measure.Sample
		want                       string
	}{
		{"blocks that hold no pods", "policy-update", "peer", setting.PeerPod,
			[]measure.Sample{opened(measure.Censored), closed, never},
			"policy-update/peer: no pair was allowed in time by the addresses of pods: the " +
				"address blocks of some network plugins, Cilium's among them, hold no pods: " +
				"--skip policy-update/peer leaves it out"},
		{"a slow network", "policy-update", "peer", setting.PeerPod,
			[]measure.Sample{opened(measure.Censored), opened(measure.Measured)}, ""},
		{"selectors of pods", "policy-update", "selector", setting.PeerPod,
			[]measure.Sample{opened(measure.Censored)}, ""},
		{"blocks that were asked for", "policy-creation", "", setting.PeerBlock,
			[]measure.Sample{opened(measure.Censored)}, "measure it with peers that are selectors"},
		{"selectors beside isolation", "policy-creation", "", setting.PeerPod,
			[]measure.Sample{opened(measure.Censored)}, ""},
		{"nothing opens", "policy-deny", "", setting.PeerBlock, []measure.Sample{closed}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := scenario.Find(test.scenario)
			if err != nil {
				t.Fatal(err)
			}
			options := DefaultOptions()
			options.Peer = test.peer
			servers := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:6443")}
			e := newEnvironment(options, s, nil, servers, nil)
			e.collector = newCollector(kube.Namespace{}, setting.ClockAuto)
			parts := s.Parts(e.parameters)
			at := slices.IndexFunc(parts, func(p scenario.Part) bool { return p.Name == test.part })

			e.newIteration(parts[at]).doubtBlocks(test.samples)
			said := strings.Join(e.warnings(), "; ")
			if !strings.Contains(said, test.want) || (said == "") != (test.want == "") {
				t.Errorf("it says %q; want %q", said, test.want)
			}
		})
	}
}
