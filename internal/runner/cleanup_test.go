// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
)

// TestDeletePods plays an API server that needs several requests, and one whose answer is no.
func TestDeletePods(t *testing.T) {
	refused := errors.New("no")
	tests := map[string]struct {
		answers []error // of the requests in turn; the last removes what is left
		want    error
	}{
		"at once":                     {[]error{nil}, nil},
		"a request's time is over":    {[]error{apierrors.NewTimeoutError("slow", 0), nil}, nil},
		"a part is left":              {[]error{nil, nil}, nil},
		"the server does not want to": {[]error{refused}, refused},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n",
				Name: "p"}})
			requests := 0
			client.PrependReactor(
				"delete-collection",
				"pods",
				func(clienttesting.Action) (bool, runtime.Object, error) {
					err := test.answers[requests]
					if requests++; requests == len(test.answers) && err == nil {
						return true, nil, client.Tracker().
							Delete(v1.SchemeGroupVersion.WithResource("pods"), "n", "p")
					}
					return true, nil, err
				},
			)
			err := deletePods(t.Context(), &kube.Cluster{Interface: client}, "n", "")
			if !errors.Is(err, test.want) || requests != len(test.answers) {
				t.Errorf("%d requests ended with %v; want %d and %v", requests, err,
					len(test.answers), test.want)
			}
		})
	}
}
