// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/need"
)

// sctp is an error on a kernel that has no SCTP.
func sctp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	if err == nil {
		_ = unix.Close(fd) // it was only to be opened
	}
	return err
}

// Associations are measured as connections are, on both sides.
func TestRunSCTP(t *testing.T) {
	t.Parallel()
	need.Machine(t, sctp(), "use a kernel that has the module sctp")
	for _, direction := range []string{"egress", "ingress"} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			lab := soon(t)
			samples, _ := measureRun(t, lab, exitOK, "policy-creation", "policy-update",
				"pod-startup", "--protocol=SCTP", "--direction="+direction, "--targets=4")
			expectTrue(t, lab, samples, "SCTP")
		})
	}
}

// On a kernel without SCTP the first pod that is seen to need it ends the run: an agent, a target
// or a starting pod.
func TestRunWithoutSCTP(t *testing.T) {
	t.Parallel()
	if sctp() == nil {
		t.Skip("this kernel has SCTP")
	}
	for _, scenario := range []string{"policy-deny", "pod-startup"} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			_, output := measureRun(t, soon(t), exitFailure, scenario, "--protocol=SCTP",
				"--targets=2", "--patience=9m")
			if !strings.Contains(output, ": this kernel has no SCTP (module sctp)") {
				t.Errorf("the run does not say what is missing:\n%s", output)
			}
		})
	}
}
