// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// handler answers on the control socket:
//
//	GET /healthz   200 once the kernel has what the API's objects ask for
//	GET /settings  the settings
//	PUT /settings  changes those that the body names, and answers with all
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
