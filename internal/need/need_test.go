// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package need

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
)

// recorder is a test that keeps how it ended, instead of ending.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatal(...any)          { r.ended = "failed" }
func (r *recorder) Fatalf(string, ...any) { r.ended = "failed" }
func (r *recorder) Skipf(string, ...any)  { r.ended = "skipped" }

func TestMachine(t *testing.T) {
	tests := []struct {
		name         string
		err          error
		want, strict string // how the test ends, and how where everything must run
	}{
		{"nothing is lacking", nil, "", ""},
		{"no right", fmt.Errorf("open a socket: %w", syscall.EPERM), "skipped", "failed"},
		{"no feature", fmt.Errorf("open a socket: %w", errors.ErrUnsupported), "skipped",
			"skipped"},
		{"no protocol", fmt.Errorf("use SCTP: %w", syscall.EPROTONOSUPPORT), "skipped", "skipped"},
		{"no program", fmt.Errorf("find it: %w", exec.ErrNotFound), "skipped", "failed"},
		{"a fault of our own", errors.New("NET_RAW is missing"), "failed", "failed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for value, want := range map[string]string{"": test.want, "1": test.strict} {
				t.Setenv(RequireAll, value)
				r := &recorder{TB: t}
				Machine(r, test.err, "install it")
				if r.ended != want {
					t.Errorf("with %s=%q the test %q; want %q", RequireAll, value, r.ended, want)
				}
			}
		})
	}
}
