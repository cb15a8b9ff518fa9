// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/runner"
)

// TestCleanupAtHome cleans up for somebody who may not list namespaces: in the namespace of the
// kubeconfig's context, and where nothing is, the error says what to name.
func TestCleanupAtHome(t *testing.T) {
	refused := apierrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, "", nil)
	plan := &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "plan", UID: "1",
			Labels: map[string]string{runner.RunLabel: "x", "netpol-latency/scope": "x-0"}},
	}
	for _, test := range []struct {
		name       string
		left       []runtime.Object
		mayDelete  bool
		out, wrong string
	}{
		{"something", []runtime.Object{plan}, true, "1 objects removed from home", ""},
		{"nothing", nil, true, "", "nothing of such a run is in namespace home"},
		{"no rights", nil, false, "", "expected --namespace, and --target-namespace, with the"},
	} {
		t.Run(test.name, func(t *testing.T) {
			known := metadatafake.NewTestScheme()
			if err := metav1.AddMetaToScheme(known); err != nil {
				t.Fatal(err)
			}
			client := fake.NewClientset(&corev1.Namespace{
				ObjectMeta: metav1.ObjectMeta{Name: "home"},
			})
			client.Resources = []*metav1.APIResourceList{{GroupVersion: "v1",
				APIResources: []metav1.APIResource{{Name: "configmaps", Kind: "ConfigMap",
					Namespaced: true, Verbs: metav1.Verbs{"list", "delete"}}}}}
			client.PrependReactor("delete-collection", "pods",
				func(clienttesting.Action) (bool, runtime.Object, error) {
					if test.mayDelete {
						return true, nil, nil
					}
					return true, nil, apierrors.NewForbidden(schema.GroupResource{
						Resource: "pods"}, "", nil)
				})
			cluster := kube.NewCluster(client, nil,
				metadatafake.NewSimpleMetadataClient(known, test.left...), nil)
			cluster.UserNamespace = "home"

			var out strings.Builder
			cmd := &cobra.Command{}
			cmd.SetOut(&out)
			cmd.SetContext(t.Context())
			err := (&cleanupOptions{runID: "x"}).clearHome(cmd, cluster, refused)
			if (err == nil) != (test.wrong == "") ||
				err != nil && !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("clearHome() = %v; want %q", err, test.wrong)
			}
			if !strings.HasPrefix(out.String(), test.out) {
				t.Errorf("it prints %q; want %q", out.String(), test.out)
			}
		})
	}
}
