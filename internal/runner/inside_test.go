// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	fakerest "k8s.io/client-go/rest/fake"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Policies are in force once what is forbidden was blocked from the first probe on, in whatever way
// a network blocks.
func TestInForce(t *testing.T) {
	open := measure.Sample{Scenario: "pod-startup/main/allowed", Status: measure.Measured}
	never := measure.Sample{Scenario: "pod-startup/main/forbidden", Kind: measure.KindBlocked}
	shut := func(verdict measure.Verdict, leaks int) measure.Sample {
		sample := never
		sample.Leaks, sample.Probes[verdict] = leaks, 3
		return sample
	}
	tests := []struct {
		name  string
		of    measure.Sample
		force bool
	}{
		{"dropped", shut(measure.Dropped, 0), true},
		{"rejected", shut(measure.Rejected, 0), true},
		{"unreachable", shut(measure.Unreachable, 0), true},
		{"a leak at first", shut(measure.Dropped, 1), false},
		{"opened, and not answered", shut(measure.Unanswered, 0), false},
		{"never probed", never, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := inForce([]measure.Sample{open, test.of}); got != test.force {
				t.Errorf("the policies are in force: %t; want %t", got, test.force)
			}
		})
	}
}

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
				Name:      fmt.Sprint("startup-", i), UID: types.UID(fmt.Sprint(i)),
				Labels: map[string]string{
					scenario.RoleLabel: scenario.RoleStartup,
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
		if sample.Status != measure.Unobserved {
			t.Errorf("a sample of %s is %v; want unobserved", sample.Scenario, sample.Status)
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
				Namespace: parameters.AgentNamespace, Name: "startup", UID: "1",
				Labels: map[string]string{
					scenario.RoleLabel: scenario.RoleStartup,
					iterationLabel:     "1",
				},
			},
		})
		slow := slowLogs{Interface: client, asked: new(atomic.Int64), under: new(atomic.Int64)}
		home := kube.Namespace{Client: slow, Name: parameters.AgentNamespace}
		it := &iteration{number: 1, name: "pod-startup", env: &environment{
			parameters: parameters, cluster: &kube.Cluster{Interface: slow},
			collector: newCollector(home, setting.ClockAuto), progress: func(Progress) {},
		}}

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		samples := it.readStartupLogs(ctx, 1)
		if asked := slow.asked.Load(); asked == 0 {
			t.Error("no log was asked for")
		}
		if left := slow.under.Load(); left != 0 {
			t.Errorf("%d requests of a reader are under way after the reading; want none", left)
		}
		if len(samples) != 3 {
			t.Errorf("%d samples; want one of each of the three results", len(samples))
		}
	})
}

// slowLogs is a client to which each answer about a log takes a second, whatever becomes of who
// asked. A reactor of the fake could not wait: it is called under the fake's lock.
type slowLogs struct {
	kubernetes.Interface
	asked, under *atomic.Int64 // requests, and those that are under way
}

// IsWatchListSemanticsUnSupported says what the fake says: it sends no bookmarks.
func (s slowLogs) IsWatchListSemanticsUnSupported() bool { return true }

func (s slowLogs) CoreV1() typedcorev1.CoreV1Interface { return slowCore{s.Interface.CoreV1(), s} }

type slowCore struct {
	typedcorev1.CoreV1Interface
	slow slowLogs
}

func (c slowCore) Pods(namespace string) typedcorev1.PodInterface {
	return slowPods{c.CoreV1Interface.Pods(namespace), c.slow}
}

type slowPods struct {
	typedcorev1.PodInterface
	slow slowLogs
}

func (p slowPods) GetLogs(string, *corev1.PodLogOptions) *rest.Request {
	answer := func(*http.Request) (*http.Response, error) {
		p.slow.asked.Add(1)
		p.slow.under.Add(1)
		defer p.slow.under.Add(-1)
		time.Sleep(time.Second)
		return nil, errors.New("too late")
	}
	client := &fakerest.RESTClient{
		Client:               fakerest.CreateHTTPClient(answer),
		NegotiatedSerializer: scheme.Codecs.WithoutConversion(),
	}
	return client.Request()
}
