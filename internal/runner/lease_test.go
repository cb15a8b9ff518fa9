// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// leased is an environment with the leases of two namespaces, on a made-up cluster.
func leased(t *testing.T, options Options) *environment {
	t.Helper()
	s, err := scenario.Find("policy-deny")
	check(t, err)
	e := newEnvironment(options, s, nil, nil, func(Progress) {})
	e.cluster = &kube.Cluster{Interface: fake.NewClientset()}
	e.created = []string{e.parameters.AgentNamespace, e.parameters.TargetNamespace}
	check(t, e.grantLeases(t.Context()))
	return e
}

// lease reads the lease of a namespace.
func lease(t *testing.T, e *environment, namespace string) *batchv1.Job {
	t.Helper()
	job, err := e.cluster.BatchV1().Jobs(namespace).Get(t.Context(), leaseName,
		metav1.GetOptions{})
	check(t, err)
	return job
}

// TestLeaseIsRenewed has a runner live for an hour: at no time is less than most of the term left,
// nor more than the term.
func TestLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := leased(t, DefaultOptions())
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.renewLeases(ctx) }()
		for range 360 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			for _, namespace := range e.created {
				spec := lease(t, e, namespace).Spec
				left := time.Duration(*spec.ActiveDeadlineSeconds)*time.Second - time.Since(began)
				if left > leaseTerm || left < leaseTerm-renewEvery {
					t.Fatalf("after %s, %s are left", time.Since(began), left)
				}
			}
		}
		cancel()
		check(t, <-done)
	})
}

// TestLeaseIsGone has the cluster remove a lease under a runner that did not come to renew it in
// time: the run ends, and says why.
func TestLeaseIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := leased(t, DefaultOptions())
		check(t, e.cluster.BatchV1().Jobs(e.parameters.TargetNamespace).Delete(t.Context(),
			leaseName, metav1.DeleteOptions{}))
		err := e.renewLeases(t.Context())
		if err == nil || !strings.Contains(err.Error(), "nothing was heard of this run for 5m0s") {
			t.Errorf("the runner goes on: %v", err)
		}
	})
}

// TestLeaseOwnsEverything looks at what a scenario creates: all of it goes with the lease of its
// namespace, unless it is to be kept.
func TestLeaseOwnsEverything(t *testing.T) {
	for name, keep := range map[string]bool{"removed": false, "kept": true} {
		t.Run(name, func(t *testing.T) {
			options := DefaultOptions()
			options.Keep = keep
			e := leased(t, options)
			e.leases = map[string]types.UID{}
			for i, namespace := range e.created {
				if !keep {
					e.leases[namespace] = types.UID(rune('a' + i))
				}
			}
			objects := append(e.objects(), e.targets(e.groups()[0])[0], e.targetPod(0, 0),
				e.agents())
			for _, object := range objects {
				meta := object.(metav1.Object)
				owners := meta.GetOwnerReferences()
				owned := len(owners) == 1 && owners[0].UID == e.leases[meta.GetNamespace()]
				if owned == keep {
					t.Errorf("%T %s has the owners %v", object, meta.GetName(), owners)
				}
			}
		})
	}
}
