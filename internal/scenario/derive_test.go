// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// decode reads documents; of their kinds those of whole clusters are known.
func decode(t testing.TB, text string) []Object {
	t.Helper()
	var all []Object
	for document := range strings.SplitSeq(text, "\n---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		one := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &one.Object); err != nil {
			t.Fatalf("decode %s: %v", document, err)
		}
		namespaced := !slices.Contains([]string{"Namespace", "ClusterRole",
			"ClusterNetworkPolicy"}, one.GetKind())
		all = append(all, Object{one, namespaced})
	}
	return all
}

// policy is a NetworkPolicy in the short way of writing.
func policyYAML(metadata, spec string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {" + metadata +
		"}\nspec: " + spec + "\n"
}

// giving are settings as somebody gives them: "direction=ingress".
func giving(t testing.TB, all ...string) setting.Settings {
	t.Helper()
	s := setting.All().Defaults()
	for _, text := range all {
		name, value, _ := strings.Cut(text, "=")
		field, err := setting.All().Find(name)
		if err == nil {
			err = field.Parse(&s, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// facts are those of a cluster whose pods are in 10.244.0.0/24.
func facts() Facts {
	return Facts{
		Pods: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/24")},
		Labels: func(t Trigger) Labels {
			pods := func(role string, own map[string]string) map[string]string {
				return labels.Merge(labels.Set{RoleLabel: role, GroupLabel: GroupA,
					"app.kubernetes.io/part-of": "netpol-latency"}, own)
			}
			return Labels{
				Agents:          pods(RoleAgent, t.Agents.Labels),
				Targets:         pods(RoleTarget, t.Targets.Labels),
				AgentNamespace:  t.Agents.NamespaceLabels,
				TargetNamespace: t.Targets.NamespaceLabels,
			}
		},
	}
}

// derivedTest is a file with what is to be read off it.
type derivedTest struct {
	name, policy string
	given        []string
	before       string
	replace      string
	// want is what the label says, and where the files' namespaces are.
	want   string
	places map[string]Place
	// isolated says whether isolation is in force before.
	isolated bool
}

const (
	denyIngress = `{podSelector: {}, policyTypes: [Ingress]}`
	fromWeb     = `{podSelector: {matchLabels: {app: api}}, ` +
		`ingress: [{from: [{podSelector: {matchLabels: {tier: web}}}]}]}`
)

func derivedTests() []derivedTest {
	shop, none := "name: p, namespace: shop", "name: p"
	return []derivedTest{
		{
			name: "a peer that is a podSelector alone", policy: policyYAML(shop, fromWeb),
			want:   "ingress, from tier=web, to app=api, expect allowed, same namespace",
			places: map[string]Place{"shop": AtTargets}, isolated: true,
		},
		{
			name: "default deny without a namespace", policy: policyYAML(none, denyIngress),
			want: "ingress, expect blocked", places: map[string]Place{"": AtTargets},
		},
		{
			name:   "default deny of both directions",
			policy: policyYAML(none, `{podSelector: {}, policyTypes: [Ingress, Egress]}`),
			want:   "ingress, expect blocked", places: map[string]Place{"": AtTargets},
		},
		{
			name:   "default deny of egress",
			policy: policyYAML(none, `{podSelector: {}, policyTypes: [Egress]}`),
			want:   "expect blocked", places: map[string]Place{"": AtAgents},
		},
		{
			name:   "nothing but a selector, which denies ingress",
			policy: policyYAML(none, `{podSelector: {matchLabels: {app: web}}}`),
			want:   "ingress, to app=web, expect blocked", places: map[string]Place{"": AtTargets},
		},
		{
			name:   "everybody may come",
			policy: policyYAML(none, `{podSelector: {matchLabels: {app: web}}, ingress: [{}]}`),
			want:   "ingress, to app=web, expect allowed", places: map[string]Place{"": AtTargets},
			isolated: true,
		},
		{
			name: "a namespace by its name",
			policy: policyYAML(shop, `{podSelector: {}, ingress: [{from: [{namespaceSelector: `+
				`{matchLabels: {kubernetes.io/metadata.name: monitoring}}}], `+
				`ports: [{port: 9090}]}]}`),
			want:   "ingress, to-port 9090, expect allowed",
			places: map[string]Place{"shop": AtTargets, "monitoring": AtAgents}, isolated: true,
		},
		{
			name: "its own namespace by its name",
			policy: policyYAML(shop, `{podSelector: {}, ingress: [{from: [{namespaceSelector: `+
				`{matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, `+
				`values: [shop]}]}}]}]}`),
			want:   "ingress, expect allowed, same namespace",
			places: map[string]Place{"shop": AtTargets}, isolated: true,
		},
		{
			name: "pods of namespaces with a label, and a port by its name",
			policy: policyYAML(shop, `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{`+
				`namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchExpressions: [`+
				`{key: role, operator: In, values: [admin, ops]}, `+
				`{key: legacy, operator: DoesNotExist}]}}], ports: [{port: postgres}]}]}`),
			want: "ingress, from role=admin, to app=db, to-port 8080=postgres, expect allowed, " +
				"from-namespace team=red",
			places: map[string]Place{"shop": AtTargets}, isolated: true,
		},
		{
			name: "egress to DNS",
			policy: policyYAML(none, `{podSelector: {}, policyTypes: [Egress], egress: [{to: [`+
				`{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, `+
				`podSelector: {matchLabels: {k8s-app: kube-dns}}}], `+
				`ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}]}`),
			want:   "UDP, to k8s-app=kube-dns, to-port 53, expect allowed",
			places: map[string]Place{"": AtAgents, "kube-system": AtTargets}, isolated: true,
		},
		{
			name: "a port of SCTP",
			policy: policyYAML(none, `{podSelector: {matchLabels: {app: amf}}, ingress: [{`+
				`ports: [{protocol: SCTP, port: 38412}]}]}`),
			want:   "ingress, SCTP, to app=amf, to-port 38412, expect allowed",
			places: map[string]Place{"": AtTargets}, isolated: true,
		},
		{
			name: "the other direction, protocol and port are asked for",
			policy: policyYAML(none, `{podSelector: {}, policyTypes: [Ingress, Egress], `+
				`ingress: [{}], egress: [{ports: [{protocol: UDP, port: 53}, {port: 53}]}]}`),
			given: []string{"direction=egress", "protocol=TCP"},
			want:  "to-port 53, expect allowed", places: map[string]Place{"": AtAgents},
			isolated: true,
		},
		{
			name: "the documentation's example with three peers",
			policy: policyYAML("name: test-network-policy, namespace: default",
				`{podSelector: {matchLabels: {role: db}}, policyTypes: [Ingress, Egress], `+
					`ingress: [{from: [{ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}}, `+
					`{namespaceSelector: {matchLabels: {project: myproject}}}, `+
					`{podSelector: {matchLabels: {role: frontend}}}], ports: [{port: 6379}]}], `+
					`egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{port: 5978}]}]}`),
			want: "ingress, to role=db, to-port 6379, expect allowed, from-namespace " +
				"project=myproject",
			places: map[string]Place{"default": AtTargets}, isolated: true,
		},
		{
			name: "the internet but no private networks",
			policy: policyYAML(none, `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{`+
				`ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]`+
				`}}]}]}`),
			want: "expect blocked", places: map[string]Place{"": AtAgents},
		},
		{
			name: "a block that pods are in",
			policy: policyYAML(none, `{podSelector: {}, ingress: [{from: [{ipBlock: {`+
				`cidr: 10.0.0.0/8}}]}]}`),
			want: "ingress, expect allowed", places: map[string]Place{"": AtTargets},
			isolated: true,
		},
		{
			name: "equal names in two namespaces, and a namespace with labels",
			policy: "apiVersion: v1\nkind: Namespace\nmetadata: {name: front, labels: " +
				"{purpose: web}}\n---\n" +
				policyYAML("name: deny, namespace: back", denyIngress) + "\n---\n" +
				policyYAML("name: deny, namespace: front", denyIngress) + "\n---\n" +
				policyYAML("name: allow, namespace: back", `{podSelector: {}, ingress: [{from: [{`+
					`namespaceSelector: {matchLabels: {purpose: web}}}]}]}`),
			want:     "ingress, expect allowed, from-namespace purpose=web",
			places:   map[string]Place{"back": AtTargets, "front": AtAgents},
			isolated: true,
		},
		{
			name: "a third namespace is neither",
			policy: policyYAML("name: p, namespace: a", fromWeb) + "\n---\n" +
				policyYAML("name: p, namespace: b", denyIngress),
			want:   "ingress, from tier=web, to app=api, expect allowed, same namespace",
			places: map[string]Place{"a": AtTargets, "b": Elsewhere}, isolated: true,
		},
		{
			name: "labels that the run has as well", policy: policyYAML(none, `{podSelector: `+
				`{matchLabels: {app.kubernetes.io/part-of: shop}}, ingress: [{}]}`),
			want:   "ingress, to app.kubernetes.io/part-of=shop, expect allowed",
			places: map[string]Place{"": AtTargets}, isolated: true,
		},
		{
			name: "what it does not allow is asked for", policy: policyYAML(shop, fromWeb),
			given:  []string{"expect=blocked"},
			want:   "ingress, to app=api, expect blocked",
			places: map[string]Place{"shop": AtTargets},
		},
		{
			name: "labels of the namespace come by the trigger",
			policy: `{apiVersion: v1, kind: Namespace, metadata: {name: targets, labels: ` +
				`{team: red}}}` + "\n---\n" + policyYAML(shop, `{podSelector: {}, policyTypes: [`+
				`Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: red}}}]}]}`),
			want: "expect allowed", places: map[string]Place{"shop": AtAgents}, isolated: true,
		},
		{
			name: "a port that is given", policy: policyYAML(none, `{podSelector: {}, ingress: [`+
				`{ports: [{port: 80}, {port: 443}]}]}`),
			given: []string{"to-port=443"},
			want:  "ingress, to-port 443, expect allowed", places: map[string]Place{"": AtTargets},
			isolated: true,
		},
		{
			name: "a range of ports", policy: policyYAML(none, `{podSelector: {}, policyTypes: `+
				`[Egress], egress: [{ports: [{port: 32000, endPort: 32768}]}]}`),
			want: "to-port 32000, expect allowed", places: map[string]Place{"": AtAgents},
			isolated: true,
		},
		{
			name: "namespaces with names of their own", policy: policyYAML(shop, fromWeb),
			given: []string{"to-namespace=stage"},
			want: "ingress, from tier=web, to app=api, expect allowed, from-namespace stage, " +
				"to-namespace stage, same namespace",
			places: map[string]Place{"shop": AtTargets}, isolated: true,
		},
		{
			name: "deleting what allows", policy: policyYAML(shop, fromWeb),
			given:    []string{"delete=true"},
			want:     "ingress, from tier=web, to app=api, expect blocked, same namespace, deleted",
			places:   map[string]Place{"shop": AtTargets},
			isolated: true,
		},
		{
			name: "deleting what denies", policy: policyYAML(none, denyIngress),
			given: []string{"delete=true"},
			want:  "ingress, expect allowed, deleted", places: map[string]Place{"": AtTargets},
		},
		{
			name: "what is before is given", policy: policyYAML(none, fromWeb),
			before: policyYAML("name: deny", denyIngress),
			want: "ingress, from tier=web, to app=api, expect allowed, same namespace, before " +
				"before.yaml",
			places: map[string]Place{"": AtTargets}, isolated: true,
		},
		{
			name: "replacing the peer", policy: policyYAML(none, fromWeb),
			replace: policyYAML(none, strings.ReplaceAll(fromWeb, "tier: web", "tier: admin")),
			want: "ingress, from tier=admin, to app=api, expect allowed, same namespace, " +
				"replaced by replace.yaml",
			places: map[string]Place{"": AtTargets}, isolated: true,
		},
		{
			name: "replacing what allows by what denies", policy: policyYAML(none, fromWeb),
			replace: policyYAML(none, denyIngress),
			want: "ingress, from tier=web, to app=api, expect blocked, same namespace, " +
				"replaced by replace.yaml",
			places: map[string]Place{"": AtTargets}, isolated: true,
		},
		{
			name: "a kind of the whole cluster, in one namespace", policy: "apiVersion: " +
				"policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n" +
				"metadata: {name: p}\nspec: {}\n",
			given: []string{"expect=blocked", "same-namespace=true"},
			want:  "expect blocked, same namespace", places: map[string]Place{},
		},
		{
			name: "a kind whose meaning is not known", policy: "apiVersion: cilium.io/v2\n" +
				"kind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: {}\n",
			given:  []string{"expect=blocked", "direction=ingress", "to=app=db"},
			want:   "ingress, to app=db, expect blocked",
			places: map[string]Place{"shop": AtTargets},
		},
	}
}

// TestDerive reads settings off policies of the shapes that are in use.
func TestDerive(t *testing.T) {
	for _, test := range derivedTests() {
		t.Run(test.name, func(t *testing.T) {
			files := Files{
				Policy: decode(t, test.policy), Before: decode(t, test.before),
				Replace: decode(t, test.replace),
			}
			given := giving(t, test.given...)
			if test.before != "" {
				given.Own.Before = "before.yaml"
			}
			if test.replace != "" {
				given.Own.Replace = "replace.yaml"
			}
			derived, err := Derive(files, given, facts())
			if err != nil {
				t.Fatal(err)
			}
			if got := setting.All().Label(derived.Settings); got != test.want {
				t.Errorf("it is read as %q; want %q", got, test.want)
			}
			trigger := derived.Trigger
			if !maps.Equal(trigger.Namespaces, test.places) {
				t.Errorf("the namespaces are at %v; want %v", trigger.Namespaces, test.places)
			}
			if trigger.Isolated != test.isolated {
				t.Errorf("isolation is in force before: %v; want %v", trigger.Isolated,
					test.isolated)
			}
		})
	}
}

// TestDeriveSplits puts what comes with policies in a file before the trigger: its writing is not
// to be measured.
func TestDeriveSplits(t *testing.T) {
	const workload = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api, namespace: shop}"
	policy := policyYAML("name: p, namespace: shop", fromWeb)
	for _, test := range []struct {
		name, file     string
		given          []string
		before, change string
	}{
		{"beside a policy", workload + "\n---\n" + policy, nil, "api", "p"},
		{"beside a policy that goes", workload + "\n---\n" + policy, []string{"delete=true"},
			"api p", "p"},
		{"by itself", workload, []string{"expect=blocked"}, "", "api"},
	} {
		t.Run(test.name, func(t *testing.T) {
			derived, err := Derive(Files{Policy: decode(t, test.file)}, giving(t, test.given...),
				facts())
			if err != nil {
				t.Fatal(err)
			}
			names := func(objects []Object) string {
				var all []string
				for _, one := range objects {
					all = append(all, one.GetName())
				}
				return strings.Join(all, " ")
			}
			before := names(derived.Trigger.Before)
			change := names(slices.Concat(derived.Trigger.Apply, derived.Trigger.Delete))
			if before != test.before || change != test.change {
				t.Errorf("before is %q and the change %q; want %q and %q", before, change,
					test.before, test.change)
			}
		})
	}
}

// TestDeriveRefuses refuses what pods of a run cannot show, and names the part that prevents it.
func TestDeriveRefuses(t *testing.T) {
	none := "name: p"
	web := policyYAML(none, fromWeb)
	tests := []struct {
		name, policy string
		given        []string
		want         string
	}{
		{"a block without pods", policyYAML(none, `{podSelector: {}, ingress: [{from: [{ipBlock: `+
			`{cidr: 172.17.0.0/16}}]}]}`), []string{"expect=allowed"},
			"spec.ingress[0].from[0].ipBlock 172.17.0.0/16 has no address of the agents, which " +
				"are in 10.244.0.0/24"},
		{"labels that it does not select", web, []string{"to=app=db", "expect=allowed"},
			`spec.podSelector "app=api" does not match the labels of the targets`},
		{"labels that it does not allow", web, []string{"from=tier=db", "expect=allowed"},
			`spec.ingress[0].from[0].podSelector "tier=web" does not match the labels of the ` +
				"agents"},
		{"another port", policyYAML(none, `{podSelector: {}, ingress: [{ports: [{port: 80}]}]}`),
			[]string{"to-port=443", "expect=allowed"},
			"spec.ingress[0].ports[0] is TCP 80, and the targets serve TCP 443"},
		{"a direction that it is not about", web, []string{"direction=egress"},
			"--direction egress, and this is about ingress"},
		{"another protocol", policyYAML(none, `{podSelector: {}, ingress: [{ports: [`+
			`{port: 80, protocol: SCTP}]}]}`), []string{"expect=allowed", "protocol=TCP"},
			"--protocol TCP, and this is about SCTP"},
		{"labels of Kubernetes", policyYAML(none, `{podSelector: {matchLabels: `+
			`{pod-template-hash: abc}}, ingress: [{}]}`), nil,
			"podSelector names the label pod-template-hash, which Kubernetes gives"},
		{"a port that there is not", policyYAML(none, `{podSelector: {}, ingress: [{ports: [`+
			`{port: 70000}]}]}`), []string{"expect=allowed"}, "its port is 70000: expected 1 to"},
		{"a selector of nothing", policyYAML(none, `{podSelector: {matchExpressions: [{key: a, `+
			`operator: Exists}, {key: a, operator: DoesNotExist}]}, ingress: [{}]}`), nil,
			"matches nothing at all"},
		{"a field that there is not", policyYAML(none, `{podSelector: {}, ingres: [{}]}`), nil,
			`unknown field "spec.ingres"`},
		{"a number in place of a text", policyYAML(none, `{podSelector: {matchLabels: `+
			`{version: 1}}}`), nil, "the field spec.podSelector.matchLabels is of another " +
			"kind, number: expected a text, in quotes"},
		{"a list in place of an object", policyYAML(none, `{podSelector: [{app: web}]}`), nil,
			"the field spec.podSelector is of another kind, array: expected an object"},
		{"a text in place of a list", policyYAML(none, `{podSelector: {}, policyTypes: Ingress}`),
			nil, "the field spec.policyTypes is of another kind, string: expected a list"},
		{"no policy", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n", nil,
			"there is no NetworkPolicy, but Namespace shop: --expect: expected allowed or blocked"},
		{"both namespaces in one", web, []string{"same-namespace=false", "expect=allowed"},
			"--same-namespace=false, and this needs the contrary"},
		{"labels of the run", web, []string{"to=netpol-latency/role=x"},
			"the label netpol-latency/role is given by the run or by Kubernetes"},
		{"two names of a namespace", web, []string{"to-namespace=a,b"},
			"expected one name of a namespace, or labels, or both"},
		{"a kind whose meaning is not known", "apiVersion: cilium.io/v2\nkind: " +
			"CiliumNetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: {}\n", nil,
			"--expect: expected allowed or blocked"},
		{"nothing", "", nil, "--expect: expected allowed or blocked"},
		{"what is deleted and replaced", web, []string{"delete=true", "replace=x.yaml"},
			"--delete and --replace exclude each other"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Derive(Files{Policy: decode(t, test.policy)}, giving(t, test.given...),
				facts())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Derive() = %v; want %q", err, test.want)
			}
		})
	}
}

// FuzzDerive reads settings off anything that is a policy: what is read can be given again, and
// leads to the same.
func FuzzDerive(f *testing.F) {
	for _, test := range derivedTests() {
		f.Add(test.policy)
	}
	f.Fuzz(func(t *testing.T, text string) {
		one := &unstructured.Unstructured{}
		if yaml.Unmarshal([]byte(text), &one.Object) != nil || one.GetName() == "" {
			return
		}
		files := Files{Policy: []Object{{one, true}}}
		first, err := Derive(files, giving(t), facts())
		if err != nil {
			return
		}
		again, err := Derive(files, first.Settings, facts())
		was, is := setting.All().Label(first.Settings), setting.All().Label(again.Settings)
		if err != nil || was != is {
			t.Errorf("what was read off it is %q, and with that %q, %v", was, is, err)
		}
	})
}
