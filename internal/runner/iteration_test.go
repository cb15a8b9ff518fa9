// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"net"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// TestTriggerWithoutAnswer writes triggers to an API server that is away, or refuses: an iteration
// is begun anew only if nobody knows whether its trigger was accepted.
func TestTriggerWithoutAnswer(t *testing.T) {
	tests := map[string]struct {
		answer error
		again  bool
	}{
		"refused connection": {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		"no leader":          {apierrors.NewInternalError(errors.New("no leader")), true},
		"forbidden": {apierrors.NewForbidden(rbacv1.Resource("clusterroles"), "r", nil),
			false},
		"accepted": {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := dynamicfake.NewSimpleDynamicClient(scheme.Scheme)
			client.PrependReactor("patch", "*", func(clienttesting.Action) (
				bool, runtime.Object, error,
			) {
				return true, nil, test.answer
			})
			mapper := meta.NewDefaultRESTMapper(nil)
			mapper.Add(rbacv1.SchemeGroupVersion.WithKind("ClusterRole"), meta.RESTScopeRoot)
			e := &environment{
				cluster:   kube.NewCluster(nil, client, nil, mapper),
				collector: newCollector(kube.Namespace{}, setting.ClockAuto),
			}
			it := &iteration{env: e, part: scenario.Part{Change: scenario.Change{
				Apply: []runtime.Object{&rbacv1.ClusterRole{
					TypeMeta:   kind("rbac.authorization.k8s.io/v1", "ClusterRole"),
					ObjectMeta: metav1.ObjectMeta{Name: "r"},
				}},
			}}}
			err := it.trigger(t.Context())
			if errors.Is(err, errTriggerFailed) != test.again ||
				(err == nil) != (test.answer == nil) {
				t.Errorf("the error is %v; is the iteration begun anew? want %t", err, test.again)
			}
		})
	}
}

// TestAccountKinds has the expectation decide what kind of pair a sample is of, whatever its agent
// takes it for, or whether there is one.
func TestAccountKinds(t *testing.T) {
	for name, want := range map[string]measure.Kind{
		"policy-deny": measure.KindNew, "established": measure.KindOpen,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := scenario.Find(name)
			check(t, err)
			e := newEnvironment(DefaultOptions(), s, nil, nil, func(Progress) {})
			e.collector = newCollector(kube.Namespace{}, setting.ClockAuto)
			it := e.newIteration(s.Parts(e.parameters)[0])
			for _, uid := range []types.UID{"reported", "lost"} {
				it.expect(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid}}, it.part.Expect[0])
			}
			reported := it.keyOf(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "reported"}},
				it.part.Expect[0])
			e.collector.samples[reported] = measure.Sample{Status: measure.Censored}

			for _, sample := range it.account() {
				if sample.Kind != want {
					t.Errorf("a pair that is %s is %s; want %s", sample.Status, sample.Kind, want)
				}
			}
		})
	}
}
