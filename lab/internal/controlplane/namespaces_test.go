// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/kubernetes/pkg/controller/namespace/deletion"
)

// deleter is asked to empty namespaces, and notes when.
type deleter struct {
	began  time.Time
	asked  []time.Duration
	answer []error // of each time
}

func (d *deleter) Delete(_ context.Context, name string) error {
	if name != "deleted" {
		return errors.New("namespace " + name + " was not deleted")
	}
	d.asked = append(d.asked, time.Since(d.began))
	answer := d.answer[0]
	d.answer = d.answer[1:]
	return answer
}

// A namespace that is deleted is emptied soon, and again as long as there is something in it.
func TestNamespacesAreRemovedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		now := metav1.Now()
		client := fake.NewClientset(
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kept"}},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "deleted",
				DeletionTimestamp: &now, Finalizers: []string{"kubernetes"}}})
		d := &deleter{began: time.Now(), answer: []error{
			&deletion.ResourcesRemainingError{Estimate: 30}, errors.New("no answer"), nil,
		}}
		ended := make(chan error)
		go func() { ended <- removeNamespaces(ctx, client, d) }()

		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}

		want := []time.Duration{namespaceGrace, namespaceGrace + namespaceRetry,
			namespaceGrace + namespaceRetry + 5*time.Millisecond}
		if diff := cmp.Diff(want, d.asked); diff != "" {
			t.Errorf("when it was emptied (-want +got):\n%s", diff)
		}
	})
}
