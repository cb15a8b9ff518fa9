// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// A policy client is created again beside running targets, on an engine that learns of a new pod
// late and lets it through until then: it is ready once its targets are denied, and each of them is
// measured.
func TestPolicyClientRerunOnALateEngine(t *testing.T) {
	t.Parallel()
	const targets = 20
	lab := labtest.Start(t, "--delay", "100ms", "--fault", "leak=2s")
	run := newTrial(t, lab, "policy-creation", targets)
	complete(t, run)
	must(t, run.Shell(t.Context(), fmt.Sprintf(
		"netpol-latency manifests policy-creation --step trigger --namespace %s "+
			"--target-namespace %s | kubectl delete -f -",
		run.ClientNamespace(), run.TargetNamespace())))

	began := time.Now()
	replaceClient(t, run)
	t.Logf("the new client was ready after %s", time.Since(began))
	must(t, run.Trigger(t.Context()))
	found, err := run.Collect(t.Context())
	must(t, err)
	expectMeasured(t, found, targets)
	must(t, run.Remove(t.Context()))
}
