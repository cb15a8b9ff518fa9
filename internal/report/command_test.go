// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/result"
)

func TestCommandLine(t *testing.T) {
	got := CommandLine(result.Run{
		Command: []string{"run", "--threshold", "policy-deny.p99<1s", "it's", "", "a=b"},
	})
	want := `netpol-latency run --threshold 'policy-deny.p99<1s' 'it'\''s' '' a=b`
	if got != want {
		t.Errorf("the command is %s; want %s", got, want)
	}
}
