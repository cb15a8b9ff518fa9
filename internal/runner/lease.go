// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/kube"
)

// A runner that is killed, or whose machine goes away, removes nothing. What it has created must
// end all the same, and nobody in the cluster is to get a right for that. So each namespace has a
// lease: a job that never starts a pod, and owns everything else in the namespace. The runner puts
// its deadline off as long as it lives. Once that has passed, the controllers that every cluster
// has end the job and remove it, with all that it owns.

// leaseName is the name of these jobs.
const leaseName = "lease"

// leaseTerm is how long everything outlives the runner, and renewEvery how often the runner puts
// that off: one answer in ten is enough.
const (
	leaseTerm  = 5 * time.Minute
	renewEvery = leaseTerm / 10
)

// leaseOf is the lease of a namespace.
func (e *environment) leaseOf(namespace string) *batchv1.Job {
	spec := PodSpec(corev1.Container{
		Name: leaseName, Image: e.options.AgentImage, Args: []string{"version"},
		Resources: requests("10m", "16Mi"), SecurityContext: Restricted(),
	})
	spec.RestartPolicy = corev1.RestartPolicyNever

	return &batchv1.Job{
		TypeMeta:   kind("batch/v1", "Job"),
		ObjectMeta: e.meta(namespace, leaseName, nil),
		Spec: batchv1.JobSpec{
			Parallelism:             new(int32(0)),
			ActiveDeadlineSeconds:   new(int64(leaseTerm.Seconds())),
			TTLSecondsAfterFinished: new(int32(0)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: e.labels(nil)}, Spec: spec,
			},
		},
	}
}

// grantLeases creates the leases. What is to be kept has none.
func (e *environment) grantLeases(ctx context.Context) error {
	if e.options.Keep {
		return nil
	}

	e.granted = time.Now()
	for _, namespace := range e.namespaceNames() {
		lease := e.leaseOf(namespace)
		if err := e.options.Overlay.Apply(lease); err != nil {
			return err
		}

		job, err := kube.Create(ctx, e.cluster.BatchV1().Jobs(namespace), lease,
			metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return inUse(e.options, namespace) // of another run in a namespace that both share
		}
		if err != nil {
			return fmt.Errorf("create the lease of namespace %s: %w", namespace, err)
		}
		e.leases[namespace] = job.UID
	}
	return nil
}

// owners are what an object in a namespace goes with.
func (e *environment) owners(namespace string) []metav1.OwnerReference {
	uid, ok := e.leases[namespace]
	if !ok {
		return nil
	}
	return []metav1.OwnerReference{
		{APIVersion: "batch/v1", Kind: "Job", Name: e.name(leaseName), UID: uid},
	}
}

// renewLeases puts the deadlines off until the context ends, or a lease is gone: then everything
// else goes too. What else keeps it from doing so may be over the next time.
func (e *environment) renewLeases(ctx context.Context) error {
	for {
		select {
		case <-time.After(renewEvery):
		case <-ctx.Done():
			return nil
		}
		for namespace := range e.leases {
			if err := e.renewLease(ctx, namespace); apierrors.IsNotFound(err) {
				return fmt.Errorf("renew the lease of namespace %s: the cluster has removed what "+
					"is in it, since nothing was heard of this run for %s", namespace, leaseTerm)
			}
		}
	}
}

func (e *environment) renewLease(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()

	// The deadline counts from when the controller has seen the job, which was after this runner
	// began to create it: no clock is compared with another.
	until := (time.Since(e.granted) + leaseTerm).Seconds()
	patch := fmt.Appendf(nil, `{"spec":{"activeDeadlineSeconds":%d}}`, int64(until))
	_, err := e.cluster.BatchV1().Jobs(namespace).Patch(ctx, e.name(leaseName),
		types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
