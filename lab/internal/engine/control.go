// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// listenControl makes the control socket, in place of one that an earlier engine left.
func listenControl(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the control socket of an earlier engine: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	return listener, nil
}

// serve answers on a listener until ctx ends, and closes it:
//
//	GET /healthz   200 once the kernel has what the API's objects ask for
//	GET /settings  the settings
//	PUT /settings  changes those that the body names, and answers with all
func (e *engine) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: e.handler(), ReadHeaderTimeout: time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the control socket: %w", err)
		}
		return nil
	})

	group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return group.Wait()
}

func (e *engine) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !e.ready.Load() {
			http.Error(w, "the engine has not seen all objects of the API yet",
				http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})

	mux.HandleFunc("GET /settings", func(w http.ResponseWriter, r *http.Request) {
		e.answer(w, r, func(*Settings) error { return nil })
	})
	mux.HandleFunc("PUT /settings", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.answer(w, r, func(s *Settings) error { return json.Unmarshal(body, s) })
	})

	return mux
}

// answer has the main loop change the settings, so that they are in force when the client reads on,
// but for faults, which follow at once.
func (e *engine) answer(w http.ResponseWriter, r *http.Request, change func(*Settings) error) {
	reply := make(chan settingsReply, 1)
	select {
	case e.requests <- settingsRequest{change, reply}:
	case <-r.Context().Done():
		return
	}

	answer := <-reply
	if answer.err != nil {
		http.Error(w, answer.err.Error(), http.StatusBadRequest)
		return
	}

	w.Header().Set("Content-Type", "application/json")
	// The client may be gone; it is the one who would want to know.
	_ = json.NewEncoder(w).Encode(answer.settings)
}
