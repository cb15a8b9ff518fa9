// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/version"
)

// TestFitFamily runs on a cluster with IPv6 alone: who asks for nothing gets it, and who asks for
// IPv4, be it the default, by a flag or in a suite, is told.
func TestFitFamily(t *testing.T) {
	suite := filepath.Join(t.TempDir(), "suite.yaml")
	const text = "runs: [{scenario: policy-deny, family: IPv4}]"
	if err := os.WriteFile(suite, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"},
		Spec: corev1.NodeSpec{PodCIDRs: []string{"fd00::/64"}}}
	cluster := &kube.Cluster{Interface: fake.NewClientset(node)}

	tests := []struct {
		name    string
		line    []string
		refused bool
	}{
		{"nothing is asked for", []string{"policy-deny"}, false},
		{"IPv6", []string{"policy-deny", "--family=IPv6"}, false},
		{"the default, by a flag", []string{"policy-deny", "--family=IPv4"}, true},
		{"the default, in a suite", []string{"-c", suite}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tasks := plan(t, test.line...)
			o := newRunOptions(version.Build{}, withFlavour())
			err := o.fitFamily(t.Context(), cluster, tasks)
			if (err != nil) != test.refused || err != nil &&
				!strings.Contains(err.Error(), "probe over IPv4: the pods of this cluster") {
				t.Fatalf("fitFamily() = %v; want a refusal: %t", err, test.refused)
			}
			options := tasks[0].options
			if err == nil && (options.Family != setting.IPv6 || options.Label != "IPv6") {
				t.Errorf("it is probed over %s, with the label %q; want IPv6", options.Family,
					options.Label)
			}
		})
	}
}
