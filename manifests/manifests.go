// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package manifests renders the objects that a test client needs, from the templates of the Helm
// chart beside it: they are written once, for Helm, for the command "netpol-latency manifests" and
// for the kustomize bases.
package manifests

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// Step is a part of a test's objects. The steps are applied in order, each when the objects of the
// one before are up.
type Step string

// The steps.
const (
	// Setup is everything that must be in place before the trigger.
	Setup Step = "setup"
	// Trigger is the change whose effect is measured.
	Trigger Step = "trigger"
	// All is both, in order: for removing a test, not for starting one.
	All Step = "all"
)

// Values fill in the templates. They are those of the chart, whose values.yaml holds the defaults
// and explains them.
type Values struct {
	// Namespace is that of the test client: a release's own.
	Namespace string `json:"-"`
	// Scenario is pod-creation or policy-creation.
	Scenario        string `json:"scenario"`
	Step            Step   `json:"step"`
	TargetNamespace string `json:"targetNamespace"`
	// ClientImage and TargetImage are the container images; without ClientImage the test's own. A
	// target serves HTTP on TargetPort.
	ClientImage     string `json:"image"`
	ImagePullPolicy string `json:"imagePullPolicy"`
	TargetImage     string `json:"targetImage"`
	TargetPort      int    `json:"targetPort"`
	// Targets and Clients are numbers of pods.
	Targets int `json:"targets"`
	Clients int `json:"clients"`
	// APIServers are all endpoints at which the client may find the API server: its own, and the
	// ones of the kubernetes service for engines that filter packets before they are redirected.
	APIServers []Endpoint `json:"apiServers"`
	// ClientArgs are further arguments of the client.
	ClientArgs []string `json:"clientArgs"`
	// NetRaw gives the client what the probe modes syn and auto use: it runs as root with the
	// capability NET_RAW alone.
	NetRaw bool `json:"netRaw"`
	// Resources are those of the client, Scrapers the peers (NetworkPolicyPeer) that may read its
	// metrics.
	Resources map[string]map[string]string `json:"resources"`
	Scrapers  []map[string]any             `json:"scrapers"`
	// TargetResources are those of a target.
	TargetResources map[string]map[string]string `json:"targetResources"`
	// Labels and Annotations are further ones of deployments, of their pods and of the targets'
	// namespace; the rest is about the pods. Without RunAsUser the images say who their users are.
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	NodeSelector      map[string]string `json:"nodeSelector"`
	Tolerations       []map[string]any  `json:"tolerations"`
	ImagePullSecrets  []map[string]any  `json:"imagePullSecrets"`
	PriorityClassName string            `json:"priorityClassName"`
	RunAsUser         *int64            `json:"runAsUser"`
	// Cilium adds a policy in Cilium's words for the way to the API server.
	Cilium bool `json:"cilium"`
	// PodMonitor adds the object by which a Prometheus operator finds the client.
	PodMonitor bool `json:"podMonitor"`
	// MonitorLabels are further labels of that object, by which operators select.
	MonitorLabels map[string]string `json:"podMonitorLabels"`
}

// Endpoint is a port at some addresses.
type Endpoint struct {
	CIDR netip.Prefix `json:"cidr"`
	Port uint16       `json:"port"`
}

// EndpointOf is the port at one address.
func EndpointOf(address netip.AddrPort) Endpoint {
	return Endpoint{netip.PrefixFrom(address.Addr(), address.Addr().BitLen()), address.Port()}
}

// DefaultValues are the chart's values for a scenario. They are compiled in, so that only a chart
// that no test has seen could make it panic.
func DefaultValues(scenario string) Values {
	content, err := chart.ReadFile("netpol-latency/values.yaml")
	values := Values{Namespace: "default"}
	if err == nil {
		err = yaml.UnmarshalStrict(content, &values)
	}
	if err != nil {
		panic(fmt.Sprintf("read the chart's values: %v", err))
	}
	values.Scenario = scenario
	return values
}

// Validate reports every mistake at once.
func (v Values) Validate() error {
	var mistakes []error
	if order(v.Scenario) == nil {
		mistakes = append(mistakes,
			fmt.Errorf("unknown test %q: expected pod-creation or policy-creation", v.Scenario))
	}

	for what, name := range map[string]string{"namespace": v.Namespace,
		"target namespace": v.TargetNamespace} {
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			mistakes = append(mistakes, fmt.Errorf("%s %q: %s", what, name, problems[0]))
		}
	}

	if v.Namespace == v.TargetNamespace {
		mistakes = append(mistakes, fmt.Errorf("the client and its targets are both in namespace "+
			"%q: "+
			"expected two, so that removing the targets' leaves the client's alone", v.Namespace))
	}

	if v.TargetPort < 1 || v.TargetPort > 65535 {
		mistakes = append(mistakes, fmt.Errorf("target port %d: expected 1 to 65535", v.TargetPort))
	}

	if v.Targets < 1 || v.Clients < 1 {
		mistakes = append(mistakes, fmt.Errorf("%d targets and %d clients: expected 1 or more of "+
			"each",
			v.Targets, v.Clients))
	}

	if v.Step != Setup && v.Step != Trigger && v.Step != All {
		mistakes = append(mistakes, fmt.Errorf("unknown step %q: expected %s, %s or %s", v.Step,
			Setup, Trigger, All))
	}

	mistakes = append(mistakes, v.validateMonitor())

	if len(v.APIServers) == 0 {
		mistakes = append(mistakes, errors.New("no address of the API server: the client could "+
			"not reach it"))
	}

	return errors.Join(mistakes...)
}

// validateMonitor reports labels of a PodMonitor that cannot be, or that nobody asked for.
func (v Values) validateMonitor() error {
	if len(v.MonitorLabels) > 0 && !v.PodMonitor {
		return errors.New("there are labels for a PodMonitor, and there is none: expected " +
			"--pod-monitor with --monitor-label")
	}

	var mistakes []error
	for _, key := range slices.Sorted(maps.Keys(v.MonitorLabels)) {
		value := v.MonitorLabels[key]
		problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...)
		if len(problems) > 0 {
			mistakes = append(mistakes, fmt.Errorf("label %s=%s of the PodMonitor: %s", key, value,
				problems[0]))
		}
	}
	return errors.Join(mistakes...)
}

//go:embed netpol-latency/values.yaml netpol-latency/templates/*.yaml
var chart embed.FS

// order is that in which the objects of the templates are applied, and triggers name those of the
// change that is measured.
func order(scenario string) []string {
	setup := []string{
		"namespaces", "permissions", "permissions-policies", "policy-allow-apiserver",
		"policy-allow-scrapers",
		"policy-deny-egress-to-target-pods", "test-client-deployment", "pod-monitor",
	}

	const allow, targets = "policy-allow-egress-to-target-pods", "target-deployment"
	switch scenario {
	case "pod-creation":
		return append(setup, allow, targets)
	case "policy-creation":
		return append(setup, targets, allow)
	}

	return nil
}

// functions are those of Helm's that the templates use, so that they mean the same here and there.
func functions() template.FuncMap {
	return template.FuncMap{
		"int":       func(number float64) int { return int(number) },
		"quote":     func(text string) string { return strconv.Quote(text) },
		"hasSuffix": func(suffix, text string) bool { return strings.HasSuffix(text, suffix) },
		"default":   func(otherwise, value string) string { return cmp.Or(value, otherwise) },
		"ternary": func(yes, no string, condition bool) string {
			if condition {
				return yes
			}
			return no
		},
		"toYaml": func(value any) (string, error) {
			text, err := yaml.Marshal(value)
			return strings.TrimSuffix(string(text), "\n"), err
		},
		"nindent": func(spaces int, text string) string {
			indent := "\n" + strings.Repeat(" ", spaces)
			return indent + strings.ReplaceAll(text, "\n", indent)
		},
	}
}

// Render writes the objects of one step, or of all, as a stream of YAML documents.
func Render(w io.Writer, values Values) error {
	if err := values.Validate(); err != nil {
		return err
	}

	parsed, err := template.New("").Funcs(functions()).ParseFS(chart,
		"netpol-latency/templates/*.yaml")
	if err != nil {
		return fmt.Errorf("parse templates: %w", err)
	}

	data, err := values.data()
	if err != nil {
		return err
	}

	for _, name := range order(values.Scenario) {
		var document bytes.Buffer
		if err := parsed.ExecuteTemplate(&document, name+".yaml", data); err != nil {
			return fmt.Errorf("fill in %s: %w", name, err)
		}
		content := bytes.TrimSpace(document.Bytes())
		if len(content) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "---\n# %s\n%s\n", name, content); err != nil {
			return fmt.Errorf("write manifests: %w", err)
		}
	}

	return nil
}

// apiVersions stand for what Helm knows of a cluster: nothing, since the values say it all.
type apiVersions struct{}

// Has implements what Helm's do.
func (apiVersions) Has(string) bool { return false }

// data is what Helm would hand to the templates: values as JSON has them.
func (v Values) data() (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("fill in templates: %w", err)
	}
	var values map[string]any
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, fmt.Errorf("fill in templates: %w", err)
	}
	return map[string]any{
		"Values": values, "Release": map[string]any{"Namespace": v.Namespace},
		"Capabilities": map[string]any{"APIVersions": apiVersions{}},
	}, nil
}
