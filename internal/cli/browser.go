// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
)

// openInBrowser shows a file in the user's browser, by the program that the system has for that.
func openInBrowser(ctx context.Context, path string) error {
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	if err := exec.CommandContext(ctx, program, path).Run(); err != nil {
		return fmt.Errorf("open %s in a browser: %w: open it by hand", path, err)
	}
	return nil
}
