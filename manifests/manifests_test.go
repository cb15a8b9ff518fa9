// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func values(scenario string) Values {
	v := DefaultValues(scenario)
	v.APIServers = []Endpoint{
		EndpointOf(netip.MustParseAddrPort("10.0.0.2:443")),
		EndpointOf(netip.MustParseAddrPort("[fd00::2]:6443")),
	}
	return v
}

// kinds renders a step and lists its objects.
func kinds(t *testing.T, step Step, v Values) []string {
	t.Helper()
	var all []string
	for _, document := range strings.Split(render(t, step, v), "\n---\n") {
		var object unstructured.Unstructured
		if err := yaml.UnmarshalStrict([]byte(strings.TrimPrefix(document, "---\n")),
			&object.Object); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		all = append(all, object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName())
	}
	return all
}

// render is the YAML of a step.
func render(t *testing.T, step Step, v Values) string {
	t.Helper()
	var stream bytes.Buffer
	v.Step = step
	if err := Render(&stream, v); err != nil {
		t.Fatal(err)
	}
	return stream.String()
}

func TestRenderOrder(t *testing.T) {
	tests := []struct {
		name     string
		scenario string
		step     Step
		want     string
	}{
		{"the targets trigger pod creation", "pod-creation", Trigger,
			"Deployment test-policy/pod-creation-target"},
		{"the allowing policy triggers policy creation", "policy-creation", Trigger,
			"NetworkPolicy default/policy-creation-allow-egress-to-target"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(kinds(t, test.step, values(test.scenario)),
				", "); got != test.want {
				t.Errorf("Render() has %s; want %s", got, test.want)
			}
			all := kinds(t, All, values(test.scenario))
			setup := kinds(t, Setup, values(test.scenario))
			if got, want := strings.Join(all, ", "), strings.Join(setup,
				", ")+", "+test.want; got != want {
				t.Errorf("all has %s; want the setup and then the trigger, %s", got, want)
			}
		})
	}
}

// Removing a test must never remove a namespace that is not the test's own.
func TestRenderNamespaces(t *testing.T) {
	v := values("pod-creation")
	if got := kinds(t, All, v)[0]; got != "Namespace /test-policy" {
		t.Errorf("the first object is %s; want the test's own namespace", got)
	}
	v.TargetNamespace = "production"
	for _, got := range kinds(t, All, v) {
		if strings.HasPrefix(got, "Namespace ") {
			t.Errorf("Render() has %s, which may be somebody's", got)
		}
	}
}

func TestRenderNamesEveryAPIServer(t *testing.T) {
	stream := render(t, Setup, values("policy-creation"))
	for _, want := range []string{`cidr: "10.0.0.2/32"`, `cidr: "fd00::2/128"`, "port: 6443",
		"port: 443"} {
		if !strings.Contains(stream, want) {
			t.Errorf("the manifests lack %q", want)
		}
	}
}

func TestRenderPodMonitorOnDemand(t *testing.T) {
	v := values("pod-creation")
	v.PodMonitor = true
	v.ClientArgs = []string{"--exit-when-done"}
	if got := strings.Join(kinds(t, Setup, v), ", "); !strings.Contains(got, "PodMonitor") {
		t.Errorf("Render() has %s; want a PodMonitor", got)
	}
}

// TestMonitorLabels gives the PodMonitor the labels that an operator selects by, beside its own.
func TestMonitorLabels(t *testing.T) {
	v := values("pod-creation")
	v.PodMonitor = true
	v.MonitorLabels = map[string]string{"release": "kube-prometheus-stack", "tier": "1"}
	var monitor metav1.PartialObjectMetadata
	for _, document := range strings.Split(render(t, Setup, v), "---\n") {
		if strings.HasPrefix(document, "# pod-monitor") {
			if err := yaml.Unmarshal([]byte(document), &monitor); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := map[string]string{
		"release": "kube-prometheus-stack", "tier": "1", "k8s-app": "net-policy-client-pods",
		"app.kubernetes.io/part-of": "netpol-latency",
	}
	if diff := cmp.Diff(want, monitor.Labels); diff != "" {
		t.Errorf("the labels of the PodMonitor (-want +got):\n%s", diff)
	}

	v.MonitorLabels = map[string]string{"a b": "c", "d": "e f"}
	err := v.Validate()
	if err == nil || !strings.Contains(err.Error(), "label a b=c of the PodMonitor: ") ||
		!strings.Contains(err.Error(), "label d=e f of the PodMonitor: ") {
		t.Errorf("Validate() = %v; want both labels", err)
	}
	v.PodMonitor = false
	if err := v.Validate(); err == nil || !strings.Contains(err.Error(), "--pod-monitor") {
		t.Errorf("Validate() = %v; want that there is no PodMonitor", err)
	}
}

func TestValidateReportsEverything(t *testing.T) {
	v := Values{Scenario: "x", Namespace: "A", TargetNamespace: "b_", TargetPort: -1}
	err := v.Validate()
	if err == nil {
		t.Fatal("Validate() = nil")
	}
	for _, want := range []string{"unknown test", `namespace "A"`, `target namespace "b_"`,
		"target port -1", "0 targets", "no address"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message lacks %q:\n%s", want, err)
		}
	}
}

func TestRenderNetRawOnDemand(t *testing.T) {
	v := values("policy-creation")
	if got := render(t, Setup, v); strings.Contains(got, "NET_RAW") ||
		strings.Contains(got, "runAsUser: 0") {
		t.Errorf("the client has rights that nobody asked for:\n%s", got)
	}
	v.NetRaw = true
	if got := render(t, Setup, v); strings.Count(got, "add: [NET_RAW]") != 1 ||
		strings.Count(got, "runAsUser: 0") != 1 {
		t.Errorf("the client lacks the right to raw sockets:\n%s", got)
	}
}

// TestScrapersAloneReadTheMetrics renders the policy that guards the metrics: beside the scrapers
// it admits the API servers, and what stands for any address is none.
func TestScrapersAloneReadTheMetrics(t *testing.T) {
	v := values("pod-creation")
	for _, anywhere := range []string{"0.0.0.0/0", "::/0"} {
		v.APIServers = append(v.APIServers, Endpoint{netip.MustParsePrefix(anywhere), 443})
	}
	v.Scrapers = []map[string]any{{"podSelector": map[string]any{}}}

	var policy networkingv1.NetworkPolicy
	for _, document := range strings.Split(render(t, Setup, v), "---\n") {
		if strings.HasPrefix(document, "# policy-allow-scrapers") {
			if err := yaml.UnmarshalStrict([]byte(document), &policy); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []networkingv1.NetworkPolicyPeer{
		{PodSelector: &metav1.LabelSelector{}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.2/32"}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "fd00::2/128"}},
	}
	if diff := cmp.Diff(want, policy.Spec.Ingress[0].From); diff != "" {
		t.Errorf("the metrics are open to (-want +got):\n%s", diff)
	}
}
