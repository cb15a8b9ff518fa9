// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package runner

import (
	"context"
	"os/exec"
)

// shellOf runs a command, which ends with the context.
func shellOf(ctx context.Context, command string) *exec.Cmd {
	return exec.CommandContext(ctx, "cmd", "/C", command)
}
