// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// addTarget has a target come up.
func addTarget(t *testing.T, e *environment, name string) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: e.parameters.TargetNamespace, Name: name, UID: types.UID(name),
			Labels: e.targetLabels(scenario.GroupA, 0),
		},
		Status: corev1.PodStatus{
			PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady,
				Status: corev1.ConditionTrue}},
		},
	}
	_, err := e.cluster.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod,
		metav1.CreateOptions{})
	check(t, err)
}

// evict has a target go.
func evict(t *testing.T, e *environment, name string) {
	t.Helper()
	check(t, e.cluster.CoreV1().Pods(e.parameters.TargetNamespace).Delete(t.Context(), name,
		metav1.DeleteOptions{}))
}

// TestRefresh evicts targets between iterations: the ones that come in their place are measured. If
// none does, the run waits for it once, says so, and goes on with the rest.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := scenario.Find("pod-startup") // which has no agents
		check(t, err)
		options := DefaultOptions()
		options.Targets = 1
		e := newEnvironment(options, s, nil, nil, func(Progress) {})
		e.cluster = &kube.Cluster{Interface: fake.NewClientset()}
		e.collector = newCollector(kube.Namespace{}, setting.ClockAuto)
		e.sizes = map[string]int{scenario.GroupA: 2, scenario.GroupB: 0}
		expect := func(took time.Duration, names ...string) {
			t.Helper()
			began := time.Now()
			check(t, e.refresh(t.Context()))
			if got := e.podNames(); !slices.Equal(got, names) || time.Since(began) != took {
				t.Errorf("the targets are %q after %s; want %q after %s", got, time.Since(began),
					names, took)
			}
		}

		addTarget(t, e, "a")
		addTarget(t, e, "b")
		check(t, e.awaitTargets(t.Context()))
		e.iterations++

		evict(t, e, "b")
		addTarget(t, e, "c")
		expect(0, "a", "c")

		evict(t, e, "c")
		time.AfterFunc(time.Second, func() { addTarget(t, e, "d") })
		expect(time.Second, "a", "d")

		evict(t, e, "d")
		expect(options.SetupTimeout, "a")
		expect(0, "a")
		if all := strings.Join(e.warnings(), "\n"); !strings.Contains(all,
			"1 of 2 targets of group a were gone") {
			t.Errorf("the warnings are %q", all)
		}

		evict(t, e, "a")
		if err := e.refresh(t.Context()); err == nil {
			t.Error("a run without targets goes on")
		}
	})
}

// TestMeasuredPodsStay looks at what is asked of those who move pods to save nodes.
func TestMeasuredPodsStay(t *testing.T) {
	s, err := scenario.Find("pod-creation")
	check(t, err)
	e := newEnvironment(DefaultOptions(), s, nil, nil, func(Progress) {})
	for name, annotations := range map[string]map[string]string{
		"target": e.targets(scenario.Group{})[0].(*appsv1.Deployment).
			Spec.Template.Annotations,
		"created pod": e.targetPod(0, 0).Annotations,
		"agent":       e.job("agent", 1, nil, corev1.PodSpec{}, 0).Spec.Template.Annotations,
	} {
		if annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] != "false" ||
			annotations["karpenter.sh/do-not-disrupt"] != "true" {
			t.Errorf("%s has the annotations %v", name, annotations)
		}
	}
}
