// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// environmentOf is the environment of a scenario with some settings.
func environmentOf(t *testing.T, name string, set func(*setting.Settings)) *environment {
	t.Helper()
	options := Options{Settings: setting.All().Defaults(), RunID: "x"}
	set(&options.Settings)
	for _, one := range scenario.All() {
		if one.Name == name {
			return newEnvironment(options, one, nil, nil, func(Progress) {})
		}
	}
	t.Fatalf("there is no scenario %s", name)
	return nil
}

// TestAwaitTargets waits for targets that get ready one by one, by one list and one watch.
func TestAwaitTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const targets = 20
		env := environmentOf(t, "policy-creation", func(s *setting.Settings) {
			s.Targets, s.SetupTimeout = targets, time.Minute
		})
		client := fake.NewClientset()
		env.cluster = &kube.Cluster{Interface: client}
		pods := client.CoreV1().Pods(env.parameters.TargetNamespace)
		go func() {
			for number := range targets {
				time.Sleep(time.Second / 2)
				pod := &corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{
						Namespace: env.parameters.TargetNamespace, Name: fmt.Sprint("t-", number),
						UID: types.UID(fmt.Sprint(number)), Labels: env.targetLabels("a", 0),
					},
					Spec: corev1.PodSpec{NodeName: "node-1"},
					Status: corev1.PodStatus{
						PodIPs: []corev1.PodIP{{IP: fmt.Sprint("10.0.0.", number)}},
						Conditions: []corev1.PodCondition{
							{Type: corev1.PodReady, Status: corev1.ConditionTrue},
						},
					},
				}
				if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
					t.Error(err)
				}
			}
		}()
		if err := env.awaitTargets(t.Context()); err != nil {
			t.Fatal(err)
		}

		found := env.pods["a"]
		if len(found) != targets || found[0].Name != "t-0" || found[0].Spec.NodeName != "node-1" {
			t.Errorf("the targets are %v", found)
		}
		if got := env.parameters.Addresses["a"]; len(got) != targets ||
			got[0] != netip.MustParseAddr("10.0.0.0") {
			t.Errorf("their addresses are %v", got)
		}
		lists := 0
		for _, action := range client.Actions() {
			if action.Matches("list", "pods") {
				lists++
			}
		}
		if most := 1 + 2*int(targets/2/diagnoseEvery.Seconds()); lists > most {
			t.Errorf("the pods were listed %d times in 10 s; want at most %d", lists, most)
		}
	})
}

// TestShares gives each agent its share of the targets, by a label that its watch selects.
func TestShares(t *testing.T) {
	for _, test := range []struct {
		name            string
		targets, agents int
		want            []int32
	}{
		{"one agent", 20, 1, []int32{20}},
		{"even", 20, 4, []int32{5, 5, 5, 5}},
		{"uneven", 10, 4, []int32{3, 3, 2, 2}},
		{"more agents than targets", 2, 4, []int32{1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := environmentOf(t, "policy-creation", func(s *setting.Settings) {
				s.Targets, s.Agents = test.targets, test.agents
			})
			deployments := env.targets(scenario.Group{Name: "a"})
			if len(deployments) != len(test.want) {
				t.Fatalf("%d deployments; want %d", len(deployments), len(test.want))
			}
			for agent, object := range deployments {
				deployment := object.(*appsv1.Deployment)
				got := deployment.Spec.Template.Labels[protocol.AgentLabel]
				if *deployment.Spec.Replicas != test.want[agent] || got != fmt.Sprint(agent) ||
					deployment.Spec.Selector.MatchLabels[protocol.AgentLabel] != got {
					t.Errorf("deployment %d has %d pods of agent %s", agent,
						*deployment.Spec.Replicas, got)
				}
			}
		})
	}
}
