// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

func TestMain(m *testing.M) { os.Exit(labtest.Main(m)) }

// soon is a lab whose engine takes 50 ms: long beside what the machine takes, and short beside what a test does.
func soon(t *testing.T) *labtest.Lab {
	t.Helper()
	return labtest.Shared(t, "--delay", "50ms")
}

// atOnce is a lab whose engine takes no longer than it must.
func atOnce(t *testing.T) *labtest.Lab {
	t.Helper()
	return labtest.Shared(t)
}

// unenforced is a lab without an engine.
func unenforced(t *testing.T) *labtest.Lab {
	t.Helper()
	return labtest.Shared(t, "--engine", "none")
}
