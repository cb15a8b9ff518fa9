// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
)

// TestAllNamespacesAreAsked removes two namespaces, of which one has a pod that does not go: the
// other is asked to go at once, and the one with the pod all the same.
func TestAllNamespacesAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "stuck",
			Name: "p"}})
		nothing := func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, nil
		}
		client.PrependReactor("delete-collection", "pods", nothing)
		asked, began := make(map[string]time.Duration), time.Now()
		client.PrependReactor("delete", "namespaces",
			func(action clienttesting.Action) (bool, runtime.Object, error) {
				name := action.(clienttesting.DeleteAction).GetName()
				asked[name] = time.Since(began)
				return true, nil, nil
			})

		ctx := t.Context()
		cluster := kube.NewCluster(client, nil, metadataOf(t), nil)
		check(t, deleteNamespaces(ctx, cluster, []string{"stuck", "empty"}, func(Progress) {}))
		if asked["empty"] != 0 || asked["stuck"] < podsFirst || asked["stuck"] > 2*podsFirst {
			t.Errorf("the namespaces were asked to go after %v", asked)
		}
	})
}

// TestCountdown adds up what is left in two namespaces.
func TestCountdown(t *testing.T) {
	var said []Progress
	pods := countdown{most: make(map[string]int), left: make(map[string]int),
		progress: func(p Progress) { said = append(said, p) }}
	pods.count("a", 300)
	pods.count("b", 100)
	pods.count("a", 100)
	pods.count("b", 0)

	var got [][2]int
	for _, one := range said {
		got = append(got, [2]int{one.Done, one.Of})
	}
	if diff := cmp.Diff([][2]int{{0, 300}, {0, 400}, {200, 400}, {300, 400}}, got); diff != "" {
		t.Errorf("gone, of all (-want +got):\n%s", diff)
	}
}
