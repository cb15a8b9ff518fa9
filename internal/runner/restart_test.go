// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
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
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func pluginPod(name string, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, UID: types.UID(name),
			Labels: map[string]string{"app": "plugin"}},
		Spec: corev1.PodSpec{NodeName: "node-1"},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: status}}},
	}
}

// TestRestart restarts a daemon set, whose one pod is replaced: its instants are noted, and the
// restart is over when the new one is available.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := &appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "plugin", Generation: 1},
			Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{
				MatchLabels: map[string]string{"app": "plugin"}}},
			Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 1},
		}
		it := disrupted(t, "")
		client := fake.NewClientset(set, pluginPod("old", true))
		it.env.cluster = &kube.Cluster{Interface: client}
		pods := client.CoreV1().Pods("kube-system")
		go func() {
			time.Sleep(time.Second)
			check(t, pods.Delete(t.Context(), "old", metav1.DeleteOptions{}))
			time.Sleep(time.Second)
			_, err := pods.Create(t.Context(), pluginPod("new", false), metav1.CreateOptions{})
			check(t, err)
			time.Sleep(time.Second)
			_, err = pods.Update(t.Context(), pluginPod("new", true), metav1.UpdateOptions{})
			check(t, err)
			now, err := client.AppsV1().DaemonSets("kube-system").Get(t.Context(), "plugin",
				metav1.GetOptions{})
			check(t, err)
			if now.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] == "" {
				t.Error("the template has no annotation that restarts it")
			}
			now.Status.UpdatedNumberScheduled, now.Status.NumberAvailable = 1, 1
			now.Status.ObservedGeneration = now.Generation
			_, err = client.AppsV1().DaemonSets("kube-system").UpdateStatus(t.Context(), now,
				metav1.UpdateOptions{})
			check(t, err)
		}()

		it.env.options.Disruption = setting.Disruption{Restart: "daemonset/plugin",
			Namespace: "kube-system"}
		check(t, it.disrupt(t.Context()))
		event := it.env.events[0]
		var lines []string
		for _, mark := range event.Marks {
			lines = append(lines, mark.At.Sub(event.Began).Truncate(time.Second).String()+" "+
				mark.Text)
		}
		const want = "1s node-1: pod old is gone\n2s node-1: pod new has come\n" +
			"3s node-1: pod new is ready"
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("the marks are\n%s\nwant\n%s", got, want)
		}
	})
}

// A daemon set that nothing restarts, or of which nothing becomes, is an event that failed.
func TestRestartFails(t *testing.T) {
	for want, set := range map[string]*appsv1.DaemonSet{
		"read it": {ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "other"}},
		"its update strategy is OnDelete": {
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "plugin"},
			Spec: appsv1.DaemonSetSpec{UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type: appsv1.OnDeleteDaemonSetStrategyType}},
		},
		"0 of 3 pods are new and ready": {
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "plugin"},
			Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{
				MatchLabels: map[string]string{"app": "plugin"}}},
			Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 3},
		},
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				it := disrupted(t, "")
				it.env.cluster = &kube.Cluster{Interface: fake.NewClientset(set)}
				it.env.options.Disruption = setting.Disruption{Restart: "daemonset/plugin",
					Namespace: "kube-system"}
				err := it.disrupt(t.Context())
				if !errors.Is(err, errEventFailed) || !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %v; want %q", err, want)
				}
			})
		})
	}
}
