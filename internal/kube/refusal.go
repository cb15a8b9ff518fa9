// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// refusedFor is for how long what was permitted before may be forbidden: an API server that has
// been started again answers before it has read who may do what.
const refusedFor = 30 * time.Second

// refusal finds out whether what is asked for again and again is forbidden for good: from the
// beginning, or for long.
type refusal struct {
	permitted bool      // it was, once
	since     time.Time // when it was forbidden first since then
}

// final takes in the newest answer and reports whether there is no point in asking again.
func (r *refusal) final(err error) bool {
	if !apierrors.IsForbidden(err) {
		r.permitted, r.since = r.permitted || err == nil, time.Time{}
		return false
	}

	if r.since.IsZero() {
		r.since = time.Now()
	}
	return !r.permitted || time.Since(r.since) >= refusedFor
}

// lasts reports whether the newest answer was that it is forbidden.
func (r *refusal) lasts() bool { return !r.since.IsZero() }
