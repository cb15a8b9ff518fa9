// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
)

// curl probes as the original clients did: each probe is a shell that runs curl, whose exit status
// is the verdict.
func curl(ctx context.Context, turn Turn) (Reading, error) {
	if _, err := exec.LookPath("curl"); err != nil {
		return Reading{}, fmt.Errorf("probe with curl: %w", err)
	}
	return pace{probes: 40, rate: 50}.measure(ctx, turn,
		func(ctx context.Context, to netip.AddrPort) {
			command := exec.CommandContext(ctx, "sh", "-c", "curl --connect-timeout 1 "+to.String())
			_, _ = command.CombinedOutput() // it fails for every target that is denied
		})
}
