// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// The client that probes nothing, which "make observer" compares with one that does, is there when the policy comes and
// lets it be enforced. How much slower it is for being observed is a benchmark's question.
func TestObserved(t *testing.T) {
	const targets = 5
	lab := labtest.Start(t)
	for _, probing := range []bool{false, true} {
		t.Run(fmt.Sprint("probing ", probing), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			took, err := newTrial(t, lab, "policy-creation", targets).Enforcement(ctx, probing)
			must(t, err)
			if len(took) != targets {
				t.Errorf("enforced for %d targets; want %d", len(took), targets)
			}
		})
	}
}
