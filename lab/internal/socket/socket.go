// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package socket has the sockets by which the parts of a lab are told what to do: HTTP on Unix
// sockets.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// Listen makes a control socket, in place of one that an earlier process has left.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the control socket of an earlier process: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	return listener, nil
}

// Serve answers on a listener until the context ends, and closes it. The head of a request may take
// the patience to come.
func Serve(
	ctx context.Context, listener net.Listener, patience time.Duration, handler http.Handler,
) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: patience}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return nil
}

// Answer tells whether what was asked has been done: with no content, or with what was wrong.
func Answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
