// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

func TestMain(m *testing.M) { os.Exit(labtest.Main(m)) }

// soon is the lab that most tests share: its engine takes 50 ms, which is long beside what the
// machine takes, and short beside what a test does.
func soon(t *testing.T) *labtest.Lab {
	t.Helper()
	return labtest.Shared(t, "--delay", "50ms")
}
