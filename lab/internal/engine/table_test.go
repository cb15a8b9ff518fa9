// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// connectionTable is policies of every kind.
func connectionTable() []row {
	return slices.Concat(isolationRows(), selectorRows(), ingressPeerRows(), egressPeerRows(),
		numericPortRows(),
		namedPortRows(), blockRows(), combinationRows(), policyChangeRows(), labelChangeRows(),
		podChangeRows())
}

func list(policies ...*networkingv1.NetworkPolicy) []*networkingv1.NetworkPolicy { return policies }

func isolationRows() []row {
	return []row{
		{name: "deny ingress", sentence: "A policy without rules denies all ingress to the pods " +
			"it selects.",
			policies: list(newPolicy("x", "p", everyPod, isolate(in)))},
		{name: "deny egress", sentence: "A policy of type Egress without rules denies all egress.",
			policies: list(newPolicy("x", "p", everyPod, isolate(out)))},
		{name: "deny both", sentence: "Both types deny both directions, also within the namespace.",
			policies: list(newPolicy("x", "p", everyPod, isolate(in, out)))},
		{name: "default types without egress rules",
			sentence: "Without policyTypes and egress rules only ingress is isolated.",
			policies: list(newPolicy("x", "p", everyPod))},
		{name: "default types with egress rules",
			sentence: "Without policyTypes, egress rules isolate egress too.",
			policies: list(newPolicy("x", "p", with("app", "web"),
				to(peers{podsWith(with("app", "api"))}, nil)))},
		{name: "only egress", sentence: "Ingress rules mean nothing when policyTypes has only " +
			"Egress.",
			policies: list(newPolicy("x", "p", everyPod, isolate(out), from(nil, nil)))},
		{name: "only ingress", sentence: "Egress rules mean nothing when policyTypes has only " +
			"Ingress.",
			policies: list(newPolicy("x", "p", everyPod, isolate(in), to(nil, nil)))},
		{name: "allow all ingress", sentence: "An empty ingress rule allows everything.",
			policies: list(newPolicy("x", "p", everyPod, isolate(in), from(nil, nil)))},
		{name: "allow all egress", sentence: "An empty egress rule allows everything.",
			policies: list(newPolicy("x", "p", everyPod, isolate(out), to(nil, nil)))},
		{name: "empty lists", sentence: "Empty lists of peers and ports mean the same as missing " +
			"ones.",
			policies: list(newPolicy("x", "p", everyPod, isolate(in, out), from(peers{}, ports{}),
				to(peers{}, ports{})))},
		{name: "selects nothing", sentence: "A policy that selects no pod isolates none.",
			policies: list(newPolicy("x", "p", with("app", "none"), isolate(in, out)))},
	}
}

func selectorRows() []row {
	deny := func(s metav1.LabelSelector) []*networkingv1.NetworkPolicy {
		return list(newPolicy("x", "p", s, isolate(in, out)))
	}
	return []row{
		{name: "one label", sentence: "matchLabels selects the pods that have the label.",
			policies: deny(with("app", "web"))},
		{name: "two labels", sentence: "All matchLabels must match.",
			policies: deny(with("app", "web", "tier", "back"))},
		{name: "in", sentence: "In selects pods whose value is in the list.",
			policies: deny(expression("app", metav1.LabelSelectorOpIn, "web", "db"))},
		{name: "not in", sentence: "NotIn selects pods with another value, and those without the " +
			"label.",
			policies: deny(expression("app", metav1.LabelSelectorOpNotIn, "web"))},
		{name: "exists", sentence: "Exists selects pods with any value.",
			policies: deny(expression("tier", metav1.LabelSelectorOpExists))},
		{name: "does not exist", sentence: "DoesNotExist selects pods without the label.",
			policies: deny(expression("tier", metav1.LabelSelectorOpDoesNotExist))},
		{name: "labels and expressions", sentence: "matchLabels and matchExpressions must both " +
			"hold.",
			policies: deny(metav1.LabelSelector{MatchLabels: labelSet("app", "web"),
				MatchExpressions: expression("tier", metav1.LabelSelectorOpIn,
					"front").MatchExpressions})},
	}
}

func ingressPeerRows() []row {
	allow := func(p ...networkingv1.NetworkPolicyPeer) []*networkingv1.NetworkPolicy {
		return list(newPolicy("x", "p", with("app", "web"), isolate(in), from(p, nil)))
	}
	return []row{
		{name: "from pods of the namespace", sentence: "A podSelector alone means pods of the " +
			"policy's namespace.",
			policies: allow(podsWith(with("app", "api")))},
		{name: "from every pod of the namespace",
			sentence: "An empty podSelector means all pods of the policy's namespace.",
			policies: allow(podsWith(everyPod))},
		{name: "from namespaces", sentence: "A namespaceSelector alone means all pods of those " +
			"namespaces.",
			policies: allow(namespacesWith(with("team", "blue")))},
		{name: "from every namespace", sentence: "An empty namespaceSelector means all pods, but " +
			"nothing outside of the cluster.",
			policies: allow(namespacesWith(everyPod))},
		{name: "from a namespace by name", sentence: "The label of a namespace's name selects it.",
			policies: allow(namespacesWith(with("kubernetes.io/metadata.name", "z")))},
		{name: "from namespaces and pods", sentence: "Both selectors in one peer must match.",
			policies: allow(podsIn(with("team", "blue"), with("app", "web")))},
		{name: "from namespaces or pods", sentence: "Two peers with one selector each: either " +
			"may match.",
			policies: allow(namespacesWith(with("env", "dev")), podsWith(with("app", "api")))},
		{name: "from namespaces by expression",
			sentence: "namespaceSelector knows matchExpressions too.",
			policies: allow(namespacesWith(expression("env", metav1.LabelSelectorOpNotIn,
				"prod")))},
		{name: "from pods by expression everywhere",
			sentence: "Pods by expression in all namespaces.",
			policies: allow(podsIn(everyPod, expression("tier", metav1.LabelSelectorOpExists)))},
		{name: "from nobody", sentence: "A peer that selects nothing allows nothing.",
			policies: allow(podsWith(with("app", "none")))},
		{name: "from the pod itself only", sentence: "A peer may be the selected pods themselves.",
			policies: allow(podsWith(with("app", "web")))},
	}
}

func egressPeerRows() []row {
	allow := func(p ...networkingv1.NetworkPolicyPeer) []*networkingv1.NetworkPolicy {
		return list(newPolicy("x", "p", with("app", "web"), isolate(out), to(p, nil)))
	}
	return []row{
		{name: "to pods of the namespace", sentence: "Egress to pods of the policy's namespace.",
			policies: allow(podsWith(with("app", "api")))},
		{name: "to namespaces", sentence: "Egress to namespaces.",
			policies: allow(namespacesWith(with("team", "blue")))},
		{name: "to every namespace", sentence: "Egress to all pods, but not to the node or the " +
			"outside.",
			policies: allow(namespacesWith(everyPod))},
		{name: "to namespaces and pods", sentence: "Egress to some pods of some namespaces.",
			policies: allow(podsIn(with("env", "prod"), with("tier", "back")))},
		{name: "to namespaces or pods", sentence: "Egress to either of two peers.",
			policies: allow(podsWith(with("app", "api")), namespacesWith(with("env", "dev")))},
		{name: "to the node", sentence: "Egress to the node's addresses, through its input hook.",
			policies: allow(block("172.18.0.2/32"), block("fd00:172:18::2/128"))},
		{name: "to nobody", sentence: "A peer that selects nothing allows nothing.",
			policies: allow(namespacesWith(with("team", "none")))},
	}
}

func numericPortRows() []row {
	ingress := func(p ...networkingv1.NetworkPolicyPort) []*networkingv1.NetworkPolicy {
		return list(newPolicy("x", "p", everyPod, isolate(in), from(nil, p)))
	}
	egress := func(p ...networkingv1.NetworkPolicyPort) []*networkingv1.NetworkPolicy {
		return list(newPolicy("x", "p", everyPod, isolate(out), to(nil, p)))
	}
	return []row{
		{name: "tcp port", sentence: "One TCP port, nothing else.", policies: ingress(tcp(80))},
		{name: "udp port", sentence: "One UDP port, nothing else.", policies: ingress(udp(81))},
		{name: "sctp port", sentence: "One SCTP port, nothing else.", policies: ingress(sctp(80))},
		{name: "protocol defaults to tcp", sentence: "A port without a protocol is a TCP port.",
			policies: ingress(withoutProtocol(tcp(81)))},
		{name: "all ports of a protocol", sentence: "A protocol without a port is all its ports.",
			policies: ingress(udp(nil))},
		{name: "several ports", sentence: "Any of the ports may match.",
			policies: ingress(tcp(80), udp(80), sctp(81))},
		{name: "port range", sentence: "endPort makes a range with both ends.",
			policies: ingress(upTo(tcp(80), 81))},
		{name: "range that begins at a port", sentence: "The first port of a range is in it.",
			policies: ingress(upTo(udp(81), 90))},
		{name: "range that ends at a port", sentence: "The last port of a range is in it.",
			policies: ingress(upTo(sctp(1), 80))},
		{name: "range elsewhere", sentence: "A range that holds no probed port allows none.",
			policies: ingress(upTo(tcp(82), 65535))},
		{name: "egress tcp port", sentence: "One TCP port out.", policies: egress(tcp(80))},
		{name: "egress udp and sctp", sentence: "UDP and SCTP ports out.",
			policies: egress(udp(80), sctp(nil))},
		{name: "egress range", sentence: "A range out.", policies: egress(upTo(tcp(81), 1000))},
	}
}

func namedPortRows() []row {
	return []row{
		{name: "named port in", sentence: "A name is the port that the selected pod gives it: 80 " +
			"or 81.",
			policies: list(newPolicy("y", "p", everyPod, isolate(in),
				from(nil, ports{tcp("web")})))},
		{name: "named port that the pod lacks",
			sentence: "A name that the selected pod does not have matches nothing.",
			policies: list(newPolicy("z", "p", everyPod, isolate(in),
				from(nil, ports{tcp("web")})))},
		{name: "named port of another protocol", sentence: "A name belongs to one protocol.",
			policies: list(newPolicy("y", "p", everyPod, isolate(in),
				from(nil, ports{udp("web")})))},
		{name: "named udp port in", sentence: "UDP ports have names too.",
			policies: list(newPolicy("x", "p", everyPod, isolate(in),
				from(peers{namespacesWith(everyPod)}, ports{udp("dns")})))},
		{name: "named port out", sentence: "For egress the name is that of the destination pod.",
			policies: list(newPolicy("x", "p", everyPod, isolate(out),
				to(nil, ports{tcp("web")})))},
		{name: "named port out to some pods",
			sentence: "Name and peer must both match the destination.",
			policies: list(newPolicy("x", "p", everyPod, isolate(out),
				to(peers{namespacesWith(with("team", "blue"))}, ports{tcp("web"), udp("dns")})))},
		{name: "named and numeric ports", sentence: "Names and numbers may stand side by side.",
			policies: list(newPolicy("y", "p", everyPod, isolate(in),
				from(peers{podsIn(everyPod, with("tier", "front"))}, ports{tcp("web"), udp(80)})))},
	}
}

func blockRows() []row {
	ingress := func(p ...networkingv1.NetworkPolicyPeer) []*networkingv1.NetworkPolicy {
		return list(newPolicy("x", "p", everyPod, isolate(in), from(p, nil)))
	}
	return []row{
		{name: "one address", sentence: "A /32 is one address, and says nothing about IPv6.",
			policies: ingress(block("198.51.100.10/32"))},
		{name: "one IPv6 address", sentence: "A /128 is one address, and says nothing about IPv4.",
			policies: ingress(block("2001:db8:100::10/128"))},
		{name: "all of IPv4", sentence: "0.0.0.0/0 is everything, of IPv4.",
			policies: ingress(block("0.0.0.0/0"))},
		{name: "all of IPv6", sentence: "::/0 is everything, of IPv6.",
			policies: ingress(block("::/0"))},
		{name: "pods by address", sentence: "A block holds the pods whose addresses it holds.",
			policies: ingress(block("10.244.2.0/24"))},
		{name: "block with an exception", sentence: "An exception is taken out of the block.",
			policies: ingress(block("10.244.0.0/16", "10.244.2.0/24"))},
		{name: "block with exceptions", sentence: "Several exceptions, one inside of another.",
			policies: ingress(block("0.0.0.0/0", "10.244.3.0/24", "10.244.2.1/32", "10.244.0.0/23",
				"10.244.1.2/32"))},
		{name: "IPv6 block with an exception", sentence: "IPv6 blocks have exceptions too.",
			policies: ingress(block("fd00:10:244::/64", "fd00:10:244::2:0/112"))},
		{name: "everything is an exception", sentence: "A block that is its own exception holds " +
			"nothing.",
			policies: ingress(block("10.244.0.0/16", "10.244.0.0/16"))},
		{name: "exception at the end", sentence: "The last addresses of a block may be the " +
			"exception.",
			policies: ingress(block("10.244.2.0/30", "10.244.2.2/31"))},
		{name: "exception saved by another peer",
			sentence: "An exception only limits its own block.",
			policies: ingress(block("10.244.0.0/16", "10.244.2.0/24"),
				podsIn(with("kubernetes.io/metadata.name", "y"), with("app", "api")))},
		{name: "egress to a block", sentence: "Egress to the outside, but to no pod.",
			policies: list(newPolicy("x", "p", everyPod, isolate(out),
				to(peers{block("0.0.0.0/0", "10.0.0.0/8"), block("2000::/3")}, nil)))},
		{name: "egress to a block's port", sentence: "Block and port must both match.",
			policies: list(newPolicy("x", "p", everyPod, isolate(out),
				to(peers{block("198.51.100.0/24")}, ports{tcp(80), sctp(81)})))},
		{name: "unmasked block", sentence: "Bits behind the prefix do not count.",
			policies: ingress(block("10.244.2.77/24"))},
		{name: "pod in the host's network", sentence: "A selector never means a pod in the " +
			"host's network; its block does.",
			policies: list(newPolicy("x", "p", with("app", "web"), isolate(out),
				to(peers{podsWith(with("tier", "front")), block("fd00:172:18::/64")}, nil)))},
	}
}

func combinationRows() []row {
	return []row{
		{name: "deny and allow", sentence: "Policies add up: what one allows is allowed.",
			policies: list(newPolicy("x", "deny", everyPod, isolate(in)),
				newPolicy("x", "allow", with("app", "web"), isolate(in),
					from(peers{namespacesWith(with("team", "blue"))}, ports{tcp(80)})))},
		{name: "two allows", sentence: "The union of two policies on the same pods.",
			policies: list(newPolicy("x", "one", everyPod, isolate(in), from(nil, ports{tcp(80)})),
				newPolicy("x", "two", with("app", "web"), isolate(in),
					from(peers{podsWith(everyPod)}, nil)))},
		{name: "both ends", sentence: "A connection needs the egress of its source and the " +
			"ingress of its destination.",
			policies: list(newPolicy("x", "out", everyPod, isolate(out),
				to(peers{namespacesWith(with("team", "blue"))}, ports{tcp(80), udp(80)})),
				newPolicy("y", "in", with("app", "web"), isolate(in),
					from(peers{namespacesWith(with("team", "red"))}, ports{tcp(nil)})))},
		{name: "several rules", sentence: "Each rule has its own peers and ports.",
			policies: list(newPolicy("x", "p", everyPod, isolate(in),
				from(peers{podsIn(everyPod, with("app", "web"))}, ports{tcp(80)}),
				from(peers{podsIn(everyPod, with("app", "api"))}, ports{udp(80)}),
				from(peers{block("198.51.100.0/24")}, ports{sctp(80)})))},
		{name: "different policies on every pod",
			sentence: "Pods with different policies do not share a guard.",
			policies: list(newPolicy("x", "all", everyPod, isolate(in)),
				newPolicy("x", "web", with("app", "web"), isolate(in), from(nil, ports{tcp(80)})),
				newPolicy("x", "api", with("app", "api"), isolate(in), from(nil, ports{tcp(81)})),
				newPolicy("x", "back", with("tier", "back"), isolate(out)))},
		{name: "all namespaces", sentence: "Each namespace isolates itself.",
			policies: list(newPolicy("x", "x", everyPod, isolate(in, out),
				from(peers{podsWith(everyPod)}, nil), to(peers{podsWith(everyPod)}, nil)),
				newPolicy("y", "y", everyPod, isolate(in, out),
					from(peers{podsWith(everyPod)}, nil), to(peers{podsWith(everyPod)}, nil)),
				newPolicy("z", "z", everyPod, isolate(in, out),
					from(peers{podsWith(everyPod)}, nil), to(peers{podsWith(everyPod)}, nil)))},
		{name: "client and API server", sentence: "What a test client's namespace looks like: " +
			"DNS and one address out, one port in.",
			policies: list(newPolicy("x", "client", with("app", "web"), isolate(in, out),
				from(nil, ports{tcp("web")}),
				to(nil, ports{udp("dns"), tcp("dns")}),
				to(peers{block("172.18.0.2/32"), block("fd00:172:18::2/128")},
					ports{tcp(81)})))},
	}
}

func policyChangeRows() []row {
	deny := newPolicy("x", "deny", everyPod, isolate(in, out))
	allow := newPolicy("x", "allow", with("app", "web"), isolate(in),
		from(peers{namespacesWith(with("team", "blue"))}, nil))
	change := func(name string, p *networkingv1.NetworkPolicy) step {
		return step{name, func(w *environment) { w.updatePolicy(p) }}
	}
	return []row{
		{name: "policies come and go", sentence: "Each creation and deletion takes effect, in " +
			"any order.", policies: list(deny, allow), steps: []step{
			{"the deny goes", func(w *environment) { w.deletePolicy("deny") }},
			{"the deny comes back", func(w *environment) { w.createPolicy(deny) }},
			{"the allow goes", func(w *environment) { w.deletePolicy("allow") }},
			{"the deny goes too", func(w *environment) { w.deletePolicy("deny") }},
		}},
		{name: "policy update", sentence: "Each part of a policy may change.",
			policies: list(allow), steps: []step{
				change("other peers", newPolicy("x", "allow", with("app", "web"), isolate(in),
					from(peers{podsWith(with("app", "api"))}, nil))),
				change("a port", newPolicy("x", "allow", with("app", "web"), isolate(in),
					from(peers{podsWith(with("app", "api"))}, ports{tcp(80)}))),
				change("a named port", newPolicy("x", "allow", with("app", "web"), isolate(in),
					from(peers{podsWith(with("app", "api"))}, ports{tcp("web")}))),
				change("other pods", newPolicy("x", "allow", with("app", "api"), isolate(in),
					from(peers{podsWith(with("app", "web"))}, ports{tcp(80)}))),
				change("the other direction", newPolicy("x", "allow", with("app", "api"),
					isolate(out),
					to(peers{block("10.244.0.0/16", "10.244.2.0/24")}, nil))),
				change("another exception", newPolicy("x", "allow", with("app", "api"),
					isolate(out),
					to(peers{block("10.244.0.0/16", "10.244.3.0/24")}, nil))),
				change("no rules", newPolicy("x", "allow", with("app", "api"), isolate(out))),
				change("every pod, both directions", newPolicy("x", "allow", everyPod,
					isolate(in, out),
					from(nil, ports{udp(nil)}), to(nil, nil))),
			}},
	}
}

func labelChangeRows() []row {
	allow := newPolicy("x", "allow", with("app", "web"), isolate(in),
		from(peers{podsIn(with("team", "blue"), with("app", "web"))},
			ports{tcp(80), udp(80), sctp(80)}))
	return []row{
		{name: "pod labels", sentence: "Pods become and cease to be selected and to be peers.",
			policies: list(allow), steps: []step{
				{"a selected pod loses its label", func(w *environment) {
					w.labelPod("x/a", labelSet("tier", "front"))
				}},
				{"another pod gains it", func(w *environment) {
					w.labelPod("x/c", labelSet("app", "web"))
				}},
				{"a peer loses its label", func(w *environment) { w.labelPod("y/a", nil) }},
				{"another peer gains it", func(w *environment) {
					w.labelPod("y/b", labelSet("app", "web"))
				}},
			}},
		{name: "namespace labels", sentence: "Namespaces become and cease to be peers.",
			policies: list(allow), steps: []step{
				{"a namespace leaves the team", func(w *environment) {
					w.putNamespace("y", namespaceLabels("y", "red", "prod"))
				}},
				{"another joins it", func(w *environment) {
					w.putNamespace("x", namespaceLabels("x", "blue", "prod"))
				}},
				{"nobody is left", func(w *environment) {
					w.putNamespace("x", namespaceLabels("x", "red", "prod"))
					w.putNamespace("z", namespaceLabels("z", "green", "dev"))
				}},
			}},
	}
}

func podChangeRows() []row {
	allow := newPolicy("x", "allow", everyPod, isolate(in),
		from(peers{podsWith(with("app", "web"))}, nil))
	replacement := func(labels map[string]string) *corev1.Pod {
		p := newPod("x", "c2", labels, 80, podIPs(1, 1))
		p.CreationTimestamp = metav1.Unix(1000, 0)
		return p
	}
	return []row{
		{name: "a pod ends", sentence: "A pod that has ended has no address any more; a pod that " +
			"is deleted has until it is gone.",
			policies: list(allow), steps: []step{
				{"deletion begins", func(w *environment) {
					w.updatePod("x/a", func(p *corev1.Pod) {
						p.DeletionTimestamp = &metav1.Time{Time: metav1.Unix(2000, 0).Time}
						p.Labels = labelSet("app", "web") // the engine has something to report
					})
				}},
				{"it ends", func(w *environment) {
					w.updatePod("x/a", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
				}},
				{"another fails", func(w *environment) {
					w.updatePod("y/a", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
				}},
			}},
		{name: "an address is used again", sentence: "An address belongs to the newest pod that " +
			"has it, with that pod's labels.",
			policies: list(allow), steps: []step{
				{"the old pod is deleted", func(w *environment) { w.deletePod("x/a") }},
				{"a pod without labels follows", func(w *environment) {
					w.createPod(replacement(nil))
				}},
				{"it becomes a peer", func(w *environment) {
					w.labelPod("x/c2", labelSet("app", "web"))
				}},
			}},
		{name: "an address is used too early",
			sentence: "The newer pod has the address although the older is still there.",
			policies: list(allow), steps: []step{
				{"the new pod comes", func(w *environment) { w.createPod(replacement(nil)) }},
				{"the new pod goes first", func(w *environment) { w.deletePod("x/c2") }},
			}},
	}
}
