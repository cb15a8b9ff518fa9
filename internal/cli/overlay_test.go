// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestOverlaySettings gives what a cluster wants of pods by flags, by a file and in a suite.
func TestOverlaySettings(t *testing.T) {
	patch := filepath.Join(t.TempDir(), "patch.yaml")
	suite := filepath.Join(t.TempDir(), "suite.yaml")
	for file, text := range map[string]string{
		patch: "spec:\n  hostUsers: false\n",
		suite: "runs: [{scenario: policy-deny, label: 'a=b,c=d', toleration: spot, pod-patch: " +
			patch + "}]",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	for name, arguments := range map[string][]string{
		"flags": {"policy-deny", "--label=a=b", "--label=c=d", "--toleration=spot",
			`--pod-patch={"spec":{"hostUsers":false}}`},
		"a file":  {"policy-deny", "--label=a=b,c=d", "--toleration=spot", "--pod-patch=" + patch},
		"a suite": {"-c", suite},
	} {
		t.Run(name, func(t *testing.T) {
			options := plan(t, arguments...)[0].options
			pod := &corev1.Pod{}
			if err := options.Overlay.Apply(pod); err != nil {
				t.Fatal(err)
			}
			if pod.Labels["a"] != "b" || pod.Labels["c"] != "d" ||
				len(pod.Spec.Tolerations) != 1 || pod.Spec.HostUsers == nil {
				t.Errorf("the pod is %+v", pod)
			}
			const label = `toleration spot, pod-patch {"spec":{"hostUsers":false}}`
			if options.Label != label {
				t.Errorf("the label is %q; want %q", options.Label, label)
			}
		})
	}
}

func TestOverlayMistakes(t *testing.T) {
	for argument, want := range map[string]string{
		"--pod-patch=none.yaml":   `--pod-patch "none.yaml": expected a YAML or JSON object, or`,
		"--label=a":               `--label "a": expected KEY=VALUE`,
		"--toleration=a:Schedule": "expected one of NoSchedule, PreferNoSchedule, NoExecute",
	} {
		for _, command := range [][]string{{"run", "policy-deny"},
			{"manifests", "policy-creation", "--api-server=10.0.0.1:443"}} {
			_, err := execute(t, append(command, argument)...)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: %v; want %q", command[0], argument, err, want)
			}
		}
	}
}

// TestManifestsOverlay prints the objects of a test as a cluster wants them; without flags they are
// as the templates have them.
func TestManifestsOverlay(t *testing.T) {
	arguments := []string{"manifests", "policy-creation", "--api-server=10.0.0.1:443"}
	plain, err := execute(t, arguments...)
	if err != nil || !strings.Contains(plain, "---\n# namespaces\n") {
		t.Fatalf("%v: the manifests are\n%s", err, plain)
	}

	const audit = `{"metadata":{"labels":{"audit":"no"}}}`
	text, err := execute(t, append(arguments, "--label=team=network", "--limits=memory=64Mi",
		"--node-selector=pool=tests", "--namespace-patch="+audit)...)
	if err != nil {
		t.Fatal(err)
	}
	objects := strings.Split(strings.TrimPrefix(text, "---\n"), "---\n")
	if want := strings.Count(plain, "---\n"); len(objects) != want {
		t.Errorf("there are %d objects; want %d:\n%s", len(objects), want, text)
	}
	for _, object := range objects {
		if !strings.Contains(object, "team: network") {
			t.Errorf("an object has no label:\n%s", object)
		}
		switch {
		case strings.Contains(object, "kind: Deployment") &&
			(!strings.Contains(object, "memory: 64Mi") || !strings.Contains(object, "pool: tests")):
			t.Errorf("a deployment without what is wanted of pods:\n%s", object)
		case strings.Contains(object, "kind: Namespace") && !strings.Contains(object, "audit:"):
			t.Errorf("the namespace is not patched:\n%s", object)
		}
	}
}
