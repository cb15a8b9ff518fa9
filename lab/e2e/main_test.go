// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

func TestMain(m *testing.M) { os.Exit(labtest.Main(m)) }

// slowly is a lab whose engine takes so long that there is time to disturb a run meanwhile. Tests
// share it, too.
func slowly(t *testing.T) *labtest.Lab {
	t.Helper()
	return labtest.Shared(t, "--delay", slowDelay.String())
}

// slowDelay is how long the engine of [slowly] takes.
const slowDelay = time.Second

// lawless is a lab in which no policy is enforced, which tests share.
func lawless(t *testing.T) *labtest.Lab {
	t.Helper()
	return labtest.Shared(t, "--engine", "none")
}

// soon is the lab that most tests share: its engine takes 50 ms, which is long beside what the
// machine takes, and short beside what a test does.
func soon(t *testing.T) *labtest.Lab {
	t.Helper()
	return labtest.Shared(t, "--delay", "50ms")
}
