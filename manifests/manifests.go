// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package manifests renders the objects that a test client needs, from the templates beside it.
package manifests

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path"
	"text/template"

	"k8s.io/apimachinery/pkg/util/validation"
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

// Values fill in the templates.
type Values struct {
	// Scenario is pod-creation or policy-creation.
	Scenario string
	// Namespace is that of the test client, TargetNamespace that of the target pods.
	Namespace       string
	TargetNamespace string
	// ClientImage and TargetImage are the container images. A target serves HTTP on TargetPort.
	ClientImage string
	TargetImage string
	TargetPort  int
	// Targets and Clients are numbers of pods.
	Targets int
	Clients int
	// APIServers are all addresses at which the client may find the API server: its own, and the
	// ones of the kubernetes service for engines that judge packets before they are redirected.
	APIServers []netip.AddrPort
	// ClientArgs are further arguments of the client.
	ClientArgs []string
	// NetRaw gives the client what the probe modes syn and auto use: it runs as root with the capability
	// NET_RAW alone.
	NetRaw bool
	// PodMonitor adds the object by which a Prometheus operator finds the client.
	PodMonitor bool
}

// DefaultValues are the values for a scenario, without the API server's addresses.
func DefaultValues(scenario string) Values {
	images := map[string]string{
		"pod-creation":    "netpol-latency/pod-creation-reachability-latency:latest",
		"policy-creation": "netpol-latency/policy-creation-enforcement-latency:latest",
	}
	return Values{
		Scenario:        scenario,
		Namespace:       "default",
		TargetNamespace: "test-policy",
		ClientImage:     images[scenario],
		TargetImage:     "nginxinc/nginx-unprivileged:stable",
		TargetPort:      8080,
		Targets:         20,
		Clients:         1,
	}
}

// Validate reports every mistake at once.
func (v Values) Validate() error {
	var mistakes []error
	if files(v.Scenario) == nil {
		mistakes = append(mistakes,
			fmt.Errorf("unknown test %q: expected pod-creation or policy-creation", v.Scenario))
	}
	for what, name := range map[string]string{"namespace": v.Namespace, "target namespace": v.TargetNamespace} {
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			mistakes = append(mistakes, fmt.Errorf("%s %q: %s", what, name, problems[0]))
		}
	}
	if v.Namespace == v.TargetNamespace {
		mistakes = append(mistakes, fmt.Errorf("the client and its targets are both in namespace %q: "+
			"expected two, so that removing the targets' leaves the client's alone", v.Namespace))
	}
	if v.TargetPort < 1 || v.TargetPort > 65535 {
		mistakes = append(mistakes, fmt.Errorf("target port %d: expected 1 to 65535", v.TargetPort))
	}
	if v.Targets < 1 || v.Clients < 1 {
		mistakes = append(mistakes, fmt.Errorf("%d targets and %d clients: expected 1 or more of each",
			v.Targets, v.Clients))
	}
	if len(v.APIServers) == 0 {
		mistakes = append(mistakes, errors.New("no address of the API server: the client could not reach it"))
	}
	return errors.Join(mistakes...)
}

//go:embed */*.yaml
var templates embed.FS

// file is one template and the step that it belongs to.
type file struct {
	step Step
	name string
}

// files are the templates of a scenario in the order in which they are applied.
func files(scenario string) []file {
	setup := []file{
		{Setup, "common/namespaces.yaml"},
		{Setup, "common/permissions.yaml"},
		{Setup, "common/policy-allow-apiserver.yaml"},
		{Setup, "common/test-client-deployment.yaml"},
		{Setup, "common/pod-monitor.yaml"},
	}
	const allow, targets = "common/policy-allow-egress-to-target-pods.yaml", "common/target-deployment.yaml"
	switch scenario {
	case "pod-creation":
		return append(setup, file{Setup, allow}, file{Trigger, targets})
	case "policy-creation":
		return append(setup,
			file{Setup, "policy-creation/permissions-policies.yaml"},
			file{Setup, "policy-creation/policy-deny-egress-to-target-pods.yaml"},
			file{Setup, targets}, file{Trigger, allow})
	}
	return nil
}

// Render writes the objects of one step, or of all, as a stream of YAML documents.
func Render(w io.Writer, step Step, values Values) error {
	if err := values.Validate(); err != nil {
		return err
	}
	if step != Setup && step != Trigger && step != All {
		return fmt.Errorf("unknown step %q: expected %s, %s or %s", step, Setup, Trigger, All)
	}
	parsed, err := template.ParseFS(templates, "*/*.yaml")
	if err != nil {
		return fmt.Errorf("parse templates: %w", err)
	}
	for _, file := range files(values.Scenario) {
		if step != All && step != file.step {
			continue
		}
		var document bytes.Buffer
		if err := parsed.ExecuteTemplate(&document, path.Base(file.name), values); err != nil {
			return fmt.Errorf("fill in %s: %w", file.name, err)
		}
		if len(bytes.TrimSpace(document.Bytes())) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "---\n# %s\n%s", file.name, document.Bytes()); err != nil {
			return fmt.Errorf("write manifests: %w", err)
		}
	}
	return nil
}
