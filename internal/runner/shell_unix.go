// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runner

import (
	"context"
	"os/exec"
	"syscall"
)

// shellOf runs a command in a process group of its own, which ends with the context.
func shellOf(ctx context.Context, command string) *exec.Cmd {
	shell := exec.CommandContext(ctx, "sh", "-c", command)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGTERM) }
	return shell
}
