// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen is a target's listener on a TCP port of all addresses. A connection is accepted when its
// first data comes, where the kernel can do that: one that is opened and reset, as most probes are,
// is the kernel's business alone. Twenty targets on two processors else take as much of them as the
// agent that probes.
func Listen(ctx context.Context, port int) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error {
		var err error
		failed := socket.Control(func(fd uintptr) { err = deferAccept(int(fd)) })
		return errors.Join(failed, err)
	}}
	return config.Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
}
