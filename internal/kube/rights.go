// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
)

// Right is something that a user may do, or not.
type Right struct {
	Verb string
	schema.GroupResource
	Subresource string
	// Namespace is empty for what is in none.
	Namespace string
}

// what is what the right is about, as kubectl names it.
func (r Right) what() string {
	if r.Subresource == "" {
		return r.GroupResource.String()
	}
	return r.GroupResource.String() + "/" + r.Subresource
}

// askers is how many rights are asked about at the same time.
const askers = 16

// Lacking are those of the rights that the user does not have, as the API server says. Where that
// does not tell, the user is taken to have them: what then is refused says so itself.
func (c *Cluster) Lacking(ctx context.Context, rights []Right) []Right {
	refused := make([]bool, len(rights))
	workqueue.ParallelizeUntil(ctx, askers, len(rights), func(i int) {
		refused[i] = c.lacks(ctx, rights[i])
	})

	var lacking []Right
	for i, right := range rights {
		if refused[i] {
			lacking = append(lacking, right)
		}
	}
	return lacking
}

func (c *Cluster) lacks(ctx context.Context, right Right) bool {
	answer, err := c.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
		&authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: right.Verb, Group: right.Group, Resource: right.Resource,
					Subresource: right.Subresource, Namespace: right.Namespace,
				},
			},
		}, metav1.CreateOptions{})
	return err == nil && !answer.Status.Allowed
}

// ListRights is a list of rights for a person: by namespace and by what they are about.
func ListRights(rights []Right) string {
	sorted := slices.Clone(rights)
	slices.SortStableFunc(sorted, func(a, b Right) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.what(), b.what()))
	})

	var all []string
	for rest := sorted; len(rest) > 0; {
		first := rest[0]
		end := slices.IndexFunc(rest, func(r Right) bool {
			return r.Namespace != first.Namespace || r.what() != first.what()
		})
		if end < 0 {
			end = len(rest)
		}
		var verbs []string
		for _, right := range rest[:end] {
			if !slices.Contains(verbs, right.Verb) {
				verbs = append(verbs, right.Verb)
			}
		}
		rest = rest[end:]
		text := strings.Join(verbs, ", ") + " " + first.what()
		if first.Namespace != "" && (len(rest) == 0 || rest[0].Namespace != first.Namespace) {
			text += fmt.Sprintf(" in namespace %s", first.Namespace)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}
