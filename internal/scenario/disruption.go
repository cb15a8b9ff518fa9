// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// DisruptionName is the scenario in which something happens that must change nothing.
const DisruptionName = "disruption"

func disruption() Scenario {
	return Scenario{
		Name: DisruptionName,
		Summary: "Something happens that is no policy change: does it open a hole, or cut " +
			"what is allowed?",
		Detail: "The event is a command (--event), a restart of the network plugin (--restart) " +
			"or nothing for a while\n" +
			"(--for). At one port of the targets pairs must stay allowed, by new connections and " +
			"on open ones;\n" +
			"at the other they must stay blocked.",
		Disrupts: true,
		Groups:   onlyA,
		Setup: func(w Parameters) [][]runtime.Object {
			return layer(append(w.opening(), w.allow("allow", GroupA, Port), w.isolation())...)
		},
		Parts: func(w Parameters) []Part {
			stay := func(name string, port int, keep measure.State, open bool) Expect {
				return Expect{Group: GroupA, Port: port, Keep: keep, Open: open, Name: name}
			}
			part := Part{Opening: w.opening(), Expect: []Expect{
				stay("allowed", Port, measure.StateAllowed, false),
				stay("blocked", OtherPort, measure.StateBlocked, false),
			}}
			if len(part.Opening) > 0 {
				part.Expect = append(part.Expect,
					stay("open-allowed", Port, measure.StateAllowed, true),
					stay("open-blocked", OtherPort, measure.StateBlocked, true))
			}
			return []Part{part}
		},
	}
}

// opening lets connections be made that policy is to forbid then. Only those of TCP answer.
func (w Parameters) opening() []runtime.Object {
	if w.Protocol != setting.TCP {
		return nil
	}
	return []runtime.Object{w.allow("open", GroupA, OtherPort)}
}

// HoldsConnections reports whether the agents keep connections open beside their probes.
func (s Scenario) HoldsConnections(settings setting.Settings) bool {
	return s.Disrupts && settings.Protocol == setting.TCP
}
