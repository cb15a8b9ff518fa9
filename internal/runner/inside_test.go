// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// TestStartupLogsAreReadSideBySide reads the logs of many pods at once, while their watch still
// delivers: for the race detector, which cannot come along to a real cluster. These logs say
// nothing of ours, so every sample is missing, and there is one of each all the same.
func TestStartupLogsAreReadSideBySide(t *testing.T) {
	const pods = 50
	parameters := scenario.Parameters{AgentNamespace: "agents"}
	var objects []runtime.Object
	for i := range pods {
		objects = append(objects, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: parameters.AgentNamespace,
				Name:      fmt.Sprint("starter-", i), UID: types.UID(fmt.Sprint(i)),
				Labels: map[string]string{
					scenario.RoleLabel: scenario.RoleStarter,
					iterationLabel:     "1",
				},
			},
			Status: corev1.PodStatus{Phase: corev1.PodSucceeded},
		})
	}
	client := fake.NewClientset(objects...)
	home := kube.Namespace{Client: client, Name: parameters.AgentNamespace}
	it := &iteration{number: 1, name: "pod-startup", env: &environment{
		parameters: parameters, cluster: &kube.Cluster{Interface: client},
		collector: newCollector(home, setting.ClockAuto), progress: func(Progress) {},
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	samples := it.readStartupLogs(ctx, pods)
	check(t, ctx.Err())
	counts := make(map[string]int)
	for _, sample := range samples {
		if sample.Status != measure.Censored {
			t.Errorf("a sample of %s is %v; want censored", sample.Scenario, sample.Status)
		}
		counts[sample.Scenario]++
	}
	names := []string{"pod-startup", "pod-startup/forbidden", "pod-startup/main/forbidden"}
	for _, name := range names {
		if counts[name] != pods {
			t.Errorf("%d samples of %s; want %d", counts[name], name, pods)
		}
	}
}

// TestReadersAreAwaited ends the reading of logs while a request for one is under way: no reader
// outlives it.
func TestReadersAreAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parameters := scenario.Parameters{AgentNamespace: "agents"}
		client := fake.NewClientset(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: parameters.AgentNamespace, Name: "starter", UID: "1",
				Labels: map[string]string{
					scenario.RoleLabel: scenario.RoleStarter,
					iterationLabel:     "1",
				},
			},
		})
		var under atomic.Int64 // requests that are under way
		client.PrependReactor(
			"get",
			"pods",
			func(clienttesting.Action) (bool, runtime.Object, error) {
				under.Add(1)
				defer under.Add(-1)
				time.Sleep(time.Second)
				return false, nil, nil
			},
		)
		home := kube.Namespace{Client: client, Name: parameters.AgentNamespace}
		it := &iteration{number: 1, name: "pod-startup", env: &environment{
			parameters: parameters, cluster: &kube.Cluster{Interface: client},
			collector: newCollector(home, setting.ClockAuto), progress: func(Progress) {},
		}}

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		samples := it.readStartupLogs(ctx, 1)
		if left := under.Load(); left != 0 {
			t.Errorf("%d requests of a reader are under way after the reading; want none", left)
		}
		if len(samples) != 3 {
			t.Errorf("%d samples; want one of each of the three results", len(samples))
		}
	})
}
