// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/runner"
)

// TestProgressInALog says what begins, and again how far it is while that lasts.
func TestProgressInALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := newProgress(&out)
		for gone := range 31 {
			p.show(runner.Progress{Scenario: "removal", What: "deleting pods", Done: gone, Of: 60})
			p.show(runner.Progress{Scenario: "removal", What: "deleting pods", Done: gone, Of: 60})
			time.Sleep(time.Second)
		}
		p.show(runner.Progress{Scenario: "removal", What: "waiting"})
		time.Sleep(time.Minute)
		p.show(runner.Progress{Scenario: "removal", What: "waiting"})
		p.end()

		want := "[  0.0s] removal: deleting pods 0 of 60\n" +
			"[ 10.0s] removal: deleting pods 10 of 60, about 50s left\n" +
			"[ 20.0s] removal: deleting pods 20 of 60, about 40s left\n" +
			"[ 30.0s] removal: deleting pods 30 of 60, about 30s left\n" +
			"[ 31.0s] removal: waiting\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
	})
}
